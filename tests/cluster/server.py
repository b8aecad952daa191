"""``musterd serve`` in a process of its own, started over and over in the same directory."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

START_SECONDS = 60.0
"""In which a server is ready, on a busy machine."""
LINES = 20
WIDTH = 400
"""Of a log that are shown when something fails; each write has a line, too, which aren't."""
ZONE = "muster.local"
STALE_AFTER = 1.0
"""Seconds, of the zone."""
TOML = """
[dns]
listen = ["{address}:0"]
workers = 1
[metrics]
listen = "{address}:0"
[api]
listen = "{address}:0"
allow_plain = true
[store]
url = "etcd://{endpoints}"
{store}
[state]
dir = "{state}"
[log]
format = "json"
[[zones]]
name = "{zone}"
stale_after = {stale_after}
"""
_MUSTERD = [sys.executable, "-c", "from musterd.cli import main; main()", "serve"]


class Server:
    """One server; ``before``: what its command line begins with, to run it elsewhere."""

    def __init__(
        self,
        folder: Path,
        endpoints: Sequence[str],
        token: str,
        *,
        address: str = "127.0.0.1",
        before: Sequence[str] = (),
        store: str = "",
    ) -> None:
        folder.mkdir(parents=True)
        self.name = folder.name
        self.runs = 0
        """How often it was started."""
        self.dns: tuple[str, int] | None = None
        """Where it answers; None while it doesn't run, or isn't ready."""
        self._frozen: tuple[str, int] | None = None
        self.api = ""
        self.metrics = ""
        self._token = token
        self._before = before
        self._settings = folder / "musterd.toml"
        self._log = folder / "log"
        self._read = 0
        """Octets of the log that were looked at."""
        self._process: subprocess.Popen[bytes] | None = None
        self._settings.write_text(
            TOML.format(
                address=address, endpoints=",".join(endpoints), store=store, zone=ZONE,
                state=folder / "state", stale_after=STALE_AFTER,
            )
        )  # fmt: skip

    async def start(self, *, synced: bool = True) -> None:
        """Start it; it answers then, and unless told otherwise has all that etcd has."""
        assert self._process is None
        self._spawn()
        ready = await self.told("ready")
        if synced:
            await self.told("all sources synced")
        host, _, port = ready["listen"][0].rpartition(":")
        self.api, self.metrics = ready["api"], ready["metrics"]
        self.dns = host, int(port)

    def _spawn(self) -> None:
        with self._log.open("ab") as log:
            self._read = log.tell()
            guard = ["setpriv", "--pdeathsig", "KILL", "--"]
            command = [*guard, *self._before, *_MUSTERD, "-c", str(self._settings)]
            environ = {**os.environ, "MUSTERD_API__FIRST_TOKEN": self._token}
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environ
            )
        self.runs += 1

    def kill(self) -> None:
        """As ``kill -9``."""
        self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """As an administrator would; it must end well."""
        process = self._process
        assert process is not None
        self.dns = None
        process.terminate()
        async with asyncio.timeout(START_SECONDS):
            while process.poll() is None:  # noqa: ASYNC110 - a process gives no event
                await asyncio.sleep(0.01)
        self._process = None
        assert process.returncode == 0, (
            f"{self.name} ended with {process.returncode}\n{self.tail()}"
        )

    def close(self) -> None:
        """End it if it runs."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process, self.dns = self._process, None, None
        assert process is not None
        process.send_signal(number)
        process.wait()

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    async def told(self, event: str, times: int = 1) -> dict[str, Any]:
        """The first event of a name since it was started, or a later one, once it is told."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while len(found := self.events(event)) < times:
                    assert self.up, f"{self.name} ended\n{self.tail()}"
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{self.name} doesn't tell {event!r}\n{self.tail()}") from None
        return found[times - 1]

    def events(self, event: str) -> list[dict[str, Any]]:
        """What it told so far under a name since it was started."""
        found = []
        for line in self._since().splitlines():
            if f'"{event}"' in line:
                entry = json.loads(line)
                if entry["event"] == event:
                    found.append(entry)
        return found

    def text(self) -> str:
        """All that it said."""
        return self._log.read_text(errors="replace")

    def broken(self) -> str:
        """What it said that is no event: the trace of a fault."""
        lines = self.text().splitlines()
        return "\n".join(line for line in lines if not line.startswith("{") or "Traceback" in line)

    def tail(self) -> str:
        """The end of its log."""
        lines = [
            line[:WIDTH] for line in self.text().splitlines() if '"event": "write"' not in line
        ]
        return "\n".join([f"== {self.name}", *lines[-LINES:]])

    def _since(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._read)
            # The last line may be cut off.
            return log.read().decode("utf-8", "replace").rpartition("\n")[0]

    def client(self, seconds: float) -> httpx.AsyncClient:
        """A client of its API, as it runs now."""
        headers = {"authorization": f"Bearer {self._token}"}
        return httpx.AsyncClient(
            base_url=f"http://{self.api}/v1", headers=headers, timeout=seconds, trust_env=False
        )

    def freeze(self) -> None:
        """Let it do nothing, its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        self._frozen, self.dns = self.dns, None

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self.dns = self._frozen
