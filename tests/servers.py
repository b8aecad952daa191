"""Running servers for tests: in the event loop of the test, in a thread, or in a process."""

import asyncio
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import dns.asyncquery
import dns.message
import dns.name
import dns.rcode
import httpx
import structlog

from musterd import log as logs
from musterd.api.limits import ApiLimits
from musterd.file_watch import FileTiming, FileWatch
from musterd.server.api import LIMITS, ApiService
from musterd.server.heartbeat import TIMING, HeartbeatTiming
from musterd.server.server import Server
from musterd.server.service import BasicService
from musterd.settings.watch import Watcher
from tests.catalogkit import until

MUSTERD = [sys.executable, "-c", "from musterd.cli import main; main()"]
"""The command line, from the sources that the tests use."""
FILES = FileTiming(quiet=0.5)
"""A shorter wait for files that may be incomplete."""
SECONDS = 30
"""Time limit of the start of a server, and of a query."""
TOML = """
[dns]
listen = ["127.0.0.1:0"]
workers = 1
[metrics]
listen = ""
[api]
listen = "127.0.0.1:0"
[state]
dir = "{state}"
[[zones]]
name = "lab.internal"
"""

S = TypeVar("S", bound=BasicService)


def service(server: Server, kind: type[S]) -> S:
    """Return the service of a server that has a type."""
    (found,) = [service for service in server.services if isinstance(service, kind)]
    return found


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[None]:
    """Run a server. It answers queries in the block, and has ended after it."""
    task = asyncio.create_task(server.run())
    await until(lambda: task.done() or bool(server.state.listening))
    try:
        yield
    finally:
        server.stop()
        await task


class ServerFixture:
    """A directory with settings, and the server that uses it."""

    def __init__(self, folder: Path, text: str = TOML) -> None:
        """Write the settings. ``{state}`` in them stands for the state directory."""
        self.folder = folder
        self.settings = folder / "musterd.toml"
        self.limits = LIMITS
        """Limits of the HTTP server of the API in this loop."""
        self.api_limits = ApiLimits()
        self.state = folder / "state"
        self.text = text.replace("{state}", str(self.state))
        self.settings.write_text(self.text)

    def set(self, *changes: tuple[str, str]) -> None:
        """Replace texts of the original settings."""
        text = self.text
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.settings.write_text(text)

    @property
    def token(self) -> str:
        """The first token, from its file."""
        return (self.state / "token").read_text().strip()

    @asynccontextmanager
    async def serve(
        self, environ: dict[str, str] | None = None, timing: HeartbeatTiming = TIMING
    ) -> AsyncIterator[Server]:
        """Run a server in this loop. It answers queries in the block, and has ended after it."""
        watcher = Watcher(self.settings, environ or {}, FileWatch(FILES))
        server = Server(watcher, timing)
        service(server, ApiService).limits = self.limits
        service(server, ApiService).api_limits = self.api_limits
        async with running(server):
            yield server

    @contextmanager
    def thread(self) -> Iterator[Server]:
        """Run a server in a thread while the block runs."""
        watcher = Watcher(self.settings, {}, FileWatch(FILES))
        logs.setup(watcher.settings.log)
        server = Server(watcher)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(server.run(),))
        thread.start()
        try:
            end = time.monotonic() + SECONDS
            while not server.state.listening and thread.is_alive() and time.monotonic() < end:
                time.sleep(0.01)
            yield server
        finally:
            loop.call_soon_threadsafe(server.stop)
            thread.join()
            loop.close()
            structlog.reset_defaults()

    @asynccontextmanager
    async def process(self, **environ: str) -> AsyncIterator["ServerProcess"]:
        """Start a server in a process, which is killed after the block."""
        text = self.settings.read_text()
        if "[log]" not in text:
            self.settings.write_text(f'{text}\n[log]\nformat = "json"\n')
        process = await asyncio.create_subprocess_exec(
            *MUSTERD, "serve", "-c", self.settings,
            stderr=asyncio.subprocess.PIPE, env={**os.environ, **environ}, limit=2**24,
        )  # fmt: skip
        server = ServerProcess(self, process)
        try:
            yield server
        finally:
            await server.kill()

    def client(self, server: Server, *, token: str | None = None, **more: Any) -> httpx.AsyncClient:
        """Create a client of the API of a server, with the first token or another."""
        scheme = "https" if "verify" in more else "http"
        return _client(f"{scheme}://{server.api_address}/v1", token or self.token, **more)


class ServerProcess:
    """A server in a process of its own. log: its events so far; text: its other output."""

    def __init__(self, fixture: ServerFixture, process: asyncio.subprocess.Process) -> None:
        """Read the output of a process."""
        self.process = process
        self.log: list[dict[str, object]] = []
        self.text = ""
        self._fixture = fixture
        self._reading = asyncio.create_task(self._read())
        self._logged = asyncio.Condition()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            async with self._logged:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.text += line.decode()
                self._logged.notify_all()

    async def logged(self, event: str, **fields: object) -> dict[str, object]:
        """Wait for the first event with a name and fields, and return it."""
        found: list[dict[str, object]] = []
        expected = {"event": event, **fields}.items()

        def is_logged() -> bool:
            found[:] = [entry for entry in self.log if entry.items() >= expected]
            return bool(found)

        async with asyncio.timeout(SECONDS), self._logged:
            await self._logged.wait_for(is_logged)
        return found[0]

    async def ready(self) -> None:
        """Wait until the registered records are answered."""
        await self.logged("source synced")
        await self.logged("ready")

    @property
    def api(self) -> str:
        """URL of the API."""
        return f"http://{self._ready['api']}/v1"

    @property
    def metrics(self) -> str:
        """Address of the metrics."""
        return str(self._ready["metrics"])

    @property
    def dns(self) -> tuple[str, int]:
        """Host and port on which DNS is answered."""
        listen = self._ready["listen"]
        assert isinstance(listen, Sequence)
        return host_and_port(listen[0])

    @property
    def _ready(self) -> Mapping[str, object]:
        return next(entry for entry in self.log if entry["event"] == "ready")

    def client(self) -> httpx.AsyncClient:
        """Create a client of the API, with the first token."""
        return _client(self.api, self._fixture.token)

    async def answers(self, name: str, rtype: str) -> list[tuple[int, str]]:
        """Return TTL and data of the records at an absolute name, sorted."""
        query = dns.message.make_query(dns.name.from_text(name), rtype)
        host, port = self.dns
        reply, _ = await dns.asyncquery.udp_with_fallback(query, host, port=port, timeout=SECONDS)
        assert reply.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}, reply
        return sorted((rrset.ttl, rdata.to_text()) for rrset in reply.answer for rdata in rrset)

    async def stop(self) -> None:
        """Stop the server as an administrator does."""
        self.process.terminate()
        async with asyncio.timeout(SECONDS):
            assert await self.process.wait() == 0
        await self._reading

    async def kill(self) -> None:
        """Kill the server, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._reading


def _client(url: str, token: str, **more: Any) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False, **more)


def host_and_port(address: str) -> tuple[str, int]:
    """Split ``host:port``."""
    host, _, port = address.rpartition(":")
    return host, int(port)


async def connect(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to the API of a server."""
    return await asyncio.open_connection(*host_and_port(server.api_address))


async def query(server: Server, name: str, rtype: str = "A") -> dns.message.Message:
    """Query a name in lab.internal over the network."""
    host, port = host_and_port(server.state.listening[0])
    message = dns.message.make_query(f"{name}.lab.internal", rtype, use_edns=True)
    return await dns.asyncquery.udp(message, host, port=port, timeout=SECONDS)


async def answers(server: Server, name: str, rtype: str = "A") -> list[str]:
    """Return the data of the records at a name in lab.internal, sorted."""
    reply = await query(server, name, rtype)
    return sorted(rdata.to_text() for rrset in reply.answer for rdata in rrset)


async def until_answers(server: Server, name: str, expected: list[str]) -> None:
    """Query a name in lab.internal until the answer is as expected."""
    while await answers(server, name) != expected:  # noqa: ASYNC110 - no event to wait for
        await asyncio.sleep(0.01)
