"""Tells the core again and again that the event loop runs, so that its sources are followed.

The workers answer without the loop. While it hangs, or the machine sleeps, no change and no loss
of a source is noticed; so they mark all answers as stale from ``LIMIT`` after the last beat on.
That holds for zone files too: nobody has looked at them either.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

import structlog

from musterd.catalog.states import States
from musterd.clock import Clock

PERIOD: Final = 1.0
"""Seconds between two beats."""
LIMIT: Final = 10.0
"""Seconds from the last beat until answers are marked: those in which a lost source is noticed."""
HELD: Final = 10
"""Beats after such a time for which they stay so: at the last each source has noticed its loss."""

log = structlog.get_logger()


class Heartbeat:
    """Puts off the time from which answers are marked."""

    def __init__(self, live_until: Callable[[int], None], states: States, clock: Clock) -> None:
        """``live_until``: of the core; ``clock``: that of ``states``, and of boot time."""
        self._live_until = live_until
        self._states = states
        self._clock = clock
        self._last = inf
        """When it last beat."""
        self._since = inf
        """When it last beat before it was late; infinite while answers aren't held."""
        self._held = 0
        """Beats that are to come until answers are live again."""

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(PERIOD)

    def beat(self) -> None:
        """Put off the time, unless sources may have been lost without notice.

        After a late beat each source has ``HELD`` beats to find out. They are counted, as time may
        pass while the loop stands once more.
        """
        now = self._clock.monotonic()
        if now - self._last >= LIMIT:
            self._since = min(self._since, self._last)
            self._held = HELD
            log.warning("did not run, answers are marked stale", seconds=round(now - self._last, 1))
        elif self._held:
            self._held -= 1
            if not self._held:
                self._states.live_again(self._since)
                self._since = inf
                log.info("answers are live again")
        self._last = now
        if not self._held:
            self._states.live_until = now + LIMIT
            self._live_until(round((now + LIMIT) * 1e9))
