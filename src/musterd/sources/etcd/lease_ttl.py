"""TTLs from the granted times of leases.

The remaining time of a lease says nothing about how long a record may be cached, because its holder
renews the lease. So the TTL comes from the granted time. SkyDNS and CoreDNS use the remaining time,
which always changes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from musterd.kv import LeaseNotFound, StoreDenied
from musterd.sources.changes import Fault, Resolved

MIN_TTL: Final = 30
MAX_TTL: Final = 86_400
"""Bounds of a TTL that comes from a lease, seconds; as in CoreDNS."""
MAX_KNOWN: Final = 100_000
"""Maximum leases that are remembered."""
KNOWN_SECONDS: Final = 600.0
"""Seconds for which a lease is remembered: a holder may grant its ID again for another time."""
MAX_CONCURRENT: Final = 64
"""LeaseTtls that are asked for at once."""
WHERE: Final = "leases"
"""Location of the fault that is reported if a lease lookup is denied."""


class LeaseTtls:
    """The TTLs of leases, seconds."""

    def __init__(self, granted: Callable[[int], Awaitable[int]], now: Callable[[], float]) -> None:
        """Create an empty table.

        granted: returns the granted seconds of a lease; raises LeaseNotFound, or StoreDenied if
        the lookup is not allowed; now: a clock, seconds.
        """
        self._granted = granted
        self._now = now
        self._known: dict[int, tuple[int | None, float]] = {}
        """Lease -> its TTL (None if the lookup is denied) and expiry; the oldest first."""
        self._denied = False
        """True if the last lookup was denied."""

    def ttl(self, lease: int) -> int | None:
        """Return the TTL of keys with a lease; None without a lease, or if its lookup is denied.

        An unknown lease has the minimum.
        """
        return self._known.get(lease, (MIN_TTL, 0))[0] if lease else None

    async def learn(self, leases: Iterable[int]) -> list[Fault | Resolved]:
        """Look up the unknown leases, and return faults. Raises what ``granted`` raises."""
        now = self._now()
        unknown = [
            lease for lease in set(leases) - {0} if self._known.get(lease, (0, 0.0))[1] <= now
        ]
        reports: list[Fault | Resolved] = []
        for at in range(0, len(unknown), MAX_CONCURRENT):
            batch = unknown[at : at + MAX_CONCURRENT]
            ttls = await asyncio.gather(*map(self._look_up, batch))
            for lease, ttl in zip(batch, ttls, strict=True):
                known = self._known.pop(lease, None)
                if isinstance(ttl, StoreDenied):
                    if not self._denied:
                        self._denied = True
                        reason = f"{ttl}: keys attached to a lease use their own TTL"
                        reports.append(Fault(WHERE, reason))
                    self._know(lease, None, now)
                elif ttl is not None:
                    if self._denied and known and known[0] is None:
                        self._denied = False
                        reports.append(Resolved(WHERE))
                    self._know(lease, min(max(ttl, MIN_TTL), MAX_TTL), now)
        return reports

    def _know(self, lease: int, ttl: int | None, now: float) -> None:
        while len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[lease] = ttl, now + KNOWN_SECONDS

    async def _look_up(self, lease: int) -> int | StoreDenied | None:
        try:
            return await self._granted(lease)
        except LeaseNotFound:
            # It has just expired; the deletion of its keys is reported next.
            return None
        except StoreDenied as error:
            return error
