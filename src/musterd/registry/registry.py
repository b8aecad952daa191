"""The registry: records registered by users, in the store."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from musterd.kv import Compare, DeleteOp, Entry, Is, Operation, PutOp, Store
from musterd.registry import rdata
from musterd.registry.applied import Applied
from musterd.registry.errors import Clash, Invalid, Mismatch, NotRegistered, TooLarge
from musterd.registry.keys import DELETED, RECORDS, RecordKey, prefix
from musterd.registry.preconditions import NOTHING, Preconditions
from musterd.registry.record import RecordSpec, encode, new_value, show, show_value, unchanged
from musterd.registry.write_cache import WriteCache
from musterd.rr.types import CNAME

MAX_RRSET: Final = 1000
"""Maximum records of an RRset."""
MAX_SCAN: Final = 20_000
"""Maximum records scanned for one page of a list."""
PAGE: Final = 1000
_MAX_TRIES: Final = 16
"""Maximum attempts of a write when others write the same record."""


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
        """The entity tags. The first changes after a deletion too; the second is the revision."""
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
        self._write_cache = WriteCache()

    def now(self) -> float:
        """Return the current time, epoch seconds."""
        return self._clock()

    async def get(self, key: RecordKey, strays: Sequence[RecordKey] = ()) -> dict[str, Any]:
        """Return a record, or the stray of its type and id. Raises NotRegistered."""
        entry = await self.store.get(key.octets)
        for stray in strays:
            if entry is None and stray[2:] == key[2:]:
                entry = await self.store.get(stray.octets)
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
        revision, seen = 0, 0
        while seen < MAX_SCAN:
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
        self, key: RecordKey, wanted: RecordSpec, who: str, expect: Preconditions = NOTHING
    ) -> Written:
        """Create or replace a record. Raises Mismatch, Clash, LeaseNotFound."""
        octets = key.octets
        # The cache usually knows the current entry, and the transaction confirms it. Reading it
        # first would cost more than the rest, because the store is being written.
        before, sure = self._write_cache.get(octets), False
        if expect or wanted.rtype in rdata.SINGLE:
            before, sure = await self.store.get(octets), True
        for _ in range(_MAX_TRIES):
            if expect:
                _check(key, before, expect)
            if before is not None and unchanged(wanted, before):
                if sure:
                    return Written(show(before), False, False)
                before, sure = await self.store.get(octets), True
                continue
            # Also where nothing is expected: a write whose answer was lost may still come late.
            compares = [_as_found(octets, before), *await self._room(key, wanted.rtype, before)]
            value = new_value(wanted, who, self._clock(), before)
            step = PutOp(octets, to_json(value), wanted.lease)
            done = await self.store.transaction(compares, (step,))
            if done.succeeded:
                self._write_cache.keep(_entry(step, done.revision))
                await self.applied.reached(done.revision)
                record = show_value(key, value, done.revision, wanted.lease)
                return Written(record, before is None, True)
            _look_for_alias(key, done.entries)
            before, sure = done.entries[0], True
        raise _contended(key)

    async def delete(self, key: RecordKey, who: str, expect: Preconditions = NOTHING) -> int:
        """Remove a record and return the revision. Raises NotRegistered, Mismatch."""
        octets = key.octets
        for _ in range(_MAX_TRIES):
            before = await self.store.get(octets)
            if expect:
                _check(key, before, expect)
            if before is None:
                raise NotRegistered(f"{_named(key)} is not registered")
            steps = (DeleteOp(octets), PutOp(DELETED, tombstone(who, self._clock())))
            done = await self.store.transaction((_as_found(octets, before),), steps)
            if done.succeeded:
                self._write_cache.drop(octets)
                await self.applied.reached(done.revision)
                return done.revision
        raise _contended(key)

    async def put_rrset(
        self,
        rrset: RecordKey,
        wanted: dict[str, RecordSpec],
        who: str,
        expect: Preconditions = NOTHING,
    ) -> Replaced:
        """Make these, by id, all records of an owner and a type (the key's id does not count).

        Raises Invalid, TooLarge, Mismatch, Clash, LeaseNotFound.
        """
        if len(wanted) > MAX_RRSET:
            raise Invalid(f"{len(wanted)} records of one owner and type: at most {MAX_RRSET}")
        rtype = rdata.parse_type(rrset.rtype)
        if len(wanted) > 1 and rtype in rdata.SINGLE:
            raise Invalid(f"{rrset.owner} can have one {rrset.rtype} record, not {len(wanted)}")
        for _ in range(_MAX_TRIES):
            before = await self.rrset(*rrset[:3])
            if expect:
                expect.check(_rrset_named(rrset), before.tags, before.revision)
            steps = self._replacement(rrset, before, wanted, who)
            revision = before.revision
            if steps:
                # All that was read: also what is kept, as others may delete it meanwhile.
                compares = [_as_found(entry.key, entry) for entry in before.entries]
                compares.append(Compare(prefix(*rrset[:3]), Is.NONE_SINCE, before.seen))
                if wanted:
                    compares += await self._room(rrset, rtype, before)
                most = self.store.limits.operations
                if max(len(steps), len(compares)) > most:
                    raise TooLarge(
                        f"{_rrset_named(rrset)}: from {len(before.entries)} records to"
                        f" {len(wanted)} in one step takes {len(steps)} changes and"
                        f" {len(compares)} checks, and the store takes {most} of each: write or"
                        " delete single records, by their ids"
                    )
                done = await self.store.transaction(compares, steps)
                if not done.succeeded:
                    _look_for_alias(rrset, done.entries)
                    continue
                revision = done.revision
                await self.applied.reached(revision)
            return Replaced(_after(before, steps, revision), before, revision, bool(steps))
        raise _contended(rrset)

    async def delete_rrset(
        self, rrset: RecordKey, who: str, expect: Preconditions = NOTHING
    ) -> Replaced:
        """Remove all records of an owner and a type.

        Raises NotRegistered, TooLarge, Mismatch.
        """
        done = await self.put_rrset(rrset, {}, who, expect)
        if not done.before.entries:
            raise NotRegistered(f"{_rrset_named(rrset)} is not registered")
        return done

    def _replacement(
        self, rrset: RecordKey, before: RegisteredRRset, wanted: dict[str, RecordSpec], who: str
    ) -> list[Operation]:
        """Return the operations from the current to the wanted records."""
        now = self._clock()
        there = {entry.key: entry for entry in before.entries}
        steps: list[Operation] = []
        for name, draft in wanted.items():
            key = rrset._replace(id=name).octets
            entry = there.pop(key, None)
            if entry is None or not unchanged(draft, entry):
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
            types = {_type(entry.key) for entry in page.entries}
            if before is None and key.rtype in types:
                raise Clash(
                    f"{_rrset_named(key)}: there can be one, and another is registered: PUT the "
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


def _rrset_named(key: RecordKey) -> str:
    return f"{key.owner} {key.rtype} in zone {key.zone}"


def _check(key: RecordKey, entry: Entry | None, expect: Preconditions) -> None:
    revision = entry.mod_revision if entry else 0
    expect.check(_named(key), (str(revision),) if entry else (), revision)


def _as_found(key: bytes, entry: Entry | None) -> Compare:
    if entry is None:
        return Compare(key, Is.ABSENT)
    return Compare(key, Is.MODIFIED_AT, entry.mod_revision)


def _type(key: bytes) -> str:
    """Return the type in a key."""
    return key[len(RECORDS) :].split(b"/")[2].decode("ascii", "backslashreplace")


def _look_for_alias(key: RecordKey, found: Iterable[Entry | None]) -> None:
    """Raise Clash if a CNAME blocks a record."""
    if key.rtype != "CNAME" and any(entry and _type(entry.key) == "CNAME" for entry in found):
        raise Clash(
            f"{key.owner} has a CNAME record, which excludes other records: delete it first"
        )


def _contended(key: RecordKey) -> Mismatch:
    return Mismatch(f"{_rrset_named(key)}: too many concurrent writes: try again", 0)


def _shown(entry: Entry) -> dict[str, Any] | None:
    try:
        return show(entry)
    except ValueError:
        # Not written by us, and no record; the source reports it.
        return None


def _path(key: bytes) -> str:
    return key[len(prefix()) :].decode()


def _entry(step: PutOp, revision: int) -> Entry:
    """Return the written entry, without fields that only the store knows."""
    return Entry(step.key, step.value, 0, revision, 0, step.lease)


def _after(
    before: RegisteredRRset, steps: Sequence[Operation], revision: int
) -> list[dict[str, Any]]:
    """Return the records after operations at a revision, in key order."""
    now = {entry.key: entry for entry in before.entries}
    for step in steps:
        if isinstance(step, DeleteOp):
            now.pop(step.key, None)
        elif step.key != DELETED:
            now[step.key] = _entry(step, revision)
    return [record for key in sorted(now) if (record := _shown(now[key])) is not None]
