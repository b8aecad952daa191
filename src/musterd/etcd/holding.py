"""A lease that is kept for as long as it is held, and what its holder may rely on.

That a lock is there proves nothing: its lease may end at etcd while its holder is cut off. So each
renewal is counted from before it was asked for, by a clock that goes on while the machine sleeps,
and when that time is over the holder knows, before etcd gives to another what hung on the lease.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from musterd.clock import BootClock, Clock
from musterd.etcd.client import Client
from musterd.store.errors import LeaseNotFound, StoreUnavailable

RENEWALS: Final = 3
"""How often a lease is renewed in its time."""
RETRY: Final = 0.2
"""Seconds until a renewal that failed is tried again."""


class Holding:
    """A lease in use; ``deadline``: until when it lives for certain, by its clock, seconds."""

    def __init__(self, client: Client, clock: Clock, lease: int, ttl: int, deadline: float) -> None:
        """Use ``hold``."""
        self.lease = lease
        self.ttl = ttl
        self.deadline = deadline
        self.lost = asyncio.Event()
        """Set as soon as nothing may rely on the lease any more; for ever."""
        self._client = client
        self._clock = clock

    @property
    def alive(self) -> bool:
        """Whether the lease lives for certain."""
        return not self.lost.is_set() and self._clock.monotonic() < self.deadline

    async def keep(self) -> None:
        """Renew it in time, until it is lost."""
        renewing = asyncio.create_task(self._renew())
        try:
            # The loop's timers may stand still while the machine sleeps: look at the clock.
            while (left := self.deadline - self._clock.monotonic()) > 0 and not renewing.done():
                await asyncio.wait([renewing], timeout=left)
            self.lost.set()
        finally:
            renewing.cancel()

    async def _renew(self) -> None:
        """Renew it again and again, until etcd says that it has ended."""
        pause = self.ttl / RENEWALS
        with suppress(LeaseNotFound):
            while True:
                await asyncio.sleep(pause)
                asked = self._clock.monotonic()
                try:
                    renewed = await self._client.leases.renew(self.lease)
                except StoreUnavailable:
                    pause = RETRY
                else:
                    self.deadline = asked + renewed.ttl
                    pause = self.ttl / RENEWALS


@asynccontextmanager
async def hold(client: Client, ttl: int, clock: Clock | None = None) -> AsyncIterator[Holding]:
    """A new lease of some seconds for the length of the block, revoked at its end.

    clock: its seconds must go on while the machine sleeps. Raises StoreError.
    """
    clock = clock or BootClock()
    asked = clock.monotonic()
    lease = await client.leases.grant(ttl)
    holding = Holding(client, clock, lease.id, lease.ttl, asked + lease.ttl)
    keeping = asyncio.create_task(holding.keep())
    try:
        yield holding
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        if holding.alive:
            with suppress(LeaseNotFound, StoreUnavailable):
                await client.leases.revoke(holding.lease)
