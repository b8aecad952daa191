"""Clocks, which are parameters so that tests can replace them."""

import asyncio
import time as _time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call. No-op if it has already run."""


class Clock(Protocol):
    """Returns the time, and calls back after a delay."""

    def time(self) -> float:
        """Return seconds since 1970; may be set back."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment; never decreases."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call in the event loop after a delay in seconds."""


class LoopClock:
    """The clock of the system and of the running event loop."""

    def time(self) -> float:
        """Return seconds since 1970; may be set back."""
        return _time.time()

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment; never decreases."""
        return _time.monotonic()

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call in the event loop after a delay in seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)


class BootClock(LoopClock):
    """A clock that goes on while the machine sleeps, as needed for leases."""

    def monotonic(self) -> float:
        """Return seconds since the machine started."""
        return _time.clock_gettime(_time.CLOCK_BOOTTIME)
