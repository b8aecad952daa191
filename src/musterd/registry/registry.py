"""The registry: records registered by users, in the store."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from musterd.kv import Compare, DeleteOp, Entry, Is, Operation, PutOp, Store
from musterd.registry import rdata
from musterd.registry.applied import Applied
from musterd.registry.errors import Clash, Invalid, NotRegistered, TooLarge
from musterd.registry.keys import DELETED, RecordKey, prefix, type_in
from musterd.registry.preconditions import NOTHING, Preconditions
from musterd.registry.record import RecordSpec, encode, new_value, show, show_value, unchanged
from musterd.registry.writer import Attempt, Found, RecordWriter, written_entry
from musterd.rr.types import CNAME

MAX_RRSET: Final = 1000
"""Maximum records of an RRset."""
MAX_SCAN: Final = 20_000
"""Maximum records scanned for one page of a list."""
PAGE: Final = 1000
_Value = tuple[Entry | None, dict[str, Any]]
"""The entry that a record replaces, and its own value."""
# Python evaluates the annotations of a nested function each time, so these are names.
_Put = Attempt[_Value]
_Delete = Attempt[None]


class Written(NamedTuple):
    """The result of a write. created: the record is new; changed: it differs."""

    record: dict[str, Any]
    created: bool
    changed: bool


class Listed(NamedTuple):
    """A page. after: the path of its last key, None at the end; revision: of the store."""

    records: list[dict[str, Any]]
    after: str | None
    revision: int


class RegisteredRRset(NamedTuple):
    """All records of one owner and type.

    revision: of the last change, 0 where there are none; seen: of the store, when it was read.
    """

    entries: tuple[Entry, ...]
    revision: int
    seen: int

    @property
    def tags(self) -> tuple[str, ...]:
        """The entity tags. The first also changes with a deletion; the second is the revision."""
        if not self.entries:
            return ()
        return f"{self.revision}-{len(self.entries)}", str(self.revision)


class Replaced(NamedTuple):
    """Result of replacing an RRset.

    records: as they are now; revision: of this change, or of the last one if nothing changed.
    """

    records: list[dict[str, Any]]
    before: RegisteredRRset
    revision: int
    changed: bool


_Replacement = tuple[RegisteredRRset, list[Operation]]
"""The RRset that is replaced, and the operations."""


class Registry:
    """Reads and writes the records in a store.

    A write is one transaction. When it returns, it is stored, and answered too unless the source of
    the registry lags by more than a second. All methods raise StoreError.
    """

    def __init__(self, store: Store, applied: Applied, clock: Callable[[], float]) -> None:
        """Create the registry. ``clock`` returns epoch seconds."""
        self.store = store
        self.applied = applied
        self._clock = clock
        self._writer = RecordWriter(store, applied)

    def now(self) -> float:
        """Return the current time, epoch seconds."""
        return self._clock()

    async def get(self, key: RecordKey, strays: Sequence[RecordKey] = ()) -> dict[str, Any]:
        """Return a record, or the stray of its type and id. Raises NotRegistered."""
        entry = await self.store.get(key.raw)
        for stray in strays:
            if entry is None and stray[2:] == key[2:]:
                entry = await self.store.get(stray.raw)
        if entry is None:
            raise NotRegistered(f"{_named(key)} is not registered")
        return show(entry)

    async def rrset(self, zone: str, owner: str, rtype: str) -> RegisteredRRset:
        """Return the records of an owner and a type."""
        below = prefix(zone, owner, rtype)
        page = await self.store.range(below, limit=PAGE)
        found, seen = list(page.entries), page.revision
        while page.more:
            page = await self.store.range(below, limit=PAGE, after=found[-1].key)
            found += page.entries
        return RegisteredRRset(
            tuple(found), max((entry.mod_revision for entry in found), default=0), seen
        )

    async def page(
        self, parts: Sequence[str], limit: int, after: str, keep: Callable[[dict[str, Any]], bool]
    ) -> Listed:
        """Records of some zone, owner, type (or the first of these) that ``keep`` is for.

        It may have fewer than ``limit`` though there are more.
        """
        start = prefix() + after.encode() if after else b""
        found: list[dict[str, Any]] = []
        revision, seen, record = 0, 0, None
        # A page ends at a record, as other programs may write keys that are no valid place.
        while seen < MAX_SCAN or record is None:
            page = await self.store.range(prefix(*parts), limit=limit, after=start)
            revision = revision or page.revision
            for entry in page.entries:
                seen += 1
                start = entry.key
                record = _shown(entry)
                if record is not None and keep(record):
                    found.append(record)
                    if len(found) == limit:
                        last = entry is page.entries[-1] and not page.more
                        return Listed(found, None if last else _path(start), revision)
            if not page.more:
                return Listed(found, None, revision)
        return Listed(found, _path(start), revision)

    async def put(
        self,
        key: RecordKey,
        wanted: RecordSpec,
        who: str,
        expect: Preconditions = NOTHING,
        *,
        of_rrset: Preconditions = NOTHING,
    ) -> Written:
        """Create or replace a record. of_rrset: preconditions of the whole RRset.

        Raises Mismatch, Clash, LeaseNotFound.
        """
        raw = key.raw

        async def build(found: Found) -> _Put:
            seen: list[Compare] = []
            if of_rrset:
                whole = await self.rrset(*key[:3])
                of_rrset.check(key.rrset, whole.tags)
                found = Found(next((e for e in whole.entries if e.key == raw), None), True)
                seen = _as_seen(key, whole)
            if expect:
                _check(key, found.entry, expect)
            same = unchanged(wanted, found.entry)
            if same and not found.verified:
                found = await self._writer.read(raw)
                same = unchanged(wanted, found.entry)
            if same:
                return Attempt((found.entry, {}))
            # Even without a precondition: an earlier write without a response may still be applied.
            compares = [_as_found(raw, found.entry)]
            compares += [*await self._room(key, wanted.rtype, found.entry), *seen]
            value = new_value(wanted, who, self._clock(), found.entry)
            step = PutOp(raw, to_json(value), wanted.lease)
            return Attempt((found.entry, value), compares, (step,))

        # The cache usually knows the current entry, and the transaction confirms it. Reading it
        # first would cost more than the rest, because the store is being written.
        found = self._writer.guess(raw)
        if expect or wanted.rtype in rdata.SINGLE:
            found = await self._writer.read(raw)
        (before, value), revision = await self._writer.write(key, build, found)
        if before is not None and not revision:
            return Written(show(before), False, False)
        return Written(show_value(key, value, revision, wanted.lease), before is None, True)

    async def delete(self, key: RecordKey, who: str, expect: Preconditions = NOTHING) -> int:
        """Remove a record and return the revision. Raises NotRegistered, Mismatch."""
        raw = key.raw

        async def build(found: Found) -> _Delete:
            if expect:
                _check(key, found.entry, expect)
            if found.entry is None:
                raise NotRegistered(f"{_named(key)} is not registered")
            steps = (DeleteOp(raw), PutOp(DELETED, tombstone(who, self._clock())))
            return Attempt(None, (_as_found(raw, found.entry),), steps)

        _, revision = await self._writer.write(key, build, await self._writer.read(raw))
        return revision

    async def put_rrset(
        self,
        rrset: RecordKey,
        wanted: dict[str, RecordSpec],
        who: str,
        expect: Preconditions = NOTHING,
    ) -> Replaced:
        """Replace all records of an owner and a type by these, by id; ignore the id of the key.

        Raises Invalid, TooLarge, Mismatch, Clash, LeaseNotFound.
        """
        if len(wanted) > MAX_RRSET:
            raise Invalid(f"{len(wanted)} records of one owner and type: at most {MAX_RRSET}")
        rtype = rdata.parse_type(rrset.rtype)
        if len(wanted) > 1 and rtype in rdata.SINGLE:
            raise Invalid(f"{rrset.owner} can have one {rrset.rtype} record, not {len(wanted)}")

        async def build(_: Found) -> Attempt[_Replacement]:
            before = await self.rrset(*rrset[:3])
            if expect:
                expect.check(rrset.rrset, before.tags)
            steps = self._replacement(rrset, before, wanted, who)
            if not steps:
                return Attempt((before, steps))
            compares = _as_seen(rrset, before)
            if wanted:
                compares += await self._room(rrset, rtype, before)
            most = self.store.limits.operations
            if max(len(steps), len(compares)) > most:
                raise TooLarge(
                    f"{rrset.rrset}: from {len(before.entries)} records to"
                    f" {len(wanted)} in one step takes {len(steps)} changes and"
                    f" {len(compares)} checks, and the store takes {most} of each: write or"
                    " delete single records, by their ids"
                )
            return Attempt((before, steps), compares, steps)

        (before, steps), revision = await self._writer.write(rrset, build, Found(None, False))
        revision = revision or before.revision
        return Replaced(_after(before, steps, revision), before, revision, bool(steps))

    async def delete_rrset(
        self, rrset: RecordKey, who: str, expect: Preconditions = NOTHING
    ) -> Replaced:
        """Remove all records of an owner and a type.

        Raises NotRegistered, TooLarge, Mismatch.
        """
        done = await self.put_rrset(rrset, {}, who, expect)
        if not done.before.entries:
            raise NotRegistered(f"{rrset.rrset} is not registered")
        return done

    def _replacement(
        self, rrset: RecordKey, before: RegisteredRRset, wanted: dict[str, RecordSpec], who: str
    ) -> list[Operation]:
        """Return the operations from the current to the wanted records."""
        now = self._clock()
        there = {entry.key: entry for entry in before.entries}
        steps: list[Operation] = []
        for name, draft in wanted.items():
            key = rrset._replace(id=name).raw
            entry = there.pop(key, None)
            if not unchanged(draft, entry):
                steps.append(PutOp(key, encode(draft, who, now, entry), draft.lease))
        if there:
            steps += [DeleteOp(key) for key in there]
            steps.append(PutOp(DELETED, tombstone(who, now)))
        return steps

    async def _room(
        self, key: RecordKey, rtype: int, before: Entry | RegisteredRRset | None
    ) -> list[Compare]:
        """Return the conditions under which a record may replace another: a CNAME stands alone.

        See RFC 1034 section 3.6.2. Raises Clash if it conflicts with the present records.
        """
        compares: list[Compare] = []
        if rtype != CNAME:
            compares.append(Compare(prefix(key.zone, key.owner, "CNAME"), Is.NONE_SINCE))
        if rtype in rdata.SINGLE:
            below = prefix(*key[: 2 if rtype == CNAME else 3])
            page = await self.store.range(below, limit=PAGE)
            types = {type_in(entry.key) for entry in page.entries}
            if before is None and key.rtype in types:
                raise Clash(
                    f"{key.rrset}: only one is allowed, and another is registered: PUT the "
                    "whole RRset to replace it"
                )
            if others := types - {key.rtype}:
                raise Clash(
                    f"{key.owner} has {', '.join(sorted(others))} records, and a CNAME stands "
                    "alone: delete these first"
                )
            compares.append(Compare(below, Is.NONE_SINCE, page.revision))
        return compares


def tombstone(who: str, now: float) -> bytes:
    """Return the value of DELETED: author and time (epoch seconds)."""
    return to_json({"by": who, "time": now})


def _named(key: RecordKey) -> str:
    return f"{key.owner} {key.rtype} {key.id} in zone {key.zone}"


def _check(key: RecordKey, entry: Entry | None, expect: Preconditions) -> None:
    expect.check(_named(key), (str(entry.mod_revision),) if entry else ())


def _as_found(key: bytes, entry: Entry | None) -> Compare:
    if entry is None:
        return Compare(key, Is.ABSENT)
    return Compare(key, Is.MODIFIED_AT, entry.mod_revision)


def _as_seen(key: RecordKey, rrset: RegisteredRRset) -> list[Compare]:
    """Return conditions that hold while an RRset has no new or changed records."""
    compares = [_as_found(entry.key, entry) for entry in rrset.entries]
    return [*compares, Compare(prefix(*key[:3]), Is.NONE_SINCE, rrset.seen)]


def _shown(entry: Entry) -> dict[str, Any] | None:
    try:
        return show(entry)
    except ValueError:
        # Another program wrote this, and it is not a record. The source reports it.
        return None


def _path(key: bytes) -> str:
    return key[len(prefix()) :].decode()


def _after(
    before: RegisteredRRset, steps: Sequence[Operation], revision: int
) -> list[dict[str, Any]]:
    """Return the records after operations at a revision, in key order."""
    now = {entry.key: entry for entry in before.entries}
    for step in steps:
        if isinstance(step, DeleteOp):
            now.pop(step.key, None)
        elif step.key != DELETED:
            now[step.key] = written_entry(step, revision)
    return [record for key in sorted(now) if (record := _shown(now[key])) is not None]
