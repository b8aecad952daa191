"""Takes what one source reports to the catalog, with its snapshot where the source is too late."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

import structlog

from musterd.backoff import Backoff
from musterd.catalog import Catalog
from musterd.catalog.table import nothing
from musterd.log_once import FailureLog
from musterd.server.snapshots import Snapshots
from musterd.sources import LeavesOut, Source
from musterd.sources.changes import Lost, Synced

LATE: Final = 1.0
"""Seconds after which the snapshot of a source is taken that has not begun a list."""
RETRY: Final = Backoff(1.0, 60.0)
"""Delays before a source that broke is started again."""

log = structlog.get_logger()


class Feeder:
    """Feeds the catalog from one source."""

    def __init__(
        self,
        source: Source,
        catalog: Catalog,
        snapshot: tuple[Snapshots, str] | None,
        synced: Callable[[str], None],
    ) -> None:
        """``snapshot``: where it is, and the hash of the settings; ``synced`` hears the name."""
        self._source = source
        self._catalog = catalog
        self._snapshot = snapshot
        self._synced = synced
        self._outage = FailureLog("source lost")

    async def run(self) -> None:
        """Feed, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._restore_late())
            retry = RETRY.start()
            while True:
                try:
                    await self._follow()
                    reason = "it ended"
                except Exception as error:
                    # A fault of one source must not take the server with it.
                    log.exception("a source broke", source=self._source.name)
                    reason = f"it broke: {type(error).__name__}: {error}"
                await self._catalog.feed(self._source.name, Lost(reason))
                await self._restore()
                await asyncio.sleep(retry.next())

    async def _follow(self) -> None:
        name = self._source.name
        source = self._source
        left_out = source.left_out if isinstance(source, LeavesOut) else nothing
        self._catalog.tables[name].left_out = left_out
        async with aclosing(self._source.changes()) as changes:
            async for change in changes:
                await self._catalog.feed(name, change)
                match change:
                    case Synced(revision):
                        self._outage.over()
                        log.info("source synced", source=name, revision=revision)
                        self._synced(name)
                    case Lost(reason):
                        self._outage.failed(reason, source=name)
                        await self._restore()

    async def _restore_late(self) -> None:
        await asyncio.sleep(LATE)
        await self._restore()

    async def _restore(self) -> None:
        """Take the snapshot, once, unless the source is better."""
        if self._snapshot is not None and self._catalog.awaits(self._source.name):
            (folder, settings), self._snapshot = self._snapshot, None
            await folder.restore(self._source.name, settings)
