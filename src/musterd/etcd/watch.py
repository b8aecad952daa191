"""Reader's side of a watch: a bounded queue and its progress."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol, Self

from musterd.etcd import rpc_pb2 as rpc
from musterd.etcd.values import EtcdBatch, EtcdEvent, as_event, size_of
from musterd.kv.errors import Compacted, StoreError, StoreLost


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Limits and timing of the watches of a client; times are in seconds."""

    queued_events: int = 10_000
    """Events queued for a slow reader; beyond that its watch is paused until they are read."""
    queued_bytes: int = 4_194_304
    """Bytes of keys and values queued for a slow reader."""
    watches: int = 1000
    """Maximum watches at once."""
    requests: int = 10_000
    """Maximum requests waiting to be sent."""
    progress: float = 3.0
    """Time between progress requests."""
    catching_up: float = 0.1
    """Time between progress requests while a watch may have missed changes."""
    grace: float = 5.0
    """Time from the loss of a stream to StoreLost; a new leader is elected faster."""
    silent: float = 9.0
    """Time since the last answer after which StoreLost is raised in any case."""
    denied: float = 10.0
    """Time before a refused watch is retried."""
    steady: float = 10.0
    """Time after which a stream counts as stable, and the retry delay is reset."""


WATCH_OPTIONS: Final = WatchOptions()


class Owner(Protocol):
    """Owner of watches."""

    def pause(self, watch: "EtcdWatch") -> None:
        """Stop receiving changes of a watch."""

    def resume(self, watch: "EtcdWatch") -> None:
        """Continue a watch from its next revision."""


class EtcdWatch:
    """Endless stream of the changes of a range of keys: ordered, each exactly once.

    While etcd is unreachable it waits, and then continues.
    """

    def __init__(
        self,
        owner: Owner,
        span: tuple[bytes, bytes],
        first: int,
        previous: bool,
        options: WatchOptions,
    ) -> None:
        """Use ``EtcdClient.watch``. first: the first revision, 0 for the next."""
        self.span = span
        self.previous = previous
        self.id = 0
        """ID at etcd in the current stream; 0 while not watching."""
        self.next = first
        """First revision that may not be queued completely."""
        self.witness: tuple[bytes, int] | None = None
        """Key and revision of the last queued change; revision 0 if it was deleted."""
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once ``next`` is known."""
        self._owner = owner
        self._options = options
        self._queue: deque[EtcdBatch] = deque()
        self._events = self._bytes = 0
        """Size of the queue."""
        self._part: list[EtcdEvent] = []
        """Events of revision ``_at``, which may be incomplete."""
        self._at = 0
        self._began: int | None = None
        """etcd's revision when the watch was created; None while not watching."""
        self._target = 0
        """etcd's revision when contact was restored: up to here changes may be missing."""
        self.silence = 0
        """Number of checks since the last answer; see `Watches`."""
        self.paused = False
        """True if stopped because the queue is full."""
        self.refused = False
        """True if etcd refused it once, possibly because of an expired token."""
        self._end: StoreError | None = None
        self._lost: StoreLost | None = None
        """Error while contact is lost, else None."""
        self._due: asyncio.TimerHandle | None = None
        self._raise_lost = self._lost_raised = False
        """``_raise_lost``: StoreLost must be raised; ``_lost_raised``: it was raised."""
        self._owed = False
        """True if StoreLost was raised and the reader doesn't know yet that it has caught up."""
        self._reader: asyncio.Future[None] | None = None
        if first:
            self.started.set_result(None)

    @property
    def revision(self) -> int:
        """Revision up to which all changes were returned; a later watch continues after it."""
        return (self._queue[0].revision if self._queue else self.next) - 1

    @property
    def ready(self) -> bool:
        """True if the next batch can be read without waiting."""
        return bool(self._queue)

    @property
    def behind(self) -> bool:
        """True if changes from before contact was restored may be missing."""
        return self.next <= self._target

    @property
    def current(self) -> bool:
        """True if connected, and the reader has all changes made before the connection."""
        return self._lost is None and self.revision >= self._target

    @property
    def ended(self) -> bool:
        """True if it ended with an error."""
        return self._end is not None

    def __aiter__(self) -> Self:
        """Return the watch itself."""
        return self

    async def __anext__(self) -> EtcdBatch:
        """Return the changes of the next revision that has any.

        Raises StoreLost, once per outage, after some seconds without contact. The next call
        continues when etcd is back; once nothing is missing and the watch is ``current``, it
        returns an empty batch if there was no change. Any other error ends the watch: Compacted
        if the next changes are no longer kept, or it is another etcd now; StoreUnavailable if it
        was closed.
        """
        while not self._queue:
            if self._end is not None:
                raise self._end
            if self._raise_lost and self._lost is not None:
                self._raise_lost, self._lost_raised = False, True
                self._owed = True
                raise self._lost
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        events = self._queue.popleft()
        self._count(events, -1)
        self._lost_raised = False
        self._owed = self._owed and not self.current
        if self.paused and not self._queue:
            self.paused = False
            self._owner.resume(self)
        return events

    def take(self, answer: rpc.WatchResponse) -> None:
        """Queue an answer's events by revision; a later answer may have the rest of a revision."""
        self.silence = 0
        for event in answer.events:
            revision = event.kv.mod_revision
            if revision >= self.next:
                if self._part and revision > self._at:
                    self._queue_part()
                self._at = revision
                self._part.append(as_event(event))
        if not answer.fragment:
            if self._part:
                self._queue_part()
            elif not answer.events:
                self.reach(answer.header.revision)
        if self._events >= self._options.queued_events or self._bytes >= self._options.queued_bytes:
            self.paused = True
            self._began = None
            self._part.clear()
            self._owner.pause(self)

    def reach(self, revision: int) -> None:
        """Note that all changes up to a revision were received."""
        if not self._part:
            self.next = max(self.next, revision + 1)
            self._catch_up()

    def reach_with_all(self, revision: int) -> None:
        """Process a progress report of etcd for all watches of the stream.

        It may predate this watch, unless its revision is later than the watch's start. If it
        isn't, it is good enough to consider nothing missing, but not to skip later events.
        """
        if self._began is not None and revision > self._began:
            self.reach(revision)
        elif self._began is not None and revision >= self._target:
            self.settle()

    def cut(self, reason: str, at: float) -> None:
        """Note that contact was lost. at: loop time to raise StoreLost unless restored before."""
        self.id = 0
        self._began = None
        self._part.clear()
        if self._lost is None and not self._lost_raised:
            self._due = asyncio.get_running_loop().call_at(at, self._report_lost)
        self._lost = StoreLost(reason)

    def back(self, revision: int) -> None:
        """Note that contact was restored, with etcd at a revision."""
        self._began = self._target = revision
        self.silence = 0
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._lost, self._raise_lost = None, False
        self._catch_up()
        self._wake()

    def settle(self) -> None:
        """Consider nothing missing."""
        self._target = 0
        self._catch_up()

    def _catch_up(self) -> None:
        """Queue an empty batch if the watch is current again and no queued change shows this."""
        if self._owed and not self._queue and self.current:
            self._add(EtcdBatch(self.next - 1, ()))

    def end(self, error: StoreError) -> None:
        """End the watch with an error, raised after the queued changes."""
        self._end = self._end or error
        if not self.started.done():
            self.started.set_result(None)
        if self._due is not None:
            self._due.cancel()
        self._wake()

    @property
    def trouble(self) -> StoreError | None:
        """Error that ended it, or of the lost contact; else None."""
        return self._end or self._lost

    def gone(self, oldest: int) -> None:
        """End the watch: changes are kept only from revision ``oldest`` on."""
        self.end(Compacted(self.next, oldest))

    def _report_lost(self) -> None:
        self._due, self._raise_lost = None, True
        self._wake()

    def _queue_part(self) -> None:
        self._add(EtcdBatch(self._at, tuple(self._part)))
        last = self._part[-1]
        self.witness = last.key, last.entry.mod_revision if last.entry else 0
        self._part.clear()
        self.next = self._at + 1

    def _add(self, events: EtcdBatch) -> None:
        self._queue.append(events)
        self._count(events, 1)
        self._wake()

    def _count(self, events: EtcdBatch, sign: int) -> None:
        self._events += sign * len(events.events)
        self._bytes += sign * size_of(events.events)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
