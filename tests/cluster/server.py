"""``musterd serve`` in its own process, restarted in the same directory."""

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
"""Limit for a server to become ready on a busy machine."""
LINES = 20
WIDTH = 400
"""Lines of a log to show after a failure, without those of writes, and their width."""
ZONE = "lab.internal"
STALE_AFTER = 1.0
"""``stale_after`` of the zone, seconds."""
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


class ClusterServer:
    """One server; ``before``: prefix of its command line, to run it on another host."""

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
        """Number of starts."""
        self.dns: tuple[str, int] | None = None
        """DNS address; None unless the server is ready."""
        self._frozen: tuple[str, int] | None = None
        self.api = ""
        self.metrics = ""
        self._token = token
        self._before = before
        self._settings = folder / "musterd.toml"
        self._log = folder / "log"
        self._read = 0
        """Size of the log at the last start, bytes."""
        self._process: subprocess.Popen[bytes] | None = None
        self._settings.write_text(
            TOML.format(
                address=address, endpoints=",".join(endpoints), store=store, zone=ZONE,
                state=folder / "state", stale_after=STALE_AFTER,
            )
        )  # fmt: skip

    async def start(self, *, synced: bool = True) -> None:
        """Start the server and wait until it is ready and, by default, synced."""
        assert self._process is None
        self._spawn()
        ready = await self.wait_for_event("ready")
        if synced:
            await self.wait_for_event("all sources synced")
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
        """Kill the server with SIGKILL."""
        self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Stop the server with SIGTERM and check its exit code."""
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
        """Kill the server if it runs."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process, self.dns = self._process, None, None
        assert process is not None
        process.send_signal(number)
        process.wait()

    @property
    def up(self) -> bool:
        """True if the server runs."""
        return self._process is not None and self._process.poll() is None

    async def wait_for_event(self, event: str, times: int = 1) -> dict[str, Any]:
        """Wait for the nth log event of a name since the start and return it."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while len(found := self.events(event)) < times:
                    assert self.up, f"{self.name} ended\n{self.tail()}"
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{self.name} doesn't log {event!r}\n{self.tail()}") from None
        return found[times - 1]

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return the log events of a name since the start."""
        found = []
        for line in self._since().splitlines():
            if f'"{event}"' in line:
                entry = json.loads(line)
                if entry["event"] == event:
                    found.append(entry)
        return found

    def text(self) -> str:
        """Return the whole log."""
        return self._log.read_text(errors="replace")

    def broken(self) -> str:
        """Return log lines that are no events, or have a traceback."""
        lines = self.text().splitlines()
        return "\n".join(line for line in lines if not line.startswith("{") or "Traceback" in line)

    def tail(self) -> str:
        """Return the end of the log."""
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
        """Return a client of the current API address."""
        headers = {"authorization": f"Bearer {self._token}"}
        return httpx.AsyncClient(
            base_url=f"http://{self.api}/v1", headers=headers, timeout=seconds, trust_env=False
        )

    def freeze(self) -> None:
        """Stop the process with SIGSTOP; its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        self._frozen, self.dns = self.dns, None

    def thaw(self) -> None:
        """Resume the process."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self.dns = self._frozen
