"""A catalog in this process, fed from the registry in etcd."""

import asyncio
from collections.abc import Sequence

from musterd.catalog import Catalog
from musterd.catalog.outbox import Row
from musterd.registry.applied import Applied
from musterd.server.source_runner import SourceRunner
from musterd.settings import Settings
from musterd.sources.registry import NAME, RegistrySource
from musterd.store.etcd import EtcdStore
from tests.catalogkit import ManualClock, RecordingCore
from tests.etcdkit import Etcd

ZONES = ("lab.internal", "b.test")
TTL = 30


class Steps(RecordingCore):
    """A recording core that also keeps each state of one name."""

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.steps: list[list[str]] = []

    def apply(self, batch: Sequence[Row]) -> list[tuple[int, str]]:
        refused = super().apply(batch)
        self.forget()
        if self.name:
            lines = [line for line in self.text(ZONES[0]) if line.startswith(f"{self.name}.")]
            now = [line.split()[-1] for line in lines]
            if [now] != self.steps[-1:]:
                self.steps.append(now)
        return refused


class FollowingCatalog:
    """A catalog fed from the registry in etcd by its own client."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._task: asyncio.Task[None] | None = None
        self._store: EtcdStore | None = None
        self._catalog: Catalog | None = None
        self.core = Steps()
        self._synced = False

    @property
    def settled(self) -> bool:
        """True if the list is complete; before, deleted records may still be answered."""
        assert self._catalog
        return self._synced and self._catalog.states.sources[NAME].lost is None

    async def start(self, *, new_catalog: bool = True) -> None:
        """Follow with a new or the existing catalog."""
        if self._catalog is None or new_catalog:
            self.core = Steps()
            self._catalog = Catalog(self.core, ManualClock())
            raw = {"zones": [{"name": zone} for zone in ZONES]}
            await self._catalog.reconfigure(Settings.model_validate(raw))
        self._store = EtcdStore(self._etcd.options())
        source = RegistrySource(self._store, Applied(), lambda _: TTL)
        self._synced = False
        feeder = SourceRunner(source, self._catalog, None, self._note)
        self._task = asyncio.create_task(feeder.run())

    def _note(self, _: str) -> None:
        self._synced = True

    async def stop(self) -> None:
        assert self._task
        assert self._store
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._store.close()
