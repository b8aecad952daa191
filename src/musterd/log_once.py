"""Limits how often the same reason is logged."""

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any, Final

import structlog

log = structlog.get_logger()

MAX_REASONS: Final = 5
"""Reasons logged per outage; they may differ by endpoint."""
OVER: Final = 120.0
"""Seconds without a failure after which an outage is over; twice the longest retry delay."""
MINUTE: Final = 60.0
"""Seconds between two lines of a reason."""


class FailureLog:
    """Logs failures as warnings, each reason once per outage."""

    def __init__(self, event: str) -> None:
        """Create a log. event: the name of the log event."""
        self._event = event
        self._logged: set[str] = set()
        self._last = 0.0

    def failed(self, reason: str, **about: Any) -> None:
        """Log a failed attempt, unless the reason has been logged."""
        now = monotonic()
        if now - self._last > OVER:
            self.over()
        self._last = now
        if reason not in self._logged and len(self._logged) < MAX_REASONS:
            self._logged.add(reason)
            log.warning(self._event, reason=reason, **about)

    def over(self) -> None:
        """Reset after a successful attempt."""
        self._logged.clear()


class ThrottledLog:
    """Logs each reason at most once a minute, with the number of times since the last line.

    For what any client can cause. The reasons must be few: constants, not input.
    """

    def __init__(self, event: str, clock: Callable[[], float] = monotonic) -> None:
        """Create a log. event: the name of the log event; clock: returns seconds."""
        self._event = event
        self._clock = clock
        self._logged: dict[str, tuple[float, int]] = {}
        """Time of the last line, and how often the reason has occurred since, by reason."""

    def warning(self, reason: str) -> None:
        """Log a reason, or count it."""
        now = self._clock()
        last, count = self._logged.get(reason, (-inf, 0))
        if now - last < MINUTE:
            self._logged[reason] = last, count + 1
        else:
            self._logged[reason] = now, 0
            log.warning(self._event, reason=reason, times=count + 1)
