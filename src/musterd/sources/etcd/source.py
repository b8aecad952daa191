"""A source that is an etcd to which others write: listed once, then watched."""

import asyncio
import time as clock
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from musterd.backoff import Backoff
from musterd.etcd import EtcdClient, EtcdOptions, EtcdWatch, span
from musterd.etcd import EtcdEvent as Event
from musterd.kv import Compacted, StoreError, StoreLost
from musterd.sources.changes import (
    Batch,
    Begin,
    Change,
    Fault,
    Lost,
    Resolved,
    Synced,
    WithheldRecord,
)
from musterd.sources.etcd.fair_share import FairShare
from musterd.sources.etcd.index import Index, Told
from musterd.sources.etcd.keys import LAYOUTS
from musterd.sources.etcd.lease_ttl import Leases
from musterd.sources.etcd.resync import Listing

AT_ONCE: Final = 500
"""Keys that are taken without a break."""
DEBOUNCE: Final = 0.003
"""Seconds for which large names wait, so that later changes are resolved with them."""
SHARE: Final = 0.1
"""Fraction of the time that resolving large names may take."""
TURNS: Final = 8
"""Turns of the loop after a step, as what comes takes some to be here."""
RETRY: Final = Backoff(0.5, 10.0)
"""Delays before an etcd that can't be read is tried again."""


@dataclass(slots=True)
class EtcdSource:
    """The records below a prefix.

    layout: one of ``LAYOUTS``; prefix: as ``/skydns``; zones: folded wire names; ttl: seconds, of
    records that have none; subtree: whether a name answers with the keys below it, too.
    """

    name: str
    options: EtcdOptions
    layout: str
    prefix: str
    zones: tuple[bytes, ...]
    ttl: int
    subtree: bool = True
    time: Callable[[], float] = field(default=clock.time)
    _index: Index | None = field(default=None, init=False)

    def left_out(self, owner: bytes) -> Sequence[WithheldRecord]:
        """The records at a folded owner name whose addresses a status has down."""
        return () if self._index is None else self._index.left_out(owner)

    async def changes(self) -> AsyncGenerator[Change]:
        """Give what is there, then what changes; never ends."""
        layout = LAYOUTS[self.layout]
        self._index = index = Index(layout, self.prefix, self.zones, self.ttl, subtree=self.subtree)
        async with EtcdClient(self.options) as client:
            follower = _Follower(index, client, self.time)
            retry = RETRY.start()
            while True:
                try:
                    async with aclosing(follower.follow()) as changes:
                        async for change in changes:
                            yield change
                            if isinstance(change, Synced):
                                retry.reset()
                except Compacted as error:
                    # More changed than etcd keeps, or it is another one: list again.
                    yield Lost(str(error))
                    continue
                except StoreError as error:
                    yield Lost(str(error))
                await asyncio.sleep(retry.next())


class _Follower:
    """Keeps an index as etcd is, and tells what changes."""

    def __init__(self, index: Index, client: EtcdClient, time: Callable[[], float]) -> None:
        self._index = index
        self._client = client
        self._time = time
        self._begun = False
        self._listed = 0
        """The revision of the last list."""
        self._leases = Leases(self._granted, clock.monotonic)
        self._span = span(index.keys.prefix)

    async def follow(self) -> AsyncGenerator[Change]:
        """List, and watch from there on. Raises StoreError, Compacted among them."""
        async with aclosing(self._list()) as changes:
            async for change in changes:
                yield change
        async with self._client.watch(*self._span, from_revision=self._listed + 1) as watch:
            yield Synced(self._listed)
            async with aclosing(self._watch(watch)) as changes:
                async for change in changes:
                    yield change

    async def _list(self) -> AsyncGenerator[Change]:
        """What is new in the list."""
        listing = Listing(self._index, self._leases)
        async with aclosing(self._client.pages(*self._span)) as pages:
            async for page in pages:
                self._listed = page.revision
                if not self._begun:
                    # Of later lists only the differences are told: all rows stay true.
                    self._begun = True
                    yield Begin()
                for at in range(0, len(page.entries), AT_ONCE):
                    some = page.entries[at : at + AT_ONCE]
                    changed = listing.compare(some)
                    wrong = await self._leases.learn(entry.lease for entry in changed)
                    time = self._time()
                    told = listing.take(changed, self._listed, time)
                    for change in self._changes([*wrong, *told, *self._index.take(time)]):
                        yield change
                    await asyncio.sleep(0)
        listing.end(self._listed)
        for told in self._index.later(self._time()):
            for change in self._changes(told):
                yield change
            await asyncio.sleep(0)

    async def _watch(self, watch: EtcdWatch) -> AsyncGenerator[Change]:
        lost = False
        later: Iterator[list[Told]] = iter(())
        share = FairShare(DEBOUNCE, SHARE)
        coming = asyncio.ensure_future(_events(watch))
        try:
            while True:
                # What comes is told at once, in between the steps of what takes long.
                while not coming.done():
                    now = clock.perf_counter()
                    told = next(later, None)
                    if told is not None:
                        for change in self._changes(told):
                            yield change
                        share.spent(now, clock.perf_counter() - now)
                        for _ in range(TURNS):
                            await asyncio.sleep(0)
                    elif not self._index.waits:
                        share.cancel()
                        await asyncio.wait({coming})
                    elif not share.allow(now):
                        await asyncio.wait({coming}, timeout=share.delay(now))
                    else:
                        later = self._index.later(self._time())
                try:
                    revision, events, current = await coming
                except StoreLost as error:
                    coming = asyncio.ensure_future(_events(watch))
                    lost = True
                    yield Lost(str(error))
                    continue
                coming = asyncio.ensure_future(_events(watch))
                for change in await self._changed(events):
                    yield change
                if lost and current:
                    lost = False
                    yield Synced(revision)
        finally:
            coming.cancel()

    async def _changed(self, events: Sequence[tuple[int, Event]]) -> list[Change]:
        """What the events of some revisions change, names with many services apart."""
        index = self._index
        wrong = await self._leases.learn(one.entry.lease for _, one in events if one.entry)
        for revision, one in events:
            if one.entry is None:
                index.delete(one.key, revision)
            else:
                ttl = self._leases.ttl(one.entry.lease)
                index.put(one.key, one.entry.value, revision, ttl)
        return self._changes([*wrong, *index.take(self._time())])

    def _changes(self, told: Sequence[Told]) -> list[Change]:
        """What is told, as the catalog takes it."""
        several = [one for one in told if not isinstance(one, Fault | Resolved)]
        changes: list[Change] = [one for one in told if isinstance(one, Fault | Resolved)]
        if several:
            changes.append(Batch(several))
        return changes

    async def _granted(self, lease: int) -> int:
        return (await self._client.leases.info(lease)).ttl


async def _events(watch: EtcdWatch) -> tuple[int, list[tuple[int, Event]], bool]:
    """The next changes with their revisions, those too that need no wait.

    Before them the last revision, after them whether they make the watch current.
    """
    found: list[tuple[int, Event]] = []
    while True:
        events = await anext(watch)
        found += [(events.revision, one) for one in events.events]
        if not watch.ready or len(found) >= AT_ONCE:
            return events.revision, found, watch.current
