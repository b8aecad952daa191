"""Progress of applying the registry's changes to answers."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from musterd.kv import EventBatch, StoreError
from musterd.kv.follow import WatchLike

WAIT: Final = 1.0
"""Longest time a write waits until answers include it, seconds."""


class Applied:
    """The last revision of the store that answers include, as reported by the registry source."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Start without a revision. clock: returns monotonic seconds."""
        self.zones: set[bytes] = set()
        """Folded wire names of the zones under which records are or were registered."""
        self._upto = 0
        self._watch: WatchLike[EventBatch] | None = None
        """The source's watch, while all its batches are in answers; it may advance."""
        self._clock = clock
        self._behind: float | None = clock()
        """Time since which answers may differ from the store; None if they don't."""
        self._live = False
        self._first = asyncio.Event()
        self._waiting: dict[asyncio.Future[None], int] = {}

    @property
    def revision(self) -> int:
        """Last revision of the store that answers include, whatever keys it changed."""
        return self._upto if self._watch is None else max(self._upto, self._watch.revision)

    @property
    def lag(self) -> float:
        """Seconds for which answers may have differed from the store; 0 if they don't."""
        return 0.0 if self._behind is None else self._clock() - self._behind

    def upto(self, revision: int, *, more: bool = False) -> None:
        """Note that answers include a revision. more: later changes are known already."""
        self._upto = revision
        self._behind = (self._behind or self._clock()) if more else None
        self._live = True
        self._first.set()
        for waiting in [future for future, wanted in self._waiting.items() if wanted <= revision]:
            self._wake(waiting)

    async def after(self, watch: WatchLike[EventBatch]) -> EventBatch:
        """Read the next batch of a watch, once answers include all earlier ones.

        Raises StoreError as the watch does.
        """
        self._watch = watch
        try:
            batch = await anext(watch)
        except StoreError:
            self._upto = self.revision
            raise
        else:
            self._upto = max(self._upto, batch.revision - 1)
            return batch
        finally:
            self._watch = None

    def lost(self) -> None:
        """Note that the source lost the store; waiting writes stop waiting."""
        self._behind = self._behind or self._clock()
        self._live = False
        for waiting in list(self._waiting):
            self._wake(waiting)

    async def synced(self, within: float) -> None:
        """Wait for the first revision in answers, at most ``within`` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._first.wait()
        except TimeoutError:
            return

    async def reached(self, revision: int) -> bool:
        """Wait briefly until answers include a revision; return whether they do.

        The write is durable before that, but its client may query at once and expect it.
        """
        done = self.revision >= revision
        if done or not self._live:
            return done
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = revision
        try:
            async with asyncio.timeout(WAIT):
                await waiting
        except TimeoutError:
            pass
        finally:
            self._waiting.pop(waiting, None)
        return self.revision >= revision

    def _wake(self, waiting: asyncio.Future[None]) -> None:
        del self._waiting[waiting]
        if not waiting.done():
            waiting.set_result(None)
