"""Runs the sources of a server, and applies the settings to the catalog."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from musterd.catalog.strays import stray_groups
from musterd.server.service import BasicService, Prepared
from musterd.server.source_kinds import check_kind, create
from musterd.server.source_runner import SourceRunner
from musterd.server.source_spec import SourceSpec, source_specs
from musterd.server.state import ServerState
from musterd.settings import REGISTRY, Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _RunningSource:
    """A source and the task that runs it."""

    identity: tuple[str, int, object]
    task: asyncio.Task[None]


class SourceSupervisor(BasicService):
    """Runs each source that a zone lists."""

    def __init__(self, state: ServerState, loaded: Callable[[], None]) -> None:
        """Create the service. ``loaded`` is called each time when all sources have synced."""
        super().__init__()
        self._state = state
        self._loaded = loaded
        self._specs: dict[str, SourceSpec] = {}
        self._running: dict[str, _RunningSource] = {}
        self._unsynced: set[str] = set()
        self._group: asyncio.TaskGroup | None = None

    async def prepare(self, new: Settings) -> Prepared:
        """Check the kinds of the sources. Raises SettingsError."""
        specs = source_specs(new)
        for spec in specs.values():
            check_kind(spec)
        return Prepared(partial(self._commit, new, specs))

    async def _commit(self, new: Settings, specs: dict[str, SourceSpec]) -> None:
        self._specs = specs
        await self._stop_changed()
        await self._state.catalog.reconfigure(new)
        for source in new.sources.each():
            if source.name not in specs:
                log.warning("source not read: no zone lists it", source=source.name)
        if self._group is not None and REGISTRY in self._running:
            # Otherwise they are reported once the registry has been read.
            self._group.create_task(self._report_strays())
        self._start_missing()

    async def run(self) -> None:
        """Run the sources until stopped."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start_missing()
            await self.stopping.wait()
            self._group = None
            for source in self._running.values():
                source.task.cancel()

    async def _stop_changed(self) -> None:
        """Stop the sources that were removed or whose settings differ."""
        for name, source in list(self._running.items()):
            spec = self._specs.get(name)
            if spec is None or spec.identity != source.identity:
                del self._running[name]
                source.task.cancel()
                await asyncio.wait([source.task])
                self._unsynced.discard(name)

    def _start_missing(self) -> None:
        """Start the sources that do not run yet."""
        if self._group is None:
            return
        snapshots = self._state.snapshots
        for name, spec in self._specs.items():
            if name not in self._running:
                self._unsynced.add(name)
                snapshot = (snapshots, spec.digest) if snapshots and spec.has_snapshot else None
                source = create(spec, self._state)
                runner = SourceRunner(source, self._state.catalog, snapshot, self._synced)
                task = self._group.create_task(runner.run())
                self._running[name] = _RunningSource(spec.identity, task)

    def _synced(self, name: str) -> None:
        self._unsynced.discard(name)
        if name == REGISTRY and self._group is not None:
            self._group.create_task(self._report_strays())
        if not self._unsynced:
            log.info("all sources synced")
            self._loaded()

    async def _report_strays(self) -> None:
        """Log which registered records belong to another zone, or to none."""
        catalog = self._state.catalog
        table = catalog.tables.get(REGISTRY)
        for group in [] if table is None else await stray_groups(catalog.zones, table):
            where = {"registered_in": group.zone, "records": group.records,
                     "example": group.example}  # fmt: skip
            if group.answered:
                log.warning("records belong to another zone now", zone=group.now, **where)
            elif group.now is not None:
                log.warning("records are not answered: their zone does not list the registry",
                            zone=group.now, **where)  # fmt: skip
            else:
                log.warning("records are not answered: no zone is declared for them", **where)
