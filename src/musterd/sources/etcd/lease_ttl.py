"""How long leases were granted for.

What is left of a lease says nothing of how long a record may be kept: its holder renews it. So a
TTL is made from what was granted; SkyDNS and CoreDNS take what is left, which always changes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from musterd.kv import LeaseNotFound, StoreDenied
from musterd.sources.changes import Fault, Resolved

TTL_LEAST: Final = 30
TTL_MOST: Final = 86_400
"""Seconds of a TTL that is made from a lease, whatever that says; as in CoreDNS."""
KNOWN_MOST: Final = 100_000
"""Leases that are remembered."""
KNOWN_SECONDS: Final = 600.0
"""For how long: whoever chooses the ID of a lease may grant it anew for another time."""
AT_ONCE: Final = 64
"""Leases that are asked for at once."""
WHERE: Final = "leases"
"""Where it is wrong, when etcd doesn't tell of one."""


class Leases:
    """The TTLs that leases make, seconds."""

    def __init__(self, granted: Callable[[int], Awaitable[int]], now: Callable[[], float]) -> None:
        """Nothing is known yet.

        granted: gives the seconds that a lease was granted for; raises LeaseNotFound, and
        StoreDenied where it may not be asked for; now: a clock, seconds.
        """
        self._granted = granted
        self._now = now
        self._known: dict[int, tuple[int | None, float]] = {}
        """Of a lease its TTL, None if it isn't told, and until when that is good; the oldest first.
        """
        self._denied = False
        """Whether one wasn't told, and none of those since."""

    def ttl(self, lease: int) -> int | None:
        """Of what hangs on a lease; None for no lease, and one that etcd doesn't tell of.

        One that is not known has the least.
        """
        return self._known.get(lease, (TTL_LEAST, 0))[0] if lease else None

    async def learn(self, leases: Iterable[int]) -> list[Fault | Resolved]:
        """Ask for those that are not known; what is wrong with that. Raises what asking raises."""
        now = self._now()
        good = {lease for lease in leases if lease}
        unknown = [lease for lease in good if self._known.get(lease, (0, 0.0))[1] <= now]
        told: list[Fault | Resolved] = []
        for at in range(0, len(unknown), AT_ONCE):
            some = unknown[at : at + AT_ONCE]
            for lease, ttl in zip(some, await asyncio.gather(*map(self._ask, some)), strict=True):
                known = self._known.pop(lease, None)
                if isinstance(ttl, StoreDenied):
                    if not self._denied:
                        self._denied = True
                        reason = f"{ttl}: what hangs on a lease keeps its own TTL"
                        told.append(Fault(WHERE, reason))
                    self._know(lease, None, now)
                elif ttl is not None:
                    if self._denied and known and known[0] is None:
                        self._denied = False
                        told.append(Resolved(WHERE))
                    self._know(lease, min(max(ttl, TTL_LEAST), TTL_MOST), now)
        return told

    def _know(self, lease: int, ttl: int | None, now: float) -> None:
        while len(self._known) >= KNOWN_MOST:
            del self._known[next(iter(self._known))]
        self._known[lease] = ttl, now + KNOWN_SECONDS

    async def _ask(self, lease: int) -> int | StoreDenied | None:
        try:
            return await self._granted(lease)
        except LeaseNotFound:
            # It has just ended; that its keys are gone is told next.
            return None
        except StoreDenied as error:
            return error
