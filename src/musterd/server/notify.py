"""Tells systemd about the state of the server (sd_notify(3)).

Does nothing unless systemd has set ``NOTIFY_SOCKET``.
"""

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

import structlog

from musterd.server.service import BasicService

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"

log = structlog.get_logger()


class NotifyService(BasicService):
    """Reports readiness, reloads and the stop, and keeps systemd's watchdog from acting."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Create the service. Only ``environ`` decides whether and where it reports."""
        super().__init__()
        address = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for an abstract socket.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._period = _watchdog_period(environ)

    async def run(self) -> None:
        """Report that the server is ready; then report regularly, if asked to, until stopped."""
        self.send(READY)
        while not self.stopping.is_set():
            try:
                async with asyncio.timeout(self._period):
                    await self.stopping.wait()
            except TimeoutError:
                self.send(WATCHDOG)
        self.send(STOPPING)

    def reloading(self) -> None:
        """Report that a reload has begun; ``send(READY)`` ends it."""
        self.send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def send(self, message: str) -> None:
        """Send a message, which is lost if systemd doesn't listen."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("can't notify systemd", message=message, reason=error.strerror)


def _watchdog_period(environ: Mapping[str, str]) -> float | None:
    """Return the seconds between reports to the watchdog: half of its timeout; None without one."""
    timeout, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not timeout.isdecimal() or not int(timeout) or pid not in {"", str(os.getpid())}:
        return None
    return int(timeout) / 2_000_000
