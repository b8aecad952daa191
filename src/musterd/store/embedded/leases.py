"""Leases and their deadlines.

Deadlines are kept in memory only: a renewal costs no write. After a restart each lease has its full
TTL again, as in etcd, because nobody could renew it meanwhile.
"""

import asyncio
import heapq
from collections.abc import Callable, Sequence
from typing import Final

from musterd.clock import Clock, Timer
from musterd.kv.errors import LeaseNotFound, StoreError
from musterd.kv.values import Lease

_CHECK: Final = 1.0
"""Longest time between two checks of deadlines, seconds: the loop's timers stop while the machine
sleeps, leases don't."""
_AT_ONCE: Final = 100
"""Leases to end in one request, so that thousands that expire together don't block writes."""
_SLACK: Final = 100
"""Stale heap entries allowed beyond the number of leases."""
_RETRY: Final = 1.0
"""Seconds before a failed removal is retried."""

End = Callable[[Sequence[int]], "asyncio.Future[int]"]


class LeaseTable:
    """All leases of a store; belongs to the loop."""

    def __init__(self, clock: Clock, end: End) -> None:
        """Create an empty table. end: removes leases and their keys; may raise StoreError."""
        self._clock = clock
        self._end = end
        self._leases: dict[int, tuple[int, float]] = {}
        self._due: list[tuple[float, int]] = []
        """Heap of (time, lease): each lease at or before its deadline, and stale entries."""
        self._timer: Timer | None = None
        self._ending = False
        self._closed = False

    def __len__(self) -> int:
        """Return the number of leases, including those being removed."""
        return len(self._leases)

    def __contains__(self, lease: int) -> bool:
        """Return whether a lease ID is in use."""
        return lease in self._leases

    def add(self, lease: int, ttl: int) -> Lease:
        """Add a lease with a TTL in seconds."""
        deadline = self._clock.monotonic() + ttl
        self._leases[lease] = ttl, deadline
        heapq.heappush(self._due, (deadline, lease))
        self._schedule()
        return Lease(lease, ttl, ttl)

    def get(self, lease: int) -> Lease:
        """Return a lease that has not expired. Raises LeaseNotFound."""
        ttl, deadline = self._leases.get(lease, (0, 0.0))
        remaining = deadline - self._clock.monotonic()
        # It is gone once expired, even if its keys are still being removed: its holder
        # has stopped by now.
        if not ttl or remaining <= 0:
            raise LeaseNotFound(lease)
        return Lease(lease, ttl, remaining)

    def renew(self, lease: int) -> Lease:
        """Restart the TTL of a lease. Raises LeaseNotFound."""
        ttl = self.get(lease).ttl
        self._leases[lease] = ttl, self._clock.monotonic() + ttl
        return Lease(lease, ttl, ttl)

    def drop(self, lease: int) -> None:
        """Remove a lease that has ended."""
        self._leases.pop(lease, None)
        if len(self._due) > 2 * len(self._leases) + _SLACK:
            self._due = [(deadline, lease) for lease, (_, deadline) in self._leases.items()]
            heapq.heapify(self._due)

    def close(self) -> None:
        """Stop ending leases."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        if self._timer is None and self._due and not self._ending and not self._closed:
            delay = self._due[0][0] - self._clock.monotonic()
            self._timer = self._clock.call_later(min(max(delay, 0.0), _CHECK), self._check)

    def _check(self) -> None:
        """End expired leases."""
        self._timer = None
        expired = self._expired()
        if expired:
            self._ending = True
            try:
                self._end(expired).add_done_callback(lambda written: self._ended(expired, written))
            except StoreError:
                self._retry(expired)
        self._schedule()

    def _expired(self) -> list[int]:
        """Pop expired leases from the heap; renewed leases are pushed back."""
        now, expired = self._clock.monotonic(), list[int]()
        while self._due and self._due[0][0] <= now and len(expired) < _AT_ONCE:
            _, lease = heapq.heappop(self._due)
            _, deadline = self._leases.get(lease, (0, None))
            if deadline is None:
                continue
            if deadline > now:
                heapq.heappush(self._due, (deadline, lease))
            else:
                expired.append(lease)
        return expired

    def _ended(self, leases: Sequence[int], written: "asyncio.Future[int]") -> None:
        if written.cancelled() or written.exception():
            self._retry(leases)
            return
        for lease in leases:
            self.drop(lease)
        self._ending = False
        if not self._closed:
            self._check()

    def _retry(self, leases: Sequence[int]) -> None:
        """Retry leases later; until then no other lease is ended, as that would fail too."""
        retry = self._clock.monotonic() + _RETRY
        for lease in leases:
            heapq.heappush(self._due, (retry, lease))
        self._ending = False
        self._schedule()
