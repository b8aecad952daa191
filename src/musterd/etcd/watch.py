"""One watch as its reader sees it: a bounded queue, and how far it is."""

import asyncio
from collections import deque
from typing import Final, Protocol, Self

from musterd.etcd import rpc_pb2 as rpc
from musterd.etcd.values import EtcdBatch, EtcdEvent, as_event, octets
from musterd.kv.errors import Compacted, StoreError, StoreLost

QUEUE: Final = 10_000
"""Events that wait for a slow reader; then its watch ends at etcd until they are read."""
QUEUE_OCTETS: Final = 4_194_304
"""Octets of keys and values that wait so."""


class Owner(Protocol):
    """What carries watches."""

    def pause(self, watch: "EtcdWatch") -> None:
        """Let it hear nothing more."""

    def resume(self, watch: "EtcdWatch") -> None:
        """Let it hear on, from its next revision."""


class EtcdWatch:
    """Changes of a range of keys, in order, none left out and none twice; without end.

    While etcd is away it waits, and goes on where it was.
    """

    def __init__(self, owner: Owner, span: tuple[bytes, bytes], first: int, previous: bool) -> None:
        """``first``: revision to begin with, 0 for the next; use ``Client.watch``."""
        self.span = span
        self.previous = previous
        self.id = 0
        """At etcd in the present stream; 0 while it hears nothing."""
        self.next = first
        """The first revision of which not all is known to be queued."""
        self.witness: tuple[bytes, int] | None = None
        """The key of the last change that was queued, and its revision, 0 where it was deleted."""
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when ``next`` is known."""
        self._owner = owner
        self._queue: deque[EtcdBatch] = deque()
        self._events = self._octets = 0
        """Of the queue."""
        self._part: list[EtcdEvent] = []
        """Of a revision of which more may come, ``_at``."""
        self._at = 0
        self._began: int | None = None
        """The revision of etcd when it began to watch; None while it doesn't."""
        self._target = 0
        """The revision of etcd when it was heard again: up to here changes may be missing."""
        self.silence = 0
        """How often it was looked at since it heard something; see `Watches`."""
        self.paused = False
        """Whether it hears nothing because its queue is full."""
        self.refused = False
        """Whether etcd refused it once, which may be for an old token."""
        self._end: StoreError | None = None
        self._lost: StoreLost | None = None
        """Why nothing is heard; None while something is."""
        self._due: asyncio.TimerHandle | None = None
        self._tell = self._told = False
        """Whether the reader is to be told that it is lost, and whether it was."""
        self._owed = False
        """Whether the reader was told so, and not yet that nothing is missing any more."""
        self._reader: asyncio.Future[None] | None = None
        if first:
            self.started.set_result(None)

    @property
    def revision(self) -> int:
        """Up to here all that changed was given; a later watch goes on from the next."""
        return (self._queue[0].revision if self._queue else self.next) - 1

    @property
    def ready(self) -> bool:
        """Whether the next changes are here already, so that nothing needs to be waited for."""
        return bool(self._queue)

    @property
    def behind(self) -> bool:
        """Whether changes may be missing that etcd had before it was heard again."""
        return self.next <= self._target

    @property
    def current(self) -> bool:
        """Whether etcd is heard, and the reader has all that it had when that began."""
        return self._lost is None and self.revision >= self._target

    @property
    def ended(self) -> bool:
        """Whether it ended with an error."""
        return self._end is not None

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> EtcdBatch:
        """The changes of the next revision that has any.

        Raises StoreLost, once each time, when nothing was heard of etcd for some seconds: ask
        again, and when etcd is back there are changes; when those are all that were missed, and
        the watch is ``current``, there is a batch without any if need be. Every other
        error is the end: Compacted where the changes to go on with are gone, or it is another
        etcd now; StoreUnavailable where it was closed.
        """
        while not self._queue:
            if self._end is not None:
                raise self._end
            if self._tell and self._lost is not None:
                self._tell, self._told = False, True
                self._owed = True
                raise self._lost
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        events = self._queue.popleft()
        self._count(events, -1)
        self._told = False
        self._owed = self._owed and not self.current
        if self.paused and not self._queue:
            self.paused = False
            self._owner.resume(self)
        return events

    def take(self, answer: rpc.WatchResponse) -> None:
        """Queue what etcd tells, revision by revision, as a later answer may tell the rest."""
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
        if self._events >= QUEUE or self._octets >= QUEUE_OCTETS:
            self.paused = True
            self._began = None
            self._part.clear()
            self._owner.pause(self)

    def reach(self, revision: int) -> None:
        """All up to a revision was told."""
        if not self._part:
            self.next = max(self.next, revision + 1)
            self._catch_up()

    def reach_with_all(self, revision: int) -> None:
        """All up to a revision was told to all watches that there were when etcd said so.

        That may have been before this one, unless etcd has changed since this one began. It mostly
        was not, which is enough to say that nothing is missing, but not to ignore what comes.
        """
        if self._began is not None and revision > self._began:
            self.reach(revision)
        elif self._began is not None and revision >= self._target:
            self.settle()

    def cut(self, reason: str, at: float) -> None:
        """Nothing is heard of etcd; the reader is told at some time of the loop, if still so."""
        self.id = 0
        self._began = None
        self._part.clear()
        if self._lost is None and not self._told:
            self._due = asyncio.get_running_loop().call_at(at, self._tell_now)
        self._lost = StoreLost(reason)

    def back(self, revision: int) -> None:
        """Etcd, which is at a revision, is heard again."""
        self._began = self._target = revision
        self.silence = 0
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._lost, self._tell = None, False
        self._catch_up()
        self._wake()

    def settle(self) -> None:
        """Nothing is missing, by all that can be known."""
        self._target = 0
        self._catch_up()

    def _catch_up(self) -> None:
        """Tell the reader if nothing is missing any more and no change tells so."""
        if self._owed and not self._queue and self.current:
            self._add(EtcdBatch(self.next - 1, ()))

    def end(self, error: StoreError) -> None:
        """Let it raise an error after what is queued, for ever."""
        self._end = self._end or error
        if not self.started.done():
            self.started.set_result(None)
        if self._due is not None:
            self._due.cancel()
        self._wake()

    @property
    def trouble(self) -> StoreError | None:
        """Why it ended, or hears nothing."""
        return self._end or self._lost

    def gone(self, oldest: int) -> None:
        """The changes to go on with are not known; those from a revision on are."""
        self.end(Compacted(self.next, oldest))

    def _tell_now(self) -> None:
        self._due, self._tell = None, True
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
        self._octets += sign * octets(events.events)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
