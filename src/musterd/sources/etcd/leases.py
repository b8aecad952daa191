"""How long leases were granted for: asked once each.

What is left of a lease says nothing of how long a record may be kept: its holder renews it. So a
TTL is made from what was granted; SkyDNS and CoreDNS take what is left, which always changes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from musterd.store import LeaseNotFound

TTL_LEAST: Final = 30
TTL_MOST: Final = 86_400
"""Seconds of a TTL that is made from a lease, whatever that says; as in CoreDNS."""
KNOWN_MOST: Final = 100_000
"""Leases that are remembered."""
AT_ONCE: Final = 64
"""Leases that are asked for at once."""


class Leases:
    """The TTLs that leases make, seconds."""

    def __init__(self, granted: Callable[[int], Awaitable[int]]) -> None:
        """``granted`` gives the seconds that a lease was granted for. Raises LeaseNotFound."""
        self._granted = granted
        self._known: dict[int, int] = {}

    def ttl(self, lease: int) -> int | None:
        """Of what hangs on a lease; None for no lease. One that is not known has the least."""
        return self._known.get(lease, TTL_LEAST) if lease else None

    async def learn(self, leases: Iterable[int]) -> None:
        """Ask for those that are not known. Raises what asking raises."""
        unknown = [lease for lease in dict.fromkeys(leases) if lease and lease not in self._known]
        for at in range(0, len(unknown), AT_ONCE):
            some = unknown[at : at + AT_ONCE]
            for lease, ttl in zip(some, await asyncio.gather(*map(self._ask, some)), strict=True):
                while len(self._known) >= KNOWN_MOST:
                    del self._known[next(iter(self._known))]
                self._known[lease] = min(max(ttl, TTL_LEAST), TTL_MOST)

    async def _ask(self, lease: int) -> int:
        try:
            return await self._granted(lease)
        except LeaseNotFound:
            # It has just ended; that its keys are gone is told next.
            return 0
