"""What is tried again and again is told once, not at each try."""

from time import monotonic
from typing import Any, Final

import structlog

log = structlog.get_logger()

MAX_REASONS: Final = 5
"""That are told of one outage; they differ by the endpoint that was asked."""
OVER: Final = 120.0
"""Seconds without a failed try after which the next is another outage; twice the longest pause."""


class FailureLog:
    """Warns why something fails: each reason once, until it is over."""

    def __init__(self, event: str) -> None:
        """``event``: what the log says."""
        self._event = event
        self._told: set[str] = set()
        self._last = 0.0

    def failed(self, reason: str, **about: Any) -> None:
        """A try failed."""
        now = monotonic()
        if now - self._last > OVER:
            self.over()
        self._last = now
        if reason not in self._told and len(self._told) < MAX_REASONS:
            self._told.add(reason)
            log.warning(self._event, reason=reason, **about)

    def over(self) -> None:
        """A try did not fail."""
        self._told.clear()
