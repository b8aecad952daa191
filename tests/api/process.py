"""``musterd serve`` in a process of its own, which a test may kill, starve, or start anew."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import dns.asyncquery
import dns.message
import dns.name
import dns.rcode
import httpx

from tests.api.house import House

MUSTERD = [sys.executable, "-c", "from musterd.cli import main; main()"]
"""The command line, of the sources that the tests see."""
SECONDS = 30
"""In which a server starts, and an answer comes."""


class Process:
    """A running server. log: the events that it told so far; text: all else that it said."""

    def __init__(self, house: House, process: asyncio.subprocess.Process) -> None:
        self.house = house
        self.process = process
        self.log: list[dict[str, object]] = []
        self.text = ""
        self._reading = asyncio.create_task(self._read())
        self._told = asyncio.Condition()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            async with self._told:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.text += line.decode()
                self._told.notify_all()

    async def told(self, event: str) -> dict[str, object]:
        """The first event of a name, once it is told."""
        found: list[dict[str, object]] = []

        def there() -> bool:
            found[:] = [entry for entry in self.log if entry["event"] == event]
            return bool(found)

        async with asyncio.timeout(SECONDS), self._told:
            await self._told.wait_for(there)
        return found[0]

    async def ready(self) -> None:
        """Wait until it answers with what is registered."""
        await self.told("source synced")
        await self.told("ready")

    @property
    def api(self) -> str:
        """Where its API is."""
        return f"http://{self._ready['api']}/v1"

    @property
    def dns(self) -> tuple[str, int]:
        """Where it answers DNS."""
        listen = self._ready["listen"]
        assert isinstance(listen, Sequence)
        host, _, port = listen[0].rpartition(":")
        return host, int(port)

    @property
    def _ready(self) -> Mapping[str, object]:
        return next(entry for entry in self.log if entry["event"] == "ready")

    def client(self) -> httpx.AsyncClient:
        """A client of its API, with the first token."""
        headers = {"authorization": f"Bearer {self.house.token}"}
        return httpx.AsyncClient(base_url=self.api, headers=headers, timeout=30, trust_env=False)

    async def answers(self, name: str, rtype: str) -> list[tuple[int, str]]:
        """TTL and data of what is answered for an absolute name, sorted."""
        query = dns.message.make_query(dns.name.from_text(name), rtype)
        host, port = self.dns
        reply, _ = await dns.asyncquery.udp_with_fallback(query, host, port=port, timeout=SECONDS)
        assert reply.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}, reply
        return sorted((rrset.ttl, one.to_text()) for rrset in reply.answer for one in rrset)

    async def end(self) -> None:
        """End it as an administrator would."""
        self.process.terminate()
        async with asyncio.timeout(SECONDS):
            assert await self.process.wait() == 0
        await self._reading

    async def kill(self) -> None:
        """End it as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._reading


@asynccontextmanager
async def started(house: House, **environ: str) -> AsyncIterator[Process]:
    """Start a server, which is killed after the block."""
    text = house.settings.read_text()
    if "[log]" not in text:
        house.settings.write_text(f'{text}\n[log]\nformat = "json"\n')
    process = Process(
        house,
        await asyncio.create_subprocess_exec(
            *MUSTERD, "serve", "-c", house.settings,
            stderr=asyncio.subprocess.PIPE, env={**os.environ, **environ}, limit=2**24,
        ),
    )  # fmt: skip
    try:
        yield process
    finally:
        await process.kill()
