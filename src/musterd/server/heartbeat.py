"""Tells the core periodically that the event loop runs, and so that sources are followed.

The workers answer independently of the event loop. While the loop hangs, or the machine sleeps,
nobody notices changes, or that a source is lost. So the workers mark all answers as stale when the
last beat is too old. This includes zone files, which nobody watches then either.
"""

import asyncio
from dataclasses import dataclass
from math import inf
from typing import Final

import structlog

from musterd.catalog.states import States
from musterd.clock import Clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class HeartbeatTiming:
    """Timing of the heartbeat."""

    period: float = 1.0
    """Seconds between two beats."""
    limit: float = 10.0
    """Seconds from the last beat until answers are marked; a lost source is noticed faster."""
    recovery_beats: int = 10
    """Beats after a late one until answers are live: by then, each lost source is noticed."""


TIMING: Final = HeartbeatTiming()


class Heartbeat:
    """Extends the time until which answers are live."""

    def __init__(self, states: States, clock: Clock, timing: HeartbeatTiming = TIMING) -> None:
        """Create a heartbeat. clock: the boot-time clock, which ``states`` uses as well."""
        self._states = states
        self._clock = clock
        self._timing = timing
        self._last = inf
        """Time of the last beat."""
        self._since = inf
        """Time of the last beat before a late one; infinite while answers are live."""
        self._remaining = 0
        """Beats until answers are live again."""

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(self._timing.period)

    def beat(self) -> None:
        """Extend the time, unless sources may have been lost unnoticed.

        After a late beat, the sources have some beats to notice a loss. Beats are counted instead
        of seconds, because the loop may hang once more.
        """
        now, limit = self._clock.monotonic(), self._timing.limit
        if now - self._last >= limit:
            self._since = min(self._since, self._last)
            self._remaining = self._timing.recovery_beats
            seconds = round(now - self._last, 1)
            log.warning("event loop was blocked, answers are marked stale", seconds=seconds)
        elif self._remaining:
            self._remaining -= 1
            if not self._remaining:
                self._states.live_again(self._since)
                self._since = inf
                log.info("answers are live again")
        self._last = now
        if not self._remaining:
            self._states.extend(now + limit)
