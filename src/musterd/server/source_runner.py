"""Passes the changes of one source to the catalog, and falls back to its snapshot."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog

from musterd.backoff import Backoff
from musterd.catalog import Catalog
from musterd.log_once import FailureLog
from musterd.server.snapshot_files import SnapshotFiles
from musterd.sources import Source
from musterd.sources.changes import Lost, Synced

log = structlog.get_logger()


RETRY: Final = Backoff(1.0, 60.0)


@dataclass(frozen=True, slots=True)
class RunnerTiming:
    """Delays of a runner."""

    restore_after: float = 1.0
    """Seconds until the snapshot is used for a source that has not begun a list."""
    retry: Backoff = RETRY
    """Delays before a source that failed is restarted."""


class SourceRunner:
    """Runs one source, and restarts it when it fails."""

    def __init__(
        self,
        source: Source,
        catalog: Catalog,
        snapshot: tuple[SnapshotFiles, str] | None,
        synced: Callable[[str], None],
        timing: RunnerTiming | None = None,
    ) -> None:
        """Create a runner.

        snapshot: where it is, and the hash of the settings; synced: called with the name of the
        source each time it has synced.
        """
        self._source = source
        self._catalog = catalog
        self._snapshot = snapshot
        self._synced = synced
        self._timing = timing or RunnerTiming()
        self._failures = FailureLog("source lost")

    async def run(self) -> None:
        """Run the source until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._restore_late())
            retry = self._timing.retry.start()
            while True:
                try:
                    await self._follow()
                    reason = "it ended"
                except Exception as error:
                    # A bug in one source must not stop the server.
                    log.exception("source failed", source=self._source.name)
                    reason = f"it failed: {type(error).__name__}: {error}"
                await self._catalog.feed(self._source.name, Lost(reason))
                await self._restore()
                await asyncio.sleep(retry.next())

    async def _follow(self) -> None:
        name = self._source.name
        async with aclosing(self._source.changes()) as changes:
            async for change in changes:
                await self._catalog.feed(name, change)
                match change:
                    case Synced(revision):
                        self._failures.over()
                        log.info("source synced", source=name, revision=revision)
                        self._synced(name)
                    case Lost(reason):
                        self._failures.failed(reason, source=name)
                        await self._restore()

    async def _restore_late(self) -> None:
        await asyncio.sleep(self._timing.restore_after)
        await self._restore()

    async def _restore(self) -> None:
        """Restore the snapshot, at most once, unless the source already has something newer."""
        if self._snapshot is not None and self._catalog.awaits(self._source.name):
            (folder, settings), self._snapshot = self._snapshot, None
            await folder.restore(self._source.name, settings)
