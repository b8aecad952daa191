"""The table of one source: its rows, and how a change of them reaches the zones."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from musterd.catalog.merge import POLICY_AT, fill
from musterd.catalog.outbox import Pending
from musterd.catalog.problems import Problems
from musterd.catalog.rows import (
    GENERATION_OCTETS,
    KEY_RRSET,
    OCTET,
    RECORD,
    ROW,
    TYPE,
    decode,
    encode,
    key_text,
    text_key,
)
from musterd.catalog.zone import Zone, deepest
from musterd.rr.names import check_name, name_to_text
from musterd.rr.rrset import Record, unpack
from musterd.rr.types import AAAA, CNAME, A, type_text
from musterd.sources.changes import Delete, Fault, Put, Resolved, Withheld, WithheldRecord

STEP = 1000
"""Rows that are taken without a break: some milliseconds of work."""

COUNT_AT = 14
"""Where a packed RRset has the number of its records, u16."""
MAX_WITHHELD = 100_000
"""Maximum owner names whose withheld records are kept for ``explain``; the oldest are dropped."""
_CNAME = TYPE.pack(CNAME)


def nothing(_: bytes) -> Sequence[WithheldRecord]:
    """What a source leaves out that gives all it has."""
    return ()


class Head(NamedTuple):
    """Revision and time (epoch seconds) of a key."""

    revision: int
    time: float


class Table:
    """Rows of one source; those of its zones find them by key."""

    def __init__(
        self, name: str, number: int, pending: Pending, clock: Callable[[], float]
    ) -> None:
        """An empty one; its number is its own for the life of the process."""
        self.name = name
        self.number = number.to_bytes(4, "big")
        self.rows: dict[bytes, bytes] = {}
        self.zones: Mapping[bytes, Zone] = {}
        """The zones that list the source, by apex."""
        self.declared: Mapping[bytes, Zone] = {}
        """All zones, by apex."""
        self.anywhere = False
        """Whether a record outside these zones is no fault."""
        self.problems = Problems(name, clock)
        self.left_out: Callable[[bytes], Sequence[WithheldRecord]] = nothing
        """What the source has of a folded owner name and doesn't give."""
        self.withheld: dict[bytes, tuple[WithheldRecord, ...]] = {}
        """Records that the source has at a folded owner name but does not give."""
        self.changed = False
        """Whether a row has changed since someone said that none has."""
        self._pending = pending
        self._generation = 0
        self._current = 0
        """Rows of the current generation."""
        self._bulk_prefix = self.number + KEY_RRSET
        self._own_policies = False
        self._last: tuple[bytes, dict[bytes, list[tuple[int, bytes]]]] = b"", {}

    def records_at(self, key: bytes, owner: bytes) -> Sequence[tuple[int, bytes]]:
        """Type and packed RRset of what a key gives at a folded owner name."""
        # The index of a zone that is being replaced may name a row that is gone.
        row = self.rows.get(key)
        return self._by_owner(row).get(owner, ()) if row is not None else ()

    def _by_owner(self, row: bytes) -> dict[bytes, list[tuple[int, bytes]]]:
        # A row of many owners is asked for each of them in turn.
        last, found = self._last
        if last is not row:
            found = {}
            for owner, rtype, packed in decode(row):
                found.setdefault(owner.lower(), []).append((rtype, packed))
            self._last = row, found
        return found

    def begin(self) -> None:
        """A full list follows."""
        self._generation += 1
        self._current = 0
        self.problems.begin()
        self.withheld.clear()

    def note(self, change: Fault | Resolved | Withheld) -> None:
        """Take a change that concerns no answer."""
        match change:
            case Fault(where, reason):
                self.problems.add(where, reason)
            case Resolved(where):
                self.problems.drop(where)
            case Withheld():
                self._withhold(change)

    def _withhold(self, report: Withheld) -> None:
        """Replace the withheld records of an owner name."""
        owner = report.owner.lower()
        self.withheld.pop(owner, None)
        if report.records:
            self.withheld[owner] = report.records
            if len(self.withheld) > MAX_WITHHELD:
                del self.withheld[next(iter(self.withheld))]

    def sweep(self) -> Iterator[None]:
        """Delete the rows that the last full list did not have, with a break after each step."""
        if self._current == len(self.rows):
            return
        generation = self._generation.to_bytes(GENERATION_OCTETS, "big")
        rows = iter(self.rows.items())
        unseen: list[bytes] = []
        while step := list(islice(rows, 10 * STEP)):
            unseen += [key for key, row in step if not row.startswith(generation)]
            yield
        for at in range(0, len(unseen), STEP):
            for key in unseen[at : at + STEP]:
                # All at its names, so that no part of what they had is answered.
                self._sweep_at(self._places(self.rows.get(key)))
                if key in self.rows:
                    self._replace(key, self.rows[key], None)
            yield

    def sweep_beside(self, changes: Iterable[Put | Delete | Withheld]) -> None:
        """Delete the rows at the names of listed keys that the list does not have."""
        if self._current == len(self.rows):
            return
        keys = [change.key for change in changes if not isinstance(change, Withheld)]
        rows = (self.rows.get(self.number + text_key(key)) for key in keys)
        self._sweep_at({place for row in rows for place in self._places(row)})

    def _sweep_at(self, places: Iterable[tuple[Zone, bytes]]) -> None:
        """Delete the rows at some names that the last full list did not have."""
        for zone, owner in places:
            for key in zone.keys_at(owner):
                if key.startswith(self.number) and not self._is_current(self.rows[key]):
                    self._replace(key, self.rows[key], None)

    def put(self, key: bytes, head: Head, records: Iterable[Record]) -> None:
        """Take all that a key (without its source) gives now."""
        key = self.number + key
        if self.problems:
            self.problems.drop(key)
        good = [record for record in records if self._is_good(key, record)]
        row = ROW.pack(self._generation, *head) + encode(good)
        if len(good) != 1 or not self._add(key, row, good[0]):
            self._put_row(key, row)

    def pieces(
        self, changes: Sequence[Put | Delete | Withheld]
    ) -> Iterator[Sequence[Put | Delete | Withheld]]:
        """Cut changes into steps, not between neighbours of one owner name; take each at once."""
        at = 0
        while at < len(changes):
            end, most = at + STEP, min(at + 10 * STEP, len(changes))
            while end < most and self._owner(changes[end]) == self._owner(changes[end - 1]):
                end += 1
            yield changes[at:end]
            at = end

    def _owner(self, change: Put | Delete | Withheld) -> bytes:
        """The first folded owner name of what a change puts or deletes; empty if there is none."""
        if isinstance(change, Put):
            return next((record.owner.lower() for record in change.records), b"")
        if isinstance(change, Withheld):
            return change.owner.lower()
        row = self.rows.get(self.number + text_key(change.key), b"")
        return next((record.owner.lower() for record in decode(row)), b"")

    def change(self, changes: Iterable[Put | Delete | Withheld]) -> None:
        """Take changes of keys, whose records are trusted to be well formed."""
        for change in changes:
            if isinstance(change, Withheld):
                self._withhold(change)
                continue
            key = self.number + text_key(change.key)
            if self.problems:
                self.problems.drop(key)
            if isinstance(change, Delete):
                self._delete(key)
                continue
            row = ROW.pack(self._generation, change.revision, change.time) + encode(change.records)
            records = change.records
            if not self._add_all(key, row, records):
                for owner, rtype, packed in records:
                    self._own_policies |= bool(packed[POLICY_AT])
                    if deepest(self.zones, owner.lower()) is None:
                        self._outside(key, owner.lower(), rtype, f"{change.key}: ")
                self._put_row(key, row)

    def put_own(self, key: bytes, head: Head, record: Record) -> None:
        """Take a record that we made ourselves, so that nothing can be wrong with it."""
        key = self.number + key
        row = ROW.pack(self._generation, *head) + encode((record,))
        if not self._add(key, row, record):
            self._put_row(key, row)

    def put_many(self, head: Head, rows: Iterable[tuple[bytes, int, bytes]]) -> None:
        """Take (owner, type, packed RRset) rows, each of which is a key of its own.

        The path of a zone file's records, so it goes round all that most of them do not need.
        """
        front = ROW.pack(self._generation, *head)
        parent: bytes | None = None
        zone: Zone | None = None
        for owner, rtype, packed in rows:
            folded = owner.lower()
            above = folded[1 + folded[0] :]
            if above != parent or folded in self.zones:
                # Neighbours mostly share their parent, and with it their zone.
                zone = deepest(self.zones, folded)
                parent = None if zone is not None and zone.apex == folded else above
            key = self._bulk_prefix + folded + TYPE.pack(rtype)
            size = RECORD.pack(rtype, len(packed))
            row = b"".join((front, OCTET[len(owner)], owner, size, packed))
            if zone is None:
                self._outside(key, folded, rtype)
            elif key not in self.rows and self._is_simple(zone, key, folded, rtype, packed):
                self._add_to(zone, key, row, Record(folded, rtype, packed))
                continue
            self._put_row(key, row)

    def _add(self, key: bytes, row: bytes, record: Record) -> bool:
        """Take a row of one record if it is new and simple."""
        owner, rtype, packed = record
        owner = owner.lower()
        zone = deepest(self.zones, owner)
        if zone is None or key in self.rows:
            return False
        if not self._is_simple(zone, key, owner, rtype, packed):
            return False
        self._add_to(zone, key, row, Record(owner, rtype, packed))
        return True

    def _add_all(self, key: bytes, row: bytes, records: Sequence[Record]) -> bool:
        """Take a row if it is new, and all that there is of one owner name, or is simple."""
        if not records or key in self.rows or self._own_policies:
            return False
        first = records[0].owner
        folded = first.lower()
        zone = deepest(self.zones, folded)
        if zone is None or folded == zone.apex or folded in zone.names or folded in zone.dirty:
            return False
        types: set[int] = set()
        for owner, rtype, packed in records:
            if owner != first or packed[POLICY_AT]:
                return False
            types.add(rtype)
        if len(types) != len(records) or (CNAME in types and len(types) > 1):
            return False
        zone.names[folded] = key
        self.rows[key] = row
        self._current += self._is_current(row)
        self.changed = True
        for _, rtype, packed in records:
            self._tell(zone, folded, rtype, packed)
        return True

    def _add_to(self, zone: Zone, key: bytes, row: bytes, record: Record) -> None:
        """Take a new row that is simple; its owner is folded."""
        zone.add(record.owner, key)
        self.rows[key] = row
        self._current += self._is_current(row)
        self.changed = True
        self._tell(zone, *record)

    def _tell(self, zone: Zone, owner: bytes, rtype: int, packed: bytes) -> None:
        """Tell the core an RRset that is there beside what it has."""
        zone.records[self.number] += count(packed)
        filled = fill(packed, rtype, zone.defaults[self.number])
        self._pending.batch.append((zone.apex, owner, rtype, filled))
        if zone.ptr and rtype in (A, AAAA):
            self._pending.addresses.append((zone, Record(owner, rtype, filled)))

    def _is_simple(self, zone: Zone, key: bytes, owner: bytes, rtype: int, packed: bytes) -> bool:
        """Whether a new row adds its RRset to the answers and changes nothing else there."""
        if packed[POLICY_AT]:
            self._own_policies = True
        # What the core has of a dirty name was noted before, so all of it goes that way.
        if owner == zone.apex or owner in zone.dirty or self._own_policies:
            return False
        keys = zone.names.get(owner)
        if keys is None:
            return True
        if rtype == CNAME or not key.startswith(self._bulk_prefix):
            return False
        return all(
            other.startswith(self._bulk_prefix) and not other.endswith(_CNAME)
            for other in ((keys,) if isinstance(keys, bytes) else keys)
        )

    def restore(self, key: bytes, row: bytes) -> None:
        """Take a key and a row as ``saved`` gave them, unless the key is known already."""
        key, row = self.number + key, bytes(GENERATION_OCTETS) + row
        if key in self.rows:
            return
        records = list(decode(row))
        self._own_policies |= any(packed[POLICY_AT] for _, _, packed in records)
        if len(records) != 1 or not self._add(key, row, records[0]):
            self._put_row(key, row)

    def saved(self) -> dict[bytes, bytes]:
        """A copy of the rows by key; cut ``SOURCE_OCTETS`` and ``GENERATION_OCTETS`` off them.

        To cut them here would hold up the event loop for long.
        """
        self.changed = False
        return self.rows.copy()

    def _put_row(self, key: bytes, row: bytes) -> None:
        old = self.rows.get(key)
        if old is None or not self._is_current(old):
            self._current += self._is_current(row)
        self.changed = True
        if old is not None and old[ROW.size :] == row[ROW.size :]:
            self.rows[key] = row
        else:
            self._replace(key, old, row)

    def delete(self, key: bytes) -> None:
        """Forget a key (without its source)."""
        self.problems.drop(self.number + key)
        self._delete(self.number + key)

    def _delete(self, key: bytes) -> None:
        old = self.rows.get(key)
        if old is not None:
            self._current -= self._is_current(old)
            self._replace(key, old, None)

    def _is_current(self, row: bytes) -> bool:
        return int.from_bytes(row[:GENERATION_OCTETS], "big") == self._generation

    def _is_good(self, key: bytes, record: Record) -> bool:
        """Whether a record can be kept; one outside the zones is kept, as these may change."""
        try:
            check_name(record.owner)
            unpack(record.packed)
        except ValueError as error:
            self.problems.add(key_text(key), str(error), key)
            return False
        if record.packed[POLICY_AT]:
            self._own_policies = True
        if not self.anywhere and deepest(self.zones, record.owner.lower()) is None:
            self._outside(key, record.owner.lower(), record.rtype, f"{key_text(key)}: ")
        return True

    def _outside(self, key: bytes, owner: bytes, rtype: int, told: str = "") -> None:
        zone = deepest(self.declared, owner)
        reason = f"zone {zone.text} does not list this source" if zone else "is in no zone"
        self.problems.add(f"{told}{name_to_text(owner)} {type_text(rtype)}", reason, key)

    def _replace(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """Put a row in the place of another, and tell its zones."""
        before = self._places(old)
        after = self._places(new)
        for zone, owner in {**before, **after}:
            zone.mark(owner)
            self._pending.zones.add(zone)
        if new is None:
            del self.rows[key]
        else:
            self.rows[key] = new
        self.changed = True
        for place in before:
            zone, owner = place
            zone.records[self.number] -= before[place]
            if place not in after:
                zone.discard(owner, key)
        for place in after:
            zone, owner = place
            zone.records[self.number] += after[place]
            if place not in before:
                zone.add(owner, key)

    def _places(self, row: bytes | None) -> dict[tuple[Zone, bytes], int]:
        """Where a row gives records: zone and folded owner -> how many."""
        places: dict[tuple[Zone, bytes], int] = {}
        for owner, given in (self._by_owner(row) if row else {}).items():
            zone = deepest(self.zones, owner)
            if zone is not None:
                places[zone, owner] = sum(count(packed) for _, packed in given)
        return places

    def index(self, zones: Iterable[Zone]) -> Iterator[None]:
        """Tell new zones what the rows give in them, with a break after each step."""
        wanted = set(zones)
        rows = iter(self.rows.items())
        while step := list(islice(rows, STEP)):
            for key, row in step:
                for (zone, owner), records in self._places(row).items():
                    if zone in wanted:
                        zone.add(owner, key)
                        zone.records[self.number] += records
            yield


def count(packed: bytes) -> int:
    """How many records a packed RRset has."""
    return packed[COUNT_AT] << 8 | packed[COUNT_AT + 1]
