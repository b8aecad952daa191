"""Shared by the tests of records in etcd: keys in, zone text out."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from musterd._core import Core
from musterd.catalog import Catalog
from musterd.clock import Clock
from musterd.etcd import EtcdClient, EtcdOptions
from musterd.rr.names import name_from_text
from musterd.rr.rrset import Record
from musterd.server.source_runner import SourceRunner
from musterd.settings import Settings
from musterd.sources.changes import Delete, Fault, Put, Resolved, Withheld, WithheldRecord
from musterd.sources.etcd import EtcdSource
from musterd.sources.etcd.index import Index, Report
from musterd.sources.etcd.keys import LAYOUTS
from musterd.sources.etcd.limits import LIMITS, NameLimits
from tests.catalogkit import ManualClock, RecordingCore, lines_of, until

ZONE = "lab.internal"
TTL = 300
NAME = "there"
"""Name of the source."""

Values = Mapping[str, Any]
"""Key below the zone, the last label first -> value: an object, or text as it is."""


def to_bytes(value: Any) -> bytes:
    """A value as it is in etcd."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def wire(*names: str) -> tuple[bytes, ...]:
    """Names in wire form."""
    return tuple(map(name_from_text, names))


class IndexModel:
    """An index, and the rows that it reported."""

    def __init__(
        self,
        layout: str = "skydns",
        zones: Sequence[str] = (ZONE,),
        *,
        subtree: bool = True,
        limits: NameLimits = LIMITS,
    ) -> None:
        self.layout = LAYOUTS[layout]
        prefix = self.layout.prefix
        self.index = Index(self.layout, prefix, wire(*zones), TTL, subtree=subtree, limits=limits)
        self.rows: dict[str, tuple[int, tuple[Record, ...]]] = {}
        self.faults: list[Fault] = []
        self.withheld: dict[bytes, tuple[WithheldRecord, ...]] = {}
        """The last report of each owner name."""
        self.problems: dict[str, str] = {}
        """Location of each present fault -> its reason."""
        self.revision = 1
        self.later: Iterator[list[Report]] = iter(())

    def key(self, path: str) -> bytes:
        """The key in etcd of a path below the zone; one that begins with a slash is whole."""
        below = path if path.startswith("/") else f"{self.layout.prefix}/internal/lab/{path}"
        return below.encode()

    def put(self, path: str, value: Any, lease: int | None = None) -> None:
        self.revision += 1
        self.index.put(self.key(path), to_bytes(value), self.revision, lease)

    def load(self, path: str, value: Any, revision: int) -> None:
        """Take a key of a first list."""
        self.revision = revision
        if put := self.index.load(self.key(path), to_bytes(value), revision, None, 0.0):
            self.note([put])

    def delete(self, path: str) -> None:
        self.revision += 1
        self.index.delete(self.key(path), self.revision)

    def take(self, steps: int = 1_000_000) -> None:
        """Take all changes. steps: maximum steps for names with many services."""
        self.note(self.index.take(0.0))
        for _ in range(steps):
            step = next(self.later, None)
            if step is not None:
                self.note(step)
            elif self.index.waits:
                self.later = self.index.later(0.0)
            else:
                break

    def note(self, several: Iterable[Report]) -> None:
        for change in several:
            match change:
                case Put(key, revision, _, records):
                    self.rows[key] = revision, records
                case Delete(key):
                    self.rows.pop(key, None)
                case Fault(where, reason):
                    self.faults.append(change)
                    self.problems[where] = reason
                case Resolved(where):
                    del self.problems[where]
                case Withheld(owner, records):
                    self.withheld[owner] = records

    def text(self, *, ttl: bool = False) -> list[str]:
        """Return the answers of all names, sorted, relative to the zone."""
        self.take()
        lines = [
            line
            for _, records in self.rows.values()
            for owner, rtype, packed in records
            for line in lines_of(owner, rtype, packed)
        ]
        if not ttl:
            lines = [
                " ".join(one for at, one in enumerate(line.split(" ")) if at != 1) for line in lines
            ]
        return sorted(line.replace(f".{ZONE}.", "").replace(f"{ZONE}.", "@") for line in lines)

    def of(self, name: str, *types: str) -> list[str]:
        """Return the answers of a name, of some types or all."""
        lines = (line.split(" ", 2) for line in self.text())
        return [
            f"{rtype} {rdata}"
            for owner, rtype, rdata in lines
            if owner == name and (not types or rtype in types)
        ]


def model(values: Values, layout: str = "skydns", **more: Any) -> IndexModel:
    """A model of keys."""
    made = IndexModel(layout, **more)
    for path, value in values.items():
        made.put(path, value)
    made.take()
    return made


class Fed:
    """A catalog that is fed from an etcd."""

    def __init__(self, catalog: Catalog, client: EtcdClient) -> None:
        self.catalog = catalog
        self.client = client
        self.synced = 0
        self.changed = asyncio.Event()

    @property
    def state(self) -> str:
        (report,) = [each for each in self.catalog.source_reports() if each.name == NAME]
        return report.state

    @property
    def problems(self) -> list[str]:
        return [problem.where for problem in self.catalog.tables[NAME].problems.last]

    def on_synced(self, _: str) -> None:
        self.synced += 1


def settings(zones: Sequence[str], **more: Any) -> Settings:
    """Settings of a source in some zones."""
    source = {"name": NAME, "zones": list(zones), "endpoints": ["127.0.0.1:1"], **more}
    return Settings.model_validate(
        {
            "state": {"dir": ""},
            "zones": [{"name": zone} for zone in zones],
            "sources": {"etcd": [source]},
        }
    )


@asynccontextmanager
async def feeding(
    options: EtcdOptions,
    core: Core | RecordingCore,
    *,
    zones: Sequence[str] = (ZONE,),
    layout: str = "skydns",
    subtree: bool = True,
    wildcard_queries: bool = False,
    clock: Callable[[], Clock] = ManualClock,
    catalog: Catalog | None = None,
) -> AsyncIterator[Fed]:
    """A catalog of zones, new or given, that is fed from an etcd and has synced."""
    if catalog is None:
        catalog = Catalog(core, clock())
        await catalog.reconfigure(settings(zones, layout=layout, wildcard_queries=wildcard_queries))
    source = EtcdSource(
        NAME, options, layout, LAYOUTS[layout].prefix, wire(*zones), TTL, subtree=subtree
    )
    async with EtcdClient(options) as client:
        fed = Fed(catalog, client)
        task = asyncio.create_task(SourceRunner(source, catalog, None, fed.on_synced).run())
        try:
            await until(lambda: bool(fed.synced))
            yield fed
        finally:
            task.cancel()
            await asyncio.wait([task])
