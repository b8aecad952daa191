"""Garbage collection and priority of a server, before and after it has loaded."""

import gc
import os
import threading
from contextlib import suppress
from typing import Final

from musterd.clock import Clock
from musterd.server.service import BasicService

MAX_LOADING: Final = 30.0
"""Seconds after which the workers get priority even if loading has not finished."""
NICENESS: Final = 10
"""Niceness of the event loop and its threads, so that the workers, which answer, run first."""
GC_THRESHOLD: Final = 20_000
"""New objects that trigger a garbage collection. A write leaves no cycles, so that more frequent
collections find nothing; a collection of this many objects takes about a millisecond."""


class TuningService(BasicService):
    """Disables garbage collection while the server loads, and lowers its priority afterwards."""

    def __init__(self, clock: Clock) -> None:
        """Create the service."""
        super().__init__()
        self._clock = clock

    async def run(self) -> None:
        """Wait until stopped."""
        # Loaded objects are kept: looking for garbage among them would take a tenth of the time.
        gc.disable()
        self._clock.call_later(MAX_LOADING, self.loaded)
        await super().run()

    async def close(self) -> None:
        """Enable garbage collection."""
        gc.enable()

    def loaded(self) -> None:
        """Exclude all present objects from garbage collection, and give the workers priority.

        Not before the sources have loaded: until then the workers have little to answer.
        """
        # The youngest generation holds all objects created while loading. A collection of the
        # others, those of imports, blocks the loop for 40 ms and finds a dozen.
        gc.collect(0)
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        gc.enable()
        for thread in threading.enumerate():
            if thread.native_id is not None:
                with suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, thread.native_id, NICENESS)
