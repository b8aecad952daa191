"""The catalog: takes the changes of sources, and keeps the core up to date."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Final

from musterd.catalog import reconfigure as plans
from musterd.catalog.explain import Contribution, explain
from musterd.catalog.merge import MADE_PTR
from musterd.catalog.outbox import Outbox
from musterd.catalog.publisher import MAX_BATCH, Core, Publisher
from musterd.catalog.reports import SourceReport, ZoneReport, source_report, zone_report
from musterd.catalog.resolve import resolve
from musterd.catalog.reverse import Reverse
from musterd.catalog.rows import Head
from musterd.catalog.states import States
from musterd.catalog.table import STEP, Table
from musterd.catalog.zone import Zone
from musterd.clock import Clock
from musterd.rr.names import fold, suffixes
from musterd.settings import Settings
from musterd.sources.changes import (
    Batch,
    Begin,
    Change,
    Delete,
    Fault,
    Lost,
    Put,
    PutMany,
    Resolved,
    Synced,
    Withheld,
)

_END: Final = object()


class Catalog:
    """Every record with its origin, and the answers that follow from them.

    Call its methods only in the thread of the event loop.
    """

    def __init__(self, core: Core, clock: Clock, *, max_batch: int = MAX_BATCH) -> None:
        """Create a catalog without zones. max_batch: RRsets that the core gets at once."""
        self.zones: dict[bytes, Zone] = {}
        self.tables: dict[str, Table] = {}
        self.states = States(core, clock)
        self._core = core
        self._clock = clock
        self._serials: Mapping[str, int] = {}
        self._outbox = Outbox()
        self._numbers = 0
        self._reverse = Reverse(self._new_table(MADE_PTR))
        self._publisher = Publisher(core, clock, self._outbox, self._reverse, max_batch)
        # Held for each step of a change, and for all steps of a reconfiguration.
        self._lock = asyncio.Lock()

    def _new_table(self, name: str) -> Table:
        self._numbers += 1
        return Table(name, self._numbers, self._outbox, self._clock.time)

    def known_serials(self, serials: Mapping[str, int]) -> None:
        """Set the serials (zone -> serial) that new zones must exceed; from an earlier run."""
        self._serials = serials

    async def feed(self, source: str, change: Change) -> None:
        """Take a change of a source; it is answered when this returns.

        A large change is taken in steps, between which other tasks run; so a source may have only
        one change in progress. Raises KeyError if no zone lists the source.
        """
        await self._run(self._steps(source, change))

    def apply(self, source: str, *changes: Change) -> None:
        """Take a few changes in one step. Raises KeyError if no zone lists the source."""
        for change in changes:
            for _ in self._steps(source, change):
                self._publisher.flush()
            self._publisher.flush()

    def awaits(self, source: str) -> bool:
        """Return whether a source has neither records nor begun a list."""
        status = self.states.sources[source]
        return not status.known and not status.begun

    async def restore(self, source: str, time: float, rows: Iterator[tuple[bytes, bytes]]) -> bool:
        """Take the keys and rows of a snapshot that was made at a time.

        Return False if the source itself began a list before all were taken.
        """
        self.states.restoring(source)
        await self._run(self._restoring(source, rows))
        if not self.awaits(source):
            return False
        self.states.restored(source, time)
        return True

    def snapshot(self, source: str) -> tuple[dict[bytes, bytes], int] | None:
        """Return the rows of a source (see ``Table.saved``) and its revision.

        Return None if nothing changed since the last call, or the source was never synced.
        """
        table = self.tables.get(source)
        if table is None or not table.changed or self.states.sources[source].synced is None:
            return None
        return table.saved(), self.states.sources[source].revision

    def snapshot_failed(self, source: str) -> None:
        """Record that the last snapshot of a source could not be saved."""
        if source in self.tables:
            self.tables[source].changed = True

    async def reconfigure(self, settings: Settings) -> None:
        """Change the zones to those of the settings; their records stay."""
        async with self._lock:
            for _ in self._reconfigure(settings):
                await asyncio.sleep(0)

    def explain(self, zone: bytes, owner: bytes, rtype: int | None = None) -> list[Contribution]:
        """Return every RRset at an owner name, the answered ones first; names are in wire form.

        At the end are those of zones above, which DNS never answers. Raises KeyError if the zone is
        unknown.
        """
        apex, name = fold(zone), fold(owner)
        found = explain(self.zones[apex], name, rtype)
        above = (self.zones.get(suffix) for suffix in suffixes(apex) if suffix != apex)
        for parent in above:
            if parent is not None and name in parent.names:
                reason = f"the zone {self.zones[apex].text} does not list this source"
                found += (replace(each, hidden=reason) for each in explain(parent, name, rtype))
        return found

    def take_changed(self) -> set[bytes]:
        """Return the apexes of the zones whose records have changed since the last call."""
        changed, self._publisher.changed = self._publisher.changed, set()
        return changed

    def source_reports(self) -> list[SourceReport]:
        """Return the state of each source."""
        return [source_report(table, self.states) for table in self.tables.values()]

    def zone_report(self, zone: Zone) -> ZoneReport:
        """Return the state of a zone."""
        return zone_report(zone, self.states)

    def zone_reports(self) -> list[ZoneReport]:
        """Return the state of each zone."""
        return [zone_report(zone, self.states) for zone in self.zones.values()]

    def serials(self) -> dict[str, int]:
        """Return the serial of the generated SOA of each zone."""
        return {zone.text: zone.serial.value for zone in self.zones.values()}

    async def _run(self, steps: Iterator[None]) -> None:
        while await self._step(steps):
            pass

    async def _step(self, steps: Iterator[None]) -> bool:
        async with self._lock:
            more = next(steps, _END) is not _END
            self._publisher.flush()
        if more:
            await asyncio.sleep(0)
        return more

    def _steps(self, source: str, change: Change) -> Iterator[None]:
        table = self.tables[source]
        match change:
            case PutMany(revision, time, rows):
                for at in range(0, len(rows), STEP):
                    table.put_many(Head(revision, time), rows[at : at + STEP])
                    yield
                return
            case Batch(changes, whole=True):
                # In one step: an answer has the listed records of its name, or the previous ones.
                table.change(changes)
                table.sweep_beside(changes)
            case Batch(changes):
                for number, piece in enumerate(table.pieces(changes)):
                    if number:
                        yield
                    table.change(piece)
                return
            case Put():
                table.put(change)
            case Delete():
                table.change((change,))
            case Begin():
                table.begin()
                self.states.begin(source)
            case Synced(revision):
                yield from table.sweep()
                self.states.synced(source, revision)
            case Lost(reason):
                self.states.lost(source, reason)
            case Fault() | Resolved() | Withheld():
                table.note(change)
        yield

    def _restoring(self, source: str, rows: Iterator[tuple[bytes, bytes]]) -> Iterator[None]:
        table, status = self.tables[source], self.states.sources[source]
        while not status.begun and (step := list(islice(rows, STEP))):
            table.restore(step)
            yield

    def _reconfigure(self, settings: Settings) -> Iterator[None]:
        old, reverse = self.zones, self._reverse.table
        plan = plans.make(settings, old, self._table, reverse)
        self.zones, self.tables = plan.zones, plan.tables
        self._publisher.zones = plan.zones
        for apex in plan.zones.keys() - old.keys():
            zone = plan.zones[apex]
            zone.start(self._clock, self._serials.get(zone.text, 0))
            self._core.set_zone(apex)
        for before, after in plan.changed:
            if after.wildcard_queries != (before is not None and before.wildcard_queries):
                self._core.set_wildcard_queries(after.apex, after.wildcard_queries)
        for table in [*plan.tables.values(), reverse]:
            table.zones = plan.listing.get(table.number, {})
            table.declared = plan.zones
        self._note_depths(plan.zones, plan.zones.keys() ^ old.keys())
        for table, zones in plan.wanted.items():
            yield from table.index(zones)
        for before, after in plan.changed:
            yield from self._change(before, after)
        self.states.configure(
            {apex: (needs, plan.zones[apex].settings.stale_after)
             for apex, needs in plan.needs.items()}
        )  # fmt: skip
        for apex in old.keys() - plan.zones.keys():
            yield from self._drop(old[apex])

    def _note_depths(self, zones: Mapping[bytes, Zone], changed: Iterable[bytes]) -> None:
        """Record which zones have deeper ones, after some were declared or are no longer."""
        above = {suffix for apex in zones for suffix in suffixes(apex) if suffix != apex}
        for apex, zone in zones.items():
            zone.has_deeper = apex in above
        # Their records may be answered from another zone now, or no longer.
        self._publisher.changed |= {
            suffix for apex in changed for suffix in suffixes(apex) if suffix in zones
        }

    def _table(self, name: str) -> Table:
        return self.tables.get(name) or self._new_table(name)

    def _change(self, before: Zone | None, after: Zone) -> Iterator[None]:
        """Send the core the difference between a zone before and after, in steps."""
        if before is not None:
            # Its cuts are those of its successor, and may change before the last step.
            before.cuts = set()
        names = {after.apex: None, **dict.fromkeys(after.names)}
        if before is not None and before.names is not after.names:
            names |= dict.fromkeys(before.names)
        owners = list(names)
        for at in range(0, len(owners), STEP):
            for owner in owners[at : at + STEP]:
                old = resolve(before, owner) if before is not None else {}
                new = resolve(after, owner)
                ptr = before is not None and before.ptr
                self._publisher.compare(after, owner, old, new, ptr_before=ptr)
            self._publisher.flush()
            yield

    def _drop(self, zone: Zone) -> Iterator[None]:
        """Drop a zone, and the PTR records made from it."""
        owners = list(zone.names) if zone.ptr else []
        for at in range(0, len(owners), STEP):
            for owner in owners[at : at + STEP]:
                self._reverse.update(zone, owner, resolve(zone, owner), {}, self._clock.time())
            self._publisher.flush()
            yield
        zone.stop()
        self._core.drop_zone(zone.apex)
