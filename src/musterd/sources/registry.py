"""The registry as a source: what is in the store, then each change of it as soon as it is kept."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from musterd.backoff import Backoff
from musterd.kv import Compacted, Entry, Event, Store, StoreError, StoreLost, Watch
from musterd.registry import names, rdata
from musterd.registry.applied import Applied
from musterd.registry.keys import RECORDS
from musterd.registry.record import decode
from musterd.rr.rrset import Policy, Record, pack
from musterd.sources.changes import Batch, Begin, Change, Delete, Fault, Lost, Put, Resolved, Synced

NAME: Final = "registry"
"""Of the source; no other can have it."""
AT_ONCE: Final = 1000
"""Changes that are told at once."""
RETRY: Final = Backoff(0.5, 30.0)
"""Delays before a store that can't be read is tried again."""
_OWNER_PARTS: Final = RECORDS.count(b"/") + 2
"""Of a key of the store, as far as its owner."""

_Told = Put | Delete | Fault


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """The records in a store.

    applied: hears how far they are in answers; ttl: of records of a zone (its text as in keys)
    that have none, seconds.
    """

    store: Store
    applied: Applied
    ttl: Callable[[str], int]

    @property
    def name(self) -> str:
        """As zones list it."""
        return NAME

    async def changes(self) -> AsyncGenerator[Change]:
        """Give all records, then what changes; never ends."""
        retry = RETRY.start()
        while True:
            try:
                async with aclosing(self._follow()) as changes:
                    async for change in changes:
                        yield change
                        if isinstance(change, Synced):
                            retry.reset()
            except Compacted as error:
                # More changed than is kept for who follows slowly: list again.
                yield Lost(str(error))
                continue
            except StoreError as error:
                yield Lost(str(error))
            finally:
                self.applied.lost()
            await asyncio.sleep(retry.next())

    async def _follow(self) -> AsyncGenerator[Change]:
        """List once, and watch from there on. Raises StoreError."""
        revision = 0
        entries: tuple[Entry, ...] = ()
        bad: set[str] = set()
        async with aclosing(self.store.scan(RECORDS)) as pages:
            async for page in pages:
                if not revision:
                    # Not before: while a store elsewhere can't be read, a snapshot is better.
                    yield Begin()
                revision = page.revision
                entries += page.entries
                # The next page may have more of the last owner.
                end = _last_owner(entries) if page.more else len(entries)
                for change in _grouped(map(self._listed, entries[:end]), bad, whole=True):
                    yield change
                entries = entries[end:]
                # A page may come, and be taken, without a wait; others have their turn here.
                await asyncio.sleep(0)
        async with self.store.watch(RECORDS, revision + 1) as watch:
            yield Synced(revision)
            self.applied.upto(revision)
            lost = False
            while True:
                try:
                    events = await self._events(watch)
                except StoreLost as error:
                    lost = True
                    self.applied.lost()
                    yield Lost(str(error))
                    continue
                for change in _grouped(map(self._changed, events), bad):
                    yield change
                if lost and watch.current:
                    lost = False
                    yield Synced(watch.revision)
                # Who gives the next change has the last in answers.
                self.applied.upto(watch.revision, more=watch.ready or lost)

    async def _events(self, watch: Watch) -> list[Event]:
        """The next events, and those after them that need no wait."""
        found = list((await self.applied.after(watch)).events)
        while watch.ready and len(found) < AT_ONCE:
            found += (await anext(watch)).events
        return found

    def _changed(self, event: Event) -> _Told:
        if event.entry is None:
            return Delete(_name(event.key), 0)
        return self._listed(event.entry)

    def _listed(self, entry: Entry) -> _Told:
        try:
            return self._put(entry)
        except (ValueError, TypeError, OverflowError) as error:
            return Fault(_name(entry.key), str(error))

    def _put(self, entry: Entry) -> Put:
        """What an entry gives. Raises ValueError, TypeError, OverflowError where it is wrong."""
        path = entry.key[len(RECORDS) :].decode()
        zone, owner, word, _ = path.split("/")
        value = decode(entry.value)
        get = value.get
        rtype = rdata.parse_type(word)
        wire = rdata.parse(rtype, value["data"])
        ttl, lease_ttl, policy, weight = get("ttl"), get("lease_ttl"), get("policy"), get("weight")
        if lease_ttl is not None:
            ttl = min(self.ttl(zone) if ttl is None else ttl, lease_ttl)
        if weight is None:
            weight = rdata.weight(rtype, wire)
        packed = pack(ttl, ((weight, wire),), policy=policy and Policy.parse(policy))
        record = Record(names.owner_wire(owner, zone), rtype, packed)
        return Put(path, entry.mod_revision, float(get("modified", 0)), (record,))


def _last_owner(entries: Sequence[Entry]) -> int:
    """Where the entries of the last owner begin."""
    owner = entries[-1].key.split(b"/")[:_OWNER_PARTS]
    end = len(entries)
    while end and entries[end - 1].key.split(b"/")[:_OWNER_PARTS] == owner:
        end -= 1
    return end


def _grouped(told: Iterable[_Told], bad: set[str], *, whole: bool = False) -> Iterator[Change]:
    """Changes as the catalog takes them, in order; a key that is wrong gives nothing.

    bad: the keys that are wrong now.
    """
    group: list[Put | Delete] = []
    faults: list[Fault | Resolved] = []
    for one in told:
        if isinstance(one, Fault):
            faults.append(one)
            bad.add(one.where)
            group.append(Delete(one.where, 0))
            continue
        group.append(one)
        if bad and one.key in bad:
            bad.remove(one.key)
            faults.append(Resolved(one.key))
    yield from faults
    if group:
        yield Batch(group, whole)


def _name(key: bytes) -> str:
    """The key of an entry as the catalog and people have it."""
    return key[len(RECORDS) :].decode("utf-8", "backslashreplace")
