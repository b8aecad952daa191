"""The stores that the contract tests run against, and how a test controls them."""

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from musterd.etcd import ALL
from musterd.kv import Compacted, Store
from musterd.store.embedded import EmbeddedOptions, EmbeddedStore
from musterd.store.etcd import EtcdStore
from tests.etcdkit import Etcd


class Backend(Protocol):
    """A store under test."""

    short_ttl: int
    """TTL of a lease that expires soon, seconds."""
    scale: float
    """Share of a long test's operations to run, 0 to 1."""

    @property
    def store(self) -> Store:
        """The open store; another object after a restart."""

    async def second_client(self) -> Store:
        """Return a second client of the same store."""

    async def restart(self) -> None:
        """Stop and start the store."""

    async def compact(self, revision: int) -> None:
        """Compact the history up to a revision."""

    async def elapse(self, seconds: float) -> None:
        """Let time pass for the leases."""

    async def close(self) -> None:
        """Close the store and its clients."""


@dataclass
class ScheduledCall:
    """A scheduled call."""

    at: float
    callback: Callable[[], object] | None

    def cancel(self) -> None:
        """Cancel the call."""
        self.callback = None

    def __lt__(self, other: "ScheduledCall") -> bool:
        return self.at < other.at


@dataclass
class MovableClock:
    """A clock that a test moves by hand."""

    wall: float = 1_700_000_000.0
    now: float = 1000.0
    timers: list[ScheduledCall] = field(default_factory=list)

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> ScheduledCall:
        timer = ScheduledCall(self.now + delay, callback)
        heapq.heappush(self.timers, timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Move the clock forward and make the calls that become due."""
        end = self.now + seconds
        while self.timers and self.timers[0].at <= end:
            timer = heapq.heappop(self.timers)
            self.wall += timer.at - self.now
            self.now = timer.at
            if timer.callback:
                timer.callback()
        self.wall += end - self.now
        self.now = end


class EmbeddedBackend:
    """The embedded store on a manual clock."""

    short_ttl = 5
    scale = 1.0

    def __init__(self, path: Path, options: EmbeddedOptions | None = None) -> None:
        self.path = path
        self.options = options or EmbeddedOptions()
        self.clock = MovableClock()
        self.store: EmbeddedStore

    async def open(self) -> "EmbeddedBackend":
        self.store = await EmbeddedStore.open(self.path, self.options, self.clock)
        return self

    async def second_client(self) -> Store:
        return self.store

    async def restart(self) -> None:
        await self.store.close()
        await self.open()

    async def compact(self, revision: int) -> None:
        await self.store.compact(revision)

    async def elapse(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def close(self) -> None:
        await self.store.close()


class EtcdBackend:
    """A store in etcd, on real time."""

    short_ttl = 1
    scale = 0.1

    def __init__(self, etcd: Etcd, base: bytes) -> None:
        self.etcd = etcd
        self.base = base
        self.store = EtcdStore(etcd.options(), base=base)
        self._others: list[EtcdStore] = []

    async def second_client(self) -> Store:
        self._others.append(EtcdStore(self.etcd.options(), base=self.base))
        return self._others[-1]

    async def restart(self) -> None:
        await self.etcd.restart()

    async def compact(self, revision: int) -> None:
        await self.store.client.compact(revision)

    async def elapse(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def clean(self) -> None:
        """Delete all keys and their history."""
        revision, _ = await self.store.client.delete(ALL, ALL)
        with contextlib.suppress(Compacted):
            await self.compact(revision)

    async def close(self) -> None:
        for store in (self.store, *self._others):
            await store.close()
