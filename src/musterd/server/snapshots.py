"""Saves the snapshots of the sources while a server runs, and once more when it stops."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final

from musterd.server.service import BasicService, Prepared
from musterd.server.snapshot_files import SnapshotFiles, open_folder
from musterd.server.source_spec import SourceSpec, source_specs
from musterd.server.state import ServerState
from musterd.settings import Settings

PERIOD: Final = 60.0
"""Seconds between two saves of what has changed."""


class SnapshotService(BasicService):
    """Saves snapshots and serials, if there is a state directory."""

    def __init__(self, state: ServerState) -> None:
        """Create the service; nothing is opened yet."""
        super().__init__()
        self._state = state
        self._specs: dict[str, SourceSpec] = {}
        self._ran = False

    async def prepare(self, new: Settings) -> Prepared:
        """Open the state directory. Raises StateError."""
        folder, state = new.state.dir, self._state
        if folder is not None and state.snapshots is None:
            await asyncio.to_thread(open_folder, folder)
            state.snapshots = SnapshotFiles(folder, state.catalog, state.clock.time)
            serials = await asyncio.to_thread(state.snapshots.read_serials)
            state.catalog.known_serials(serials)
        return Prepared(partial(self._commit, source_specs(new)))

    async def _commit(self, specs: dict[str, SourceSpec]) -> None:
        self._specs = specs

    async def run(self) -> None:
        """Save what has changed, until stopped."""
        # Not cancelled: its thread would write at the same time as the last save.
        while not self.stopping.is_set():
            await self._save()
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD):
                    await self.stopping.wait()
        self._ran = True

    async def close(self) -> None:
        """Save for the last time, unless the server has failed."""
        if self._ran:
            await self._save(last=True)

    async def _save(self, *, last: bool = False) -> None:
        snapshots = self._state.snapshots
        if snapshots is not None:
            await snapshots.save_serials(last=last)
            specs = self._specs.items()
            await snapshots.save({name: spec.digest for name, spec in specs if spec.has_snapshot})
