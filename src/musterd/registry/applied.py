"""How far what the registry keeps is in answers."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from musterd.kv import EventBatch, StoreError
from musterd.kv.follow import WatchLike

WAIT: Final = 1.0
"""Seconds at most that a write waits for the answers to have it."""


class Applied:
    """The last revision of the store that is in answers, as the source of the registry says."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Nothing yet. clock: seconds, never falls."""
        self._upto = 0
        self._watch: WatchLike[EventBatch] | None = None
        """That of the source while all that it gave is in answers, which may get further."""
        self._clock = clock
        self._behind: float | None = clock()
        """Since when answers may differ from the store, None where they don't."""
        self._live = False
        self._first = asyncio.Event()
        self._waiting: dict[asyncio.Future[None], int] = {}

    @property
    def revision(self) -> int:
        """The last of the store that is in answers, whatever keys it changed."""
        return self._upto if self._watch is None else max(self._upto, self._watch.revision)

    @property
    def lag(self) -> float:
        """Seconds for which answers may have differed from the store; 0 where they don't."""
        return 0.0 if self._behind is None else self._clock() - self._behind

    def upto(self, revision: int, *, more: bool = False) -> None:
        """All changes up to a revision are in answers; whether more are known already."""
        self._upto = revision
        self._behind = (self._behind or self._clock()) if more else None
        self._live = True
        self._first.set()
        for waiting in [one for one, wanted in self._waiting.items() if wanted <= revision]:
            self._wake(waiting)

    async def after(self, watch: WatchLike[EventBatch]) -> EventBatch:
        """What a watch gives next, when all that it gave before is in answers.

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
        """The source can't tell any more; nobody needs to wait for it."""
        self._behind = self._behind or self._clock()
        self._live = False
        for waiting in list(self._waiting):
            self._wake(waiting)

    async def synced(self, within: float) -> None:
        """Wait until anything is in answers, or for some seconds."""
        try:
            async with asyncio.timeout(within):
                await self._first.wait()
        except TimeoutError:
            return

    async def reached(self, revision: int) -> bool:
        """Wait until a revision is in answers, for a while; whether it is.

        A write is safe before that; but who was told so asks next, and expects it.
        """
        if self.revision >= revision or not self._live:
            return self.revision >= revision
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
