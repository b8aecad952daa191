"""Logs each reason of a failure once per outage, instead of on every retry."""

from time import monotonic
from typing import Any, Final

import structlog

log = structlog.get_logger()

MAX_REASONS: Final = 5
"""Reasons logged per outage; they may differ by endpoint."""
OVER: Final = 120.0
"""Seconds without a failure after which an outage is over; twice the longest retry delay."""


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
