"""Limits background work to a share of the time."""


class FairShare:
    """Decides when waiting work may start.

    Work waits for a short time, so that work that arrives meanwhile is done with it, and after work
    that took long for a multiple of that time.
    """

    def __init__(self, debounce: float, share: float) -> None:
        """Start without waiting work.

        debounce: seconds from the first request to the start; share: fraction of the time that
        the work may take, above 0.
        """
        self._debounce = debounce
        self._rest_ratio = 1 / share
        self._due: float | None = None
        self._rested = 0.0

    def allow(self, now: float) -> bool:
        """Return whether waiting work may start at a time in seconds, and forget it if so."""
        if self.delay(now) > 0:
            return False
        self._due = None
        return True

    def delay(self, now: float) -> float:
        """Return the seconds until waiting work may start; the first call begins the debounce."""
        if self._due is None:
            self._due = now + self._debounce
        self._due = max(self._due, self._rested)
        return max(self._due - now, 0.0)

    def cancel(self) -> None:
        """Note that no work is waiting."""
        self._due = None

    def spent(self, start: float, seconds: float) -> None:
        """Note that a step of the work began at a time and took so many seconds."""
        self._rested = max(self._rested, start) + self._rest_ratio * seconds
