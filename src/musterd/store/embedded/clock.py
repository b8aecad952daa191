"""The clock by which leases end."""

import time

from musterd.clock import LoopClock


class BootClock(LoopClock):
    """As the loop's, but its seconds go on while the machine sleeps."""

    def monotonic(self) -> float:
        """Seconds since the machine started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
