"""The registry as a source: the records in the store, then each change once it is written."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from musterd.backoff import Backoff
from musterd.kv import Entry, Event, Store
from musterd.kv.follow import Changed, Interrupted, ListPage, Live, StoreKeys, follow
from musterd.registry import names, rdata
from musterd.registry.applied import Applied
from musterd.registry.keys import RECORDS
from musterd.registry.record import decode, record_key
from musterd.rr.rrset import Policy, Record, pack
from musterd.sources.changes import Batch, Begin, Change, Delete, Fault, Lost, Put, Resolved, Synced

NAME: Final = "registry"
"""Name of the source; no other source can have it."""
RETRY: Final = Backoff(0.5, 30.0)
"""Delays before a store that can't be read is tried again."""
_OWNER_PARTS: Final = RECORDS.count(b"/") + 2
"""Parts of a key in the store, up to its owner."""

_Report = Put | Delete | Fault


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """The records in a store.

    applied: receives the revision up to which they are answered; ttl: returns the default TTL, in
    seconds, of the zone of a folded wire name.
    """

    store: Store
    applied: Applied
    ttl: Callable[[bytes], int]

    @property
    def name(self) -> str:
        """The name by which zones list it."""
        return NAME

    async def changes(self) -> AsyncGenerator[Change]:
        """Report all records, then each change; never end."""
        entries: tuple[Entry, ...] = ()
        bad: set[str] = set()
        keys = StoreKeys(self.store, RECORDS)
        try:
            async with aclosing(follow(keys, RETRY, take=self.applied.after)) as steps:
                async for step in steps:
                    match step:
                        case ListPage():
                            if step.first:
                                # Until the store can be read, a snapshot is better than no records.
                                entries, bad = (), set()
                                yield Begin()
                            entries += step.entries
                            # The next page may have more records of the last owner.
                            end = _last_owner(entries) if step.more else len(entries)
                            listed = map(self._listed, entries[:end])
                            for change in _grouped(listed, bad, whole=True):
                                yield change
                            entries = entries[end:]
                        case Changed(batches, watch, interrupted):
                            events = (event for batch in batches for event in batch.events)
                            for change in _grouped(map(self._changed, events), bad):
                                yield change
                            # The consumer asks for the next change: it has applied the last one.
                            self.applied.upto(watch.revision, more=watch.ready or interrupted)
                        case Live(revision, watch):
                            yield Synced(revision)
                            self.applied.upto(revision, more=watch.ready)
                        case Interrupted(error):
                            self.applied.lost()
                            yield Lost(str(error))
        finally:
            self.applied.lost()

    def _changed(self, event: Event) -> _Report:
        if event.entry is None:
            return Delete(_name(event.key), 0)
        return self._listed(event.entry)

    def _listed(self, entry: Entry) -> _Report:
        try:
            return self._put(entry)
        except (ValueError, TypeError, OverflowError) as error:
            return Fault(_name(entry.key), str(error), _owner(entry.key))

    def _put(self, entry: Entry) -> Put:
        """Return the record of an entry. Raises ValueError, TypeError, OverflowError."""
        key = record_key(entry.key)
        name = names.owner_wire(key.owner, key.zone)
        self.applied.zones.add(names.zone_wire(key.zone))
        value = decode(entry.value)
        get = value.get
        rtype = rdata.parse_type(key.rtype)
        names.check_place(key.owner, rtype)
        wire = rdata.parse(rtype, value["data"], key.zone)
        ttl, lease_ttl, policy, weight = get("ttl"), get("lease_ttl"), get("policy"), get("weight")
        if lease_ttl is not None:
            ttl = min(self.ttl(name) if ttl is None else ttl, lease_ttl)
        if weight is None:
            weight = rdata.weight(rtype, wire)
        ptr = get("ptr")
        if ptr not in (None, True, False):
            raise ValueError("ptr: expected true or false")
        packed = pack(ttl, ((weight, wire),), policy=policy and Policy.parse(policy), ptr=ptr)
        record = Record(name, rtype, packed)
        return Put(key.path, entry.mod_revision, float(get("modified", 0)), (record,))


def _last_owner(entries: Sequence[Entry]) -> int:
    """Return the index of the first entry of the last owner."""
    owner = entries[-1].key.split(b"/")[:_OWNER_PARTS]
    end = len(entries)
    while end and entries[end - 1].key.split(b"/")[:_OWNER_PARTS] == owner:
        end -= 1
    return end


def _grouped(reports: Iterable[_Report], bad: set[str], *, whole: bool = False) -> Iterator[Change]:
    """Return reports as the catalog takes them, in order; an invalid key gives no records.

    bad: the keys that are invalid now.
    """
    group: list[Put | Delete] = []
    faults: list[Fault | Resolved] = []
    for report in reports:
        if isinstance(report, Fault):
            faults.append(report)
            bad.add(report.where)
            group.append(Delete(report.where, 0))
            continue
        group.append(report)
        if bad and report.key in bad:
            bad.remove(report.key)
            faults.append(Resolved(report.key))
    yield from faults
    if group:
        yield Batch(group, whole)


def _owner(key: bytes) -> bytes:
    """Return the folded owner name of a key; empty if it has none."""
    try:
        zone, owner, *_ = key[len(RECORDS) :].decode().split("/")
        return names.owner_wire(owner, zone).lower()
    except ValueError:
        return b""


def _name(key: bytes) -> str:
    """Return the key of an entry as the catalog and error messages show it."""
    return key[len(RECORDS) :].decode("utf-8", "backslashreplace")
