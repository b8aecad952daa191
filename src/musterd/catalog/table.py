"""Tables: the intake of one source, which stores its rows and queues what changes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import structlog

from musterd.catalog.additions import Additions, Records
from musterd.catalog.outbox import Outbox
from musterd.catalog.problems import Problems
from musterd.catalog.rows import (
    GENERATION_BYTES,
    KEY_RRSET,
    KEY_TEXT,
    LENGTH,
    RECORD,
    ROW,
    SOURCE_BYTES,
    TYPE,
    Head,
    Rows,
    decode,
    encode,
    key_text,
    text_key,
)
from musterd.catalog.zone import Zone, deepest
from musterd.rr.names import check_name, name_to_text
from musterd.rr.rrset import Record, count, unpack
from musterd.rr.types import type_text
from musterd.sources.changes import Delete, Fault, Put, Resolved, Withheld

log = structlog.get_logger()

STEP = 1000
"""Rows that are taken in one step: a few milliseconds of work."""
MAX_WITHHELD = 100_000
"""Maximum owner names whose withheld records are kept for ``explain``; the oldest are dropped."""

Write = tuple[bytes, bytes | None, Records]
"""A key with its source, its new row or None to delete it, and the records of the row."""
Places = dict[tuple[Zone, bytes], int]
"""Zone and folded owner name -> number of records there."""


class Table:
    """The intake of one source: writes its rows, and their keys into the index of its zones."""

    def __init__(self, name: str, number: int, outbox: Outbox, clock: Callable[[], float]) -> None:
        """Create an empty table; ``number`` must be unique for the life of the process."""
        self.name = name
        self.rows = Rows(name, number)
        self.number = self.rows.number
        self.zones: Mapping[bytes, Zone] = {}
        """The zones that list the source, by apex."""
        self.declared: Mapping[bytes, Zone] = {}
        """All zones, by apex."""
        self.anywhere = False
        """True if records outside these zones are allowed."""
        self.problems = Problems(name, clock)
        self.changed = False
        """True if a row has changed since the last snapshot."""
        self._outbox = outbox
        self._generation = 0
        self._stamp = bytes(GENERATION_BYTES)
        """The generation, as the rows of the present list begin."""
        self._current = 0
        """Rows of the present list."""
        self._before = 0
        """Rows when it began."""
        self._bulk_prefix = self.number + KEY_RRSET

    def begin(self) -> None:
        """Start a full list."""
        self._generation += 1
        self._stamp = self._generation.to_bytes(GENERATION_BYTES, "big")
        self._current = 0
        self._before = len(self.rows)
        self.problems.begin()
        self.rows.withheld.clear()

    def sweep(self) -> Iterator[None]:
        """Delete the rows that are not in the last full list, with a break after each step."""
        if self._current == len(self.rows):
            return
        stamp = self._stamp
        rows = iter(self.rows.data.items())
        unseen: list[bytes] = []
        while step := list(islice(rows, 10 * STEP)):
            unseen += [key for key, row in step if not row.startswith(stamp)]
            yield
        if 2 * len(unseen) > self._before:
            fields = {"source": self.name, "removed": len(unseen), "before": self._before}
            log.warning("reload removes most RRsets of a source", **fields)
        for at in range(0, len(unseen), STEP):
            for key in unseen[at : at + STEP]:
                row = self.rows.data.get(key)
                if row is not None:
                    # All rows at its names are deleted, so that no part of an old answer remains.
                    self._sweep_at(self._replace(key, row, None))
            yield

    def sweep_beside(self, changes: Iterable[Put | Delete | Withheld]) -> None:
        """Delete the rows at the names of listed keys that are not in the list."""
        if self._current == len(self.rows):
            return
        keys = [change.key for change in changes if not isinstance(change, Withheld)]
        rows = (self.rows.data.get(self._key(key)) for key in keys)
        self._sweep_at({place for row in rows for place in self._places(row)})

    def _sweep_at(self, places: Iterable[tuple[Zone, bytes]]) -> None:
        """Delete the rows at some names that are not in the last full list."""
        for zone, owner in places:
            for key in zone.keys_at(owner):
                if key.startswith(self.number) and not self._is_current(self.rows.data[key]):
                    self._replace(key, self.rows.data[key], None)

    def pieces(
        self, changes: Sequence[Put | Delete | Withheld]
    ) -> Iterator[Sequence[Put | Delete | Withheld]]:
        """Cut changes into steps, but not between neighbours that share an owner name.

        Take each step before asking for the next one.
        """
        if len(changes) <= STEP:
            yield changes
            return
        at = 0
        while at < len(changes):
            end, most = at + STEP, min(at + 10 * STEP, len(changes))
            while end < most and self._owner(changes[end]) == self._owner(changes[end - 1]):
                end += 1
            yield changes[at:end]
            at = end

    def _owner(self, change: Put | Delete | Withheld) -> bytes:
        """Return the first folded owner name of a change; empty if it has none."""
        if isinstance(change, Put):
            return next((record.owner.lower() for record in change.records), b"")
        if isinstance(change, Withheld):
            return change.owner.lower()
        row = self.rows.data.get(self._key(change.key), b"")
        return next((record.owner.lower() for record in decode(row)), b"")

    def note(self, change: Fault | Resolved | Withheld) -> None:
        """Take a change that affects no answer."""
        match change:
            case Fault(where, reason, owner):
                self.problems.add(where, reason, owner=owner)
            case Resolved(where):
                self.problems.drop(where)
            case Withheld():
                self._withhold(change)

    def _withhold(self, report: Withheld) -> None:
        owner, withheld = report.owner.lower(), self.rows.withheld
        withheld.pop(owner, None)
        if report.records:
            withheld[owner] = report.records
            if len(withheld) > MAX_WITHHELD:
                del withheld[next(iter(withheld))]

    def put(self, change: Put) -> None:
        """Take the records of a key, except invalid ones."""
        key = self._key(change.key)
        self.problems.drop(key)
        good = [record for record in change.records if self._check(key, record)]
        head = ROW.pack(self._generation, change.revision, change.time)
        self.write([(key, encode(head, good), good)])

    def change(self, changes: Iterable[Put | Delete | Withheld]) -> None:
        """Take changes of keys, whose records are not checked."""
        self.write(self._writes(changes))

    def _writes(self, changes: Iterable[Put | Delete | Withheld]) -> Iterator[Write]:
        number, problems = self.number, self.problems
        for change in changes:
            if isinstance(change, Withheld):
                self._withhold(change)
                continue
            key = number + text_key(change.key)
            if problems.known:
                problems.drop(key)
            if isinstance(change, Delete):
                yield key, None, ()
            else:
                head = ROW.pack(self._generation, change.revision, change.time)
                yield key, encode(head, change.records), change.records

    def put_many(self, head: Head, rows: Iterable[tuple[bytes, int, bytes]]) -> None:
        """Take (owner, type, packed RRset) rows, each of which has a key of its own."""
        self.write(self._bulk(ROW.pack(self._generation, *head), rows))

    def _bulk(self, head: bytes, rows: Iterable[tuple[bytes, int, bytes]]) -> Iterator[Write]:
        for record in rows:
            owner, rtype, packed = record
            key = self._bulk_prefix + owner.lower() + TYPE.pack(rtype)
            size = RECORD.pack(rtype, len(packed))
            yield key, b"".join((head, LENGTH[len(owner)], owner, size, packed)), (record,)

    def has(self, own_key: bytes, record: Record) -> bool:
        """Return whether a key, without its source, gives just this record."""
        row = self.rows.data.get(self.number + own_key)
        return row is not None and row[ROW.size :] == encode(b"", (record,))

    def change_made(self, head: Head, changes: Iterable[tuple[bytes, Record | None]]) -> None:
        """Take records that the catalog made, by keys without their source; None deletes a key."""
        self.write(self._made(ROW.pack(self._generation, *head), changes))

    def _made(self, head: bytes, changes: Iterable[tuple[bytes, Record | None]]) -> Iterator[Write]:
        for key, record in changes:
            if record is None:
                yield self.number + key, None, ()
            else:
                yield self.number + key, encode(head, (record,)), (record,)

    def restore(self, saved: Iterable[tuple[bytes, bytes]]) -> None:
        """Take keys and rows of a snapshot, except keys that are known already."""
        self.write(self._restored(saved), report=False)

    def _restored(self, saved: Iterable[tuple[bytes, bytes]]) -> Iterator[Write]:
        for own_key, rest in saved:
            key, row = self.number + own_key, bytes(GENERATION_BYTES) + rest
            if key not in self.rows.data:
                yield key, row, decode(row)

    def saved(self) -> dict[bytes, bytes]:
        """Return a copy of the rows by key; cut ``SOURCE_BYTES`` and ``GENERATION_BYTES`` off.

        Cutting them here would hold up the event loop for long.
        """
        self.changed = False
        return self.rows.data.copy()

    def write(self, writes: Iterable[Write], *, report: bool = True) -> None:
        """Replace the rows of keys; every change that a source makes goes through here.

        Additions are resolved at once. The name of any other row is marked dirty, and resolved when
        the outbox is emptied.
        report: add a problem for each record outside the zones of the source.
        """
        data, stamp = self.rows.data, self._stamp
        additions = Additions(self.rows, self.zones, self._outbox)
        take, is_outside = additions.take, additions.is_outside
        report = report and not self.anywhere
        try:
            for key, row, records in writes:
                old = data.get(key)
                if row is None:
                    if old is not None:
                        additions.end()
                        self._delete(key, old)
                    continue
                self.changed = True
                self._current += row.startswith(stamp)
                if old is None:
                    if records and take(key, records):
                        data[key] = row
                        continue
                    additions.end()
                    self._replace(key, None, row, records)
                else:
                    self._current -= old.startswith(stamp)
                    if old[ROW.size :] == row[ROW.size :]:
                        data[key] = row
                    else:
                        additions.end()
                        self._replace(key, old, row, records)
                if report and is_outside(records):
                    self._report_outside(key, records)
        finally:
            additions.end()
            additions.count()

    def _delete(self, key: bytes, old: bytes) -> None:
        self._current -= self._is_current(old)
        self._replace(key, old, None)

    def _is_current(self, row: bytes) -> bool:
        return row.startswith(self._stamp)

    def _replace(
        self, key: bytes, old: bytes | None, new: bytes | None, records: Records = ()
    ) -> Places:
        """Replace a row, and mark the names of both; return where the old row gave records.

        records: those of the new row.
        """
        before = self._places(old)
        after = self._places_of(records)
        for zone, owner in {**before, **after} if before != after else before:
            self._outbox.mark(zone, owner)
        if new is None:
            del self.rows.data[key]
        else:
            self.rows.data[key] = new
        self.changed = True
        if before == after:
            return before
        for (zone, owner), number in before.items():
            if (zone, owner) not in after:
                zone.discard(owner, key, number)
        for (zone, owner), number in after.items():
            if (zone, owner) in before:
                zone.recount(key, number - before[zone, owner])
            else:
                zone.add(owner, key, number)
        return before

    def _places(self, row: bytes | None) -> Places:
        """Return where a row gives records."""
        places: Places = {}
        for owner, rrsets in (self.rows.by_owner(row) if row else {}).items():
            zone = deepest(self.zones, owner)
            if zone is not None:
                places[zone, owner] = sum([count(packed) for _, packed in rrsets])
        return places

    def _places_of(self, records: Records) -> Places:
        """Return the same for the records of a row."""
        places: Places = {}
        for name, _, packed in records:
            owner = name.lower()
            zone = deepest(self.zones, owner)
            if zone is not None:
                places[zone, owner] = places.get((zone, owner), 0) + count(packed)
        return places

    def _key(self, key: str) -> bytes:
        return self.number + text_key(key)

    def _check(self, key: bytes, record: Record) -> bool:
        """Return whether a record is well formed; add a problem if it is not."""
        try:
            check_name(record.owner)
            unpack(record.packed)
        except ValueError as error:
            self.problems.add(key_text(key), str(error), key, record.owner.lower())
            return False
        return True

    def _report_outside(self, key: bytes, records: Records) -> None:
        """Add a problem for each record outside the zones; it is kept, as these may change."""
        for owner, rtype, _ in records:
            folded = owner.lower()
            if deepest(self.zones, folded) is None:
                zone = deepest(self.declared, folded)
                reason = f"zone {zone.text} does not list this source" if zone else "is in no zone"
                where = f"{name_to_text(folded)} {type_text(rtype)}"
                if key.startswith(KEY_TEXT, SOURCE_BYTES):
                    where = f"{key_text(key)}: {where}"
                self.problems.add(where, reason, key, folded)

    def index(self, zones: Iterable[Zone]) -> Iterator[None]:
        """Add all rows to the index of new zones, with a break after each step."""
        wanted = set(zones)
        rows = iter(self.rows.data.items())
        while step := list(islice(rows, STEP)):
            for key, row in step:
                for (zone, owner), records in self._places(row).items():
                    if zone in wanted:
                        zone.add(owner, key, records)
            yield
