"""A source of records that other programs write to etcd: listed once, then watched."""

import asyncio
import time as clock
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from musterd.backoff import Backoff
from musterd.etcd import EtcdBatch, EtcdClient, EtcdKeys, EtcdOptions, span
from musterd.kv.follow import Changed, Interrupted, ListPage, Live, Step, follow
from musterd.sources.changes import Batch, Begin, Change, Fault, Lost, Resolved, Synced
from musterd.sources.etcd.fair_share import FairShare
from musterd.sources.etcd.index import Index, Report
from musterd.sources.etcd.keys import LAYOUTS
from musterd.sources.etcd.lease_ttl import LeaseTtls
from musterd.sources.etcd.resync import Resync

BATCH_SIZE: Final = 500
"""Keys and events that are taken in one step."""
DEBOUNCE: Final = 0.003
"""Seconds for which large names wait, so that later changes are resolved with them."""
SHARE: Final = 0.1
"""Fraction of the time that resolving large names may take."""
TURNS: Final = 8
"""Turns of the event loop after a step, which an event needs to arrive."""
RETRY: Final = Backoff(0.5, 10.0)
"""Delays before an etcd that can't be read is tried again."""


@dataclass(slots=True)
class EtcdSource:
    """The records below a prefix.

    layout: one of ``LAYOUTS``; prefix: for example ``/skydns``; zones: folded wire names; ttl: of
    records without one, seconds; subtree: True if a name also answers with the keys below it.
    """

    name: str
    options: EtcdOptions
    layout: str
    prefix: str
    zones: tuple[bytes, ...]
    ttl: int
    subtree: bool = True
    time: Callable[[], float] = field(default=clock.time)

    async def changes(self) -> AsyncGenerator[Change]:
        """Report the present records, then each change; never end."""
        layout = LAYOUTS[self.layout]
        index = Index(layout, self.prefix, self.zones, self.ttl, subtree=self.subtree)
        async with (
            EtcdClient(self.options) as client,
            aclosing(_Follower(index, client, self.time).changes()) as changes,
        ):
            async for change in changes:
                yield change


class _Follower:
    """Updates an index from etcd, and reports the changes."""

    def __init__(self, index: Index, client: EtcdClient, time: Callable[[], float]) -> None:
        self._index = index
        self._client = client
        self._time = time
        self._begun = False
        self._leases = LeaseTtls(self._granted, clock.monotonic)
        self._resync: Resync | None = None
        """The list in progress, None while watching."""
        self._later: Iterator[list[Report]] = iter(())
        """The steps of resolving large names."""
        self._share = FairShare(DEBOUNCE, SHARE)

    async def changes(self) -> AsyncGenerator[Change]:
        """List, watch from there on, and again after each interruption; never end."""
        keys = EtcdKeys(self._client, span(self._index.keys.prefix))
        steps = follow(keys, RETRY, max_events=BATCH_SIZE)
        coming = asyncio.ensure_future(anext(steps))
        try:
            while True:
                # Events are reported at once, in between the steps of resolving large names.
                while self._resync is None and not coming.done():
                    for change in await self._resolve_step(coming):
                        yield change
                step = await coming
                coming = asyncio.ensure_future(anext(steps))
                async with aclosing(self._take(step)) as changes:
                    async for change in changes:
                        yield change
        finally:
            # A generator can't be closed while its anext runs.
            coming.cancel()
            await asyncio.wait([coming])
            await steps.aclose()

    async def _resolve_step(self, coming: asyncio.Future[Step[EtcdBatch]]) -> list[Change]:
        """Do a step of resolving large names if it is time for one, else wait."""
        now = clock.perf_counter()
        reports = next(self._later, None)
        if reports is not None:
            changes = _changes(reports)
            self._share.spent(now, clock.perf_counter() - now)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            return changes
        if not self._index.waits:
            self._share.cancel()
            await asyncio.wait({coming})
        elif not self._share.allow(now):
            await asyncio.wait({coming}, timeout=self._share.delay(now))
        else:
            self._later = self._index.later(self._time())
        return []

    async def _take(self, step: Step[EtcdBatch]) -> AsyncGenerator[Change]:
        match step:
            case ListPage():
                async with aclosing(self._take_page(step)) as changes:
                    async for change in changes:
                        yield change
            case Live(revision):
                yield Synced(revision)
            case Changed(batches):
                for change in await self._take_batches(batches):
                    yield change
            case Interrupted(error):
                yield Lost(str(error))

    async def _take_page(self, page: ListPage) -> AsyncGenerator[Change]:
        if page.first or self._resync is None:
            self._resync = Resync(self._index, self._leases)
            self._later = iter(())
            self._share.cancel()
        if not self._begun:
            # Later lists report only the differences: all rows stay valid.
            self._begun = True
            yield Begin()
        for at in range(0, len(page.entries), BATCH_SIZE):
            changed = self._resync.compare(page.entries[at : at + BATCH_SIZE])
            faults = await self._leases.learn(entry.lease for entry in changed)
            time = self._time()
            reports = self._resync.take(changed, page.revision, time)
            for change in _changes([*faults, *reports, *self._index.take(time)]):
                yield change
            await asyncio.sleep(0)
        if not page.more:
            self._resync.end(page.revision)
            self._resync = None
            for reports in self._index.later(self._time()):
                for change in _changes(reports):
                    yield change
                await asyncio.sleep(0)

    async def _take_batches(self, batches: Sequence[EtcdBatch]) -> list[Change]:
        """Return the changes of some batches, except changes of large names."""
        index = self._index
        events = [(batch.revision, event) for batch in batches for event in batch.events]
        faults = await self._leases.learn(event.entry.lease for _, event in events if event.entry)
        for revision, event in events:
            if event.entry is None:
                index.delete(event.key, revision)
            else:
                ttl = self._leases.ttl(event.entry.lease)
                index.put(event.key, event.entry.value, revision, ttl)
        return _changes([*faults, *index.take(self._time())])

    async def _granted(self, lease: int) -> int:
        return (await self._client.leases.info(lease)).ttl


def _changes(reports: Sequence[Report]) -> list[Change]:
    """Return reports as changes for the catalog."""
    batch = [report for report in reports if not isinstance(report, Fault | Resolved)]
    changes: list[Change] = [report for report in reports if isinstance(report, Fault | Resolved)]
    if batch:
        changes.append(Batch(batch))
    return changes
