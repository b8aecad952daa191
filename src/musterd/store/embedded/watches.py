"""Watches and their queues.

A watch is *live* while commits are queued for it in memory. If it starts in the past, or its queue
is full because its reader is slow, it reads the log on disk instead, page by page on demand, until
it has caught up. So a slow reader costs a bounded queue and loses nothing, until the changes it
needs next are removed from the log: then it gets Compacted, and must list again.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from musterd.kv.errors import Compacted, StoreBusy, StoreUnavailable
from musterd.kv.values import Event, EventBatch
from musterd.store.embedded.options import EmbeddedOptions
from musterd.store.embedded.reader import Readers


class Hub:
    """All watches of a store; belongs to the loop."""

    def __init__(
        self, readers: Readers, options: EmbeddedOptions, revision: int, compacted: int
    ) -> None:
        """Create a hub without watches. compacted: the last revision removed from the log."""
        self.readers = readers
        self.options = options
        self.revision = revision
        self.compacted = compacted
        self.closed = False
        self._watches: set[EmbeddedWatch] = set()

    def publish(self, batches: Sequence[EventBatch], compacted: int) -> None:
        """Publish committed changes, and the last revision removed from the log."""
        self.compacted = compacted
        for batch in batches:
            self.revision = batch.revision
            for watch in self._watches:
                watch.offer(batch)

    @contextmanager
    def watch(self, prefix: bytes, from_revision: int | None) -> "Iterator[EmbeddedWatch]":
        """Same as `Store.watch`."""
        if self.closed:
            raise StoreUnavailable("the store is closed")
        if len(self._watches) >= self.options.watches:
            raise StoreBusy(f"{len(self._watches)} watches at once: end some")
        first = self.revision + 1 if from_revision is None else from_revision
        if not self.compacted < first <= self._committed(first) + 1:
            raise Compacted(first, self.compacted + 1)
        watch = EmbeddedWatch(self, prefix, first)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def _committed(self, wanted: int) -> int:
        """Return the last committed revision; it is on disk slightly before it is published."""
        if wanted <= self.revision + 1:
            return self.revision
        with self.readers.snapshot() as snapshot:
            return snapshot.revision

    def close(self) -> None:
        """End all watches."""
        self.closed = True
        for watch in self._watches:
            watch.wake()


class EmbeddedWatch:
    """A `Watch` of the embedded store."""

    def __init__(self, hub: Hub, prefix: bytes, first: int) -> None:
        """Start at a revision that is kept, or at the next one."""
        self._hub = hub
        self._prefix = prefix
        self._next = first
        """Lowest revision not queued yet; while live, a lower bound of it."""
        self._live = first > hub.revision
        self._queue: deque[EventBatch] = deque()
        self._events = self._bytes = 0
        """Size of the queue."""
        self._reader: asyncio.Future[None] | None = None

    @property
    def revision(self) -> int:
        """Same as in `Watch`."""
        if self._queue:
            return self._queue[0].revision - 1
        return max(self._hub.revision, self._next - 1) if self._live else self._next - 1

    @property
    def ready(self) -> bool:
        """Same as in `Watch`."""
        return bool(self._queue)

    @property
    def current(self) -> bool:
        """Same as in `Watch`; contact is never lost."""
        return True

    def __aiter__(self) -> Self:
        """Same as in `Watch`."""
        return self

    async def __anext__(self) -> EventBatch:
        """Same as in `Watch`."""
        while not self._queue:
            if self._hub.closed:
                raise StoreUnavailable("the store that was watched is closed")
            if self._live:
                await self._wait()
            elif self._next > self._hub.revision:
                # Nothing is published between this check and the next call of offer().
                self._live = True
            else:
                await self._catch_up()
        batch = self._queue.popleft()
        self._count(batch, -1)
        return batch

    def offer(self, batch: EventBatch) -> None:
        """Queue the matching events of a batch, or stop being live if the queue is full."""
        if not self._live or batch.revision < self._next:
            return
        events = tuple([event for event in batch.events if event.key.startswith(self._prefix)])
        if not events:
            return
        options = self._hub.options
        if self._events >= options.queue or self._bytes >= options.queue_bytes:
            self._live, self._next = False, batch.revision
            return
        self._add(batch if len(events) == len(batch.events) else batch._replace(events=events))
        self.wake()

    def wake(self) -> None:
        """Wake the reader."""
        if self._reader and not self._reader.done():
            self._reader.set_result(None)

    async def _wait(self) -> None:
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    async def _catch_up(self) -> None:
        """Queue a page of changes from the log."""
        last = self._hub.revision
        with self._hub.readers.snapshot() as snapshot:
            batches, upto = await snapshot.history(self._next, last, self._prefix)
        for batch in batches:
            self._add(batch)
        self._next = upto + 1

    def _add(self, batch: EventBatch) -> None:
        self._queue.append(batch)
        self._count(batch, 1)

    def _count(self, batch: EventBatch, sign: int) -> None:
        self._events += sign * len(batch.events)
        self._bytes += sign * sum(map(_size, batch.events))


def _size(event: Event) -> int:
    size = len(event.key)
    if event.entry is not None:
        size += len(event.entry.value)
    if event.previous is not None:
        size += len(event.previous.value)
    return size
