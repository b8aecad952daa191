"""Which leases there are, and when they end.

Deadlines are in memory only: a renewal costs no write, and after a restart each lease has its full
time again, as in etcd, since nobody could renew it meanwhile.
"""

import asyncio
import heapq
from collections.abc import Callable, Sequence
from typing import Final

from musterd.clock import Clock, Timer
from musterd.kv.errors import LeaseNotFound, StoreError
from musterd.kv.values import Lease

_LOOK: Final = 1.0
"""Seconds after which deadlines are looked at in any case: timers of the loop stand still while
the machine sleeps, leases don't."""
_AT_ONCE: Final = 100
"""Leases to end in one request, so that thousands that end together leave room for writes."""
_SLACK: Final = 100
"""Entries of the heap whose lease is gone, beyond as many again as there are leases."""
_RETRY: Final = 1.0
"""Seconds until an end that couldn't be written is tried again."""

End = Callable[[Sequence[int]], "asyncio.Future[int]"]


class LeaseTable:
    """All leases of a store; belongs to the loop."""

    def __init__(self, clock: Clock, end: End) -> None:
        """With none yet. end: removes leases and what hangs on them; may raise StoreError."""
        self._clock = clock
        self._end = end
        self._leases: dict[int, tuple[int, float]] = {}
        self._due: list[tuple[float, int]] = []
        """A heap with each lease at its deadline or before that, and some that are gone."""
        self._timer: Timer | None = None
        self._ending = False
        self._closed = False

    def __len__(self) -> int:
        """How many there are, those included whose end is being written."""
        return len(self._leases)

    def __contains__(self, lease: int) -> bool:
        """Whether there is one of an ID."""
        return lease in self._leases

    def add(self, lease: int, ttl: int) -> Lease:
        """Start the time of a lease, seconds."""
        deadline = self._clock.monotonic() + ttl
        self._leases[lease] = ttl, deadline
        heapq.heappush(self._due, (deadline, lease))
        self._schedule()
        return Lease(lease, ttl, ttl)

    def get(self, lease: int) -> Lease:
        """A lease that still has time. Raises LeaseNotFound."""
        ttl, deadline = self._leases.get(lease, (0, 0.0))
        remaining = deadline - self._clock.monotonic()
        # Once its end was due it is gone, even where removing its keys takes a while yet: who
        # held it has stopped by now.
        if not ttl or remaining <= 0:
            raise LeaseNotFound(lease)
        return Lease(lease, ttl, remaining)

    def renew(self, lease: int) -> Lease:
        """Start the time of a lease anew. Raises LeaseNotFound."""
        ttl = self.get(lease).ttl
        self._leases[lease] = ttl, self._clock.monotonic() + ttl
        return Lease(lease, ttl, ttl)

    def drop(self, lease: int) -> None:
        """Forget a lease that has ended."""
        self._leases.pop(lease, None)
        if len(self._due) > 2 * len(self._leases) + _SLACK:
            self._due = [(deadline, lease) for lease, (_, deadline) in self._leases.items()]
            heapq.heapify(self._due)

    def close(self) -> None:
        """End no more leases."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        if self._timer is None and self._due and not self._ending and not self._closed:
            delay = self._due[0][0] - self._clock.monotonic()
            self._timer = self._clock.call_later(min(max(delay, 0.0), _LOOK), self._look)

    def _look(self) -> None:
        """End the leases whose time is up."""
        self._timer = None
        up = self._up()
        if up:
            self._ending = True
            try:
                self._end(up).add_done_callback(lambda written: self._ended(up, written))
            except StoreError:
                self._again(up)
        self._schedule()

    def _up(self) -> list[int]:
        """Take some whose time is up from the heap; those renewed go back to it."""
        now, up = self._clock.monotonic(), list[int]()
        while self._due and self._due[0][0] <= now and len(up) < _AT_ONCE:
            _, lease = heapq.heappop(self._due)
            _, deadline = self._leases.get(lease, (0, None))
            if deadline is None:
                continue
            if deadline > now:
                heapq.heappush(self._due, (deadline, lease))
            else:
                up.append(lease)
        return up

    def _ended(self, leases: Sequence[int], written: "asyncio.Future[int]") -> None:
        if written.cancelled() or written.exception():
            self._again(leases)
            return
        for lease in leases:
            self.drop(lease)
        self._ending = False
        if not self._closed:
            self._look()

    def _again(self, leases: Sequence[int]) -> None:
        """Try to end leases later; until then nothing else is ended, in which it would fail too."""
        retry = self._clock.monotonic() + _RETRY
        for lease in leases:
            heapq.heappush(self._due, (retry, lease))
        self._ending = False
        self._schedule()
