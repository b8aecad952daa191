"""The serial of a generated SOA."""

from collections.abc import Callable
from math import inf
from typing import Final

from musterd.clock import Clock, Timer

INTERVAL: Final = 1.0
"""Minimum seconds between two serials; a serial that advances faster would pass the time."""
_MAX_SERIAL: Final = 0xFFFF_FFFF


class Serial:
    """A serial that is the time of the last change and never decreases."""

    def __init__(self) -> None:
        """Create a serial that has not started."""
        self.value = 0
        self.changed = 0.0
        """Time of the last change, epoch seconds."""
        self._advanced = -inf
        """Time of the last advance, by the monotonic clock."""
        self._timer: Timer | None = None

    @property
    def answered(self) -> int:
        """The serial as in the SOA, 32 bits."""
        return self.value & _MAX_SERIAL

    def start(self, clock: Clock, last: int) -> None:
        """Start so that the first advance exceeds ``last``, of an earlier run; 0 for none."""
        self.changed = clock.time()
        self.value = max(int(self.changed), last + 1 if last else 0) - 1

    def schedule(self, clock: Clock, due: Callable[[], object]) -> bool:
        """Return whether to advance now; otherwise ``due`` is called when ``INTERVAL`` is over."""
        if self._timer is not None:
            return False
        wait = self._advanced + INTERVAL - clock.monotonic()
        if wait > 0:
            self._timer = clock.call_later(wait, due)
        return wait <= 0

    def advance(self, clock: Clock) -> None:
        """Advance to the present time, at least by one."""
        self._timer = None
        self.changed, self._advanced = clock.time(), clock.monotonic()
        self.value = max(int(self.changed), self.value + 1)

    def stop(self) -> None:
        """Cancel a scheduled advance."""
        if self._timer is not None:
            self._timer.cancel()
