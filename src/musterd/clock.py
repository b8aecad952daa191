"""Time as a parameter: the tests bring their own."""

import asyncio
import time as _time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Let it not come; no effect when it has."""


class Clock(Protocol):
    """What tells the time, and calls back when some has passed."""

    def time(self) -> float:
        """Seconds since 1970; may be set back."""

    def monotonic(self) -> float:
        """Seconds since any moment; never falls."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call in the event loop after a delay, seconds."""


class LoopClock:
    """The time of the system and of the running event loop."""

    def time(self) -> float:
        """Seconds since 1970; may be set back."""
        return _time.time()

    def monotonic(self) -> float:
        """Seconds since any moment; never falls."""
        return _time.monotonic()

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call in the event loop after a delay, seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)


class BootClock(LoopClock):
    """As the loop's, but its seconds go on while the machine sleeps: leases end by it."""

    def monotonic(self) -> float:
        """Seconds since the machine started."""
        return _time.clock_gettime(_time.CLOCK_BOOTTIME)
