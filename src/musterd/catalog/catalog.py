"""The catalog: takes the changes of sources, and feeds the core what comes of them."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Final, Protocol

import structlog

from musterd.catalog import reconfigure as plans
from musterd.catalog.explain import Contribution, explain
from musterd.catalog.outbox import Pending
from musterd.catalog.reports import SourceReport, ZoneReport, source_report, zone_report
from musterd.catalog.reverse import SOURCE as REVERSE
from musterd.catalog.reverse import Reverse
from musterd.catalog.rows import text_key
from musterd.catalog.states import States
from musterd.catalog.table import STEP, Head, Table
from musterd.catalog.zone import Row, RRsets, Zone
from musterd.clock import Clock
from musterd.rr.names import fold, name_to_text
from musterd.rr.types import SOA, type_text
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

BATCH = 10_000
"""The most RRsets that the core is told at once; an owner name is not cut in two."""
BUMP = 1.0
"""Seconds between two serials of a zone: a faster one would run ahead of the time."""

_END: Final = object()

log = structlog.get_logger()


class Core(Protocol):
    """What the catalog needs of ``musterd._core.Core``."""

    def set_zone(self, apex: bytes) -> None: ...  # noqa: D102
    def drop_zone(self, apex: bytes) -> None: ...  # noqa: D102
    def set_state(self, apex: bytes, state: int) -> None: ...  # noqa: D102
    def apply(self, batch: Sequence[Row]) -> list[tuple[int, str]]: ...  # noqa: D102


class Catalog:
    """Every record with its origin, and what is answered of them.

    Its methods belong to the thread of the event loop.
    """

    def __init__(self, core: Core, clock: Clock) -> None:
        """Without zones."""
        self.zones: dict[bytes, Zone] = {}
        self.tables: dict[str, Table] = {}
        self.states = States(core.set_state, clock)
        self._core = core
        self._clock = clock
        self._serials: Mapping[str, int] = {}
        self._pending = Pending()
        self._numbers = 0
        self._refusing = False
        self._reverse = Reverse(self._new_table(REVERSE))
        # Held for each step of a change, and for all steps of a reconfiguration.
        self._lock = asyncio.Lock()

    def _new_table(self, name: str) -> Table:
        self._numbers += 1
        return Table(name, self._numbers, self._pending, self._clock.time)

    def known_serials(self, serials: Mapping[str, int]) -> None:
        """Set the serials (zone -> serial) that new zones must exceed; from an earlier run."""
        self._serials = serials

    async def feed(self, source: str, change: Change) -> None:
        """Take a change of a source; it is in answers when this returns.

        A large one is taken in steps, between which others may run; so a source has one change
        under way at a time. Raises KeyError where no zone lists the source.
        """
        await self._run(self._steps(source, change))

    def apply(self, source: str, *changes: Change) -> None:
        """Take changes without a break, which suits a few. Raises KeyError as ``feed`` does."""
        for change in changes:
            for _ in self._steps(source, change):
                self._flush()
            self._flush()

    def awaits(self, source: str) -> bool:
        """Whether a source has given nothing yet, and is not about to."""
        status = self.states.sources[source]
        return not status.known and not status.begun

    async def restore(self, source: str, time: float, rows: Iterator[tuple[bytes, bytes]]) -> bool:
        """Take the keys and rows of a snapshot of that time.

        False if the source itself began a list before they were all taken: it knows better.
        """
        self.states.restoring(source)
        await self._run(self._restoring(source, rows))
        if not self.awaits(source):
            return False
        self.states.restored(source, time)
        return True

    def snapshot(self, source: str) -> tuple[dict[bytes, bytes], int] | None:
        """The rows of a source (see ``Table.saved``) and its revision.

        None if nothing changed since the last time, or it has never been synced.
        """
        table = self.tables.get(source)
        if table is None or not table.changed or self.states.sources[source].synced is None:
            return None
        return table.saved(), self.states.sources[source].revision

    def snapshot_failed(self, source: str) -> None:
        """Note that the last snapshot of a source was not kept."""
        if source in self.tables:
            self.tables[source].changed = True

    async def reconfigure(self, settings: Settings) -> None:
        """Make the zones those of the settings; what is known of them stays."""
        async with self._lock:
            for _ in self._reconfigure(settings):
                await asyncio.sleep(0)

    def explain(self, zone: bytes, owner: bytes, rtype: int | None = None) -> list[Contribution]:
        """All that is given at an owner name, what is answered first; names in wire form.

        Raises KeyError where the zone is not known.
        """
        return explain(self.zones[fold(zone)], fold(owner), rtype)

    def source_reports(self) -> list[SourceReport]:
        """How each source is."""
        return [source_report(table, self.states) for table in self.tables.values()]

    def zone_reports(self) -> list[ZoneReport]:
        """How each zone is."""
        known = [zone for apex, zone in self.zones.items() if apex in self.states.zones]
        return [zone_report(zone, self.states) for zone in known]

    def serials(self) -> dict[str, int]:
        """Zone -> the serial of the SOA that it gives itself."""
        return {zone.text: zone.serial for zone in self.zones.values()}

    async def _run(self, steps: Iterator[None]) -> None:
        while await self._step(steps):
            pass

    async def _step(self, steps: Iterator[None]) -> bool:
        async with self._lock:
            more = next(steps, _END) is not _END
            self._flush()
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
                # In one step: an answer holds what is listed at its name, or what was there before.
                table.change(changes)
                table.sweep_beside(changes)
            case Batch(changes):
                for number, piece in enumerate(table.pieces(changes)):
                    if number:
                        yield
                    table.change(piece)
                return
            case Put(key, revision, time, records):
                table.put(text_key(key), Head(revision, time), records)
            case Delete(key):
                table.delete(text_key(key))
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
        while not status.begun and (some := list(islice(rows, STEP))):
            for key, row in some:
                table.restore(key, row)
            yield

    def _flush(self) -> None:
        """Tell the core what changed."""
        pending, batch = self._pending, self._pending.batch
        # What is found here goes to the same batch, in the order in which it came about. PTR
        # records may make a zone dirty again.
        while pending.addresses or pending.zones:
            addresses, pending.addresses = pending.addresses, []
            for zone, rrset in addresses:
                self._reverse.add(zone, rrset, self._clock.time())
            if pending.zones:
                for row in self._differences(pending.zones.pop()):
                    batch.append(row)
        pending.batch = []
        for apex in {row[0] for row in batch if row[2] != SOA}:
            batch += self._touch(self.zones[apex])
        self._send(batch)

    def _differences(self, zone: Zone) -> Iterator[Row]:
        dirty, zone.dirty = zone.dirty, {}
        for owner, old in dirty.items():
            yield from self._difference(zone, owner, old, zone.merged(owner), ptr_before=zone.ptr)

    def _difference(
        self, zone: Zone, owner: bytes, old: RRsets, new: RRsets, *, ptr_before: bool
    ) -> Iterator[Row]:
        if zone.ptr or ptr_before:
            before, after = (old if ptr_before else {}), (new if zone.ptr else {})
            self._reverse.update(zone, owner, before, after, self._clock.time())
        for rtype in old.keys() - new.keys():
            yield zone.apex, owner, rtype, None
        for rtype, packed in new.items():
            if old.get(rtype) != packed:
                yield zone.apex, owner, rtype, packed

    def _send(self, batch: list[Row]) -> None:
        # Neighbours of one owner name change at once.
        batch.sort(key=itemgetter(1, 0))
        for piece in _pieces(batch):
            for apex, owner, rtype, _ in piece if self._refusing else ():
                self.zones[apex].refused.pop((owner, rtype), None)
            refused = self._core.apply(piece)
            if refused:
                self._refuse([(piece[index], reason) for index, reason in refused])

    def _refuse(self, refused: Iterable[tuple[Row, str]]) -> None:
        gone: list[Row] = []
        for (apex, owner, rtype, packed), reason in refused:
            if self.zones[apex].refuse(owner, rtype, reason):
                rrset = f"{name_to_text(owner)} {type_text(rtype)}"
                log.warning("the core refused an RRset", rrset=rrset, reason=reason)
            self._refusing = True
            if packed is not None:
                gone.append((apex, owner, rtype, None))
        # What was answered before is not true any more.
        self._core.apply(gone)

    def _touch(self, zone: Zone) -> list[Row]:
        """Give a zone that changed a new serial, at most once a second."""
        if zone.bump is not None:
            return []
        wait = zone.bumped + BUMP - self._clock.monotonic()
        if wait <= 0:
            return zone.new_serial(self._clock)
        zone.bump = self._clock.call_later(wait, lambda: self._bump(zone.apex))
        return []

    def _bump(self, apex: bytes) -> None:
        zone = self.zones.get(apex)
        if zone is not None:
            self._send(zone.new_serial(self._clock))

    def _reconfigure(self, settings: Settings) -> Iterator[None]:
        old, reverse = self.zones, self._reverse.table
        plan = plans.make(settings, old, self._table, reverse)
        self.zones, self.tables = plan.zones, plan.tables
        for apex in plan.zones.keys() - old.keys():
            zone = plan.zones[apex]
            zone.start(self._clock, self._serials.get(zone.text, 0))
            self._core.set_zone(apex)
        for table in [*plan.tables.values(), reverse]:
            table.zones = plan.listing.get(table.number, {})
            table.declared = plan.zones
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

    def _table(self, name: str) -> Table:
        return self.tables.get(name) or self._new_table(name)

    def _change(self, before: Zone | None, after: Zone) -> Iterator[None]:
        """Tell the core what differs between a zone before and after, names step by step."""
        names = {after.apex: None, **dict.fromkeys(after.names)}
        if before is not None and before.names is not after.names:
            names |= dict.fromkeys(before.names)
        owners = list(names)
        for at in range(0, len(owners), STEP):
            for owner in owners[at : at + STEP]:
                old = before.merged(owner) if before is not None else {}
                new = after.merged(owner)
                ptr = before is not None and before.ptr
                for row in self._difference(after, owner, old, new, ptr_before=ptr):
                    self._pending.batch.append(row)
            self._flush()
            yield

    def _drop(self, zone: Zone) -> Iterator[None]:
        """Forget a zone, and the PTR records made of it."""
        owners = list(zone.names) if zone.ptr else []
        for at in range(0, len(owners), STEP):
            for owner in owners[at : at + STEP]:
                self._reverse.update(zone, owner, zone.merged(owner), {}, self._clock.time())
            self._flush()
            yield
        zone.stop()
        self._core.drop_zone(zone.apex)


def _pieces(batch: list[Row]) -> Iterator[list[Row]]:
    """Cut a sorted batch, but not within an owner name."""
    at = 0
    while at < len(batch):
        end = min(at + BATCH, len(batch))
        while end < len(batch) and batch[end][:2] == batch[end - 1][:2]:
            end += 1
        yield batch[at:end]
        at = end
