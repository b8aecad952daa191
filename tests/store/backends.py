"""The stores that the contract is held to, and what a test can do to them from outside."""

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from musterd.etcd import ALL
from musterd.kv import Compacted, Store
from musterd.store.embedded import Embedded, EmbeddedOptions
from musterd.store.etcd import Etcd as InEtcd
from tests.etcdkit import Etcd


class Backend(Protocol):
    """A store under test."""

    brief: int
    """The TTL of a lease that ends soon, seconds."""
    work: float
    """How much of what only wears it out a test does, from 0 to 1."""

    @property
    def store(self) -> Store:
        """It, after a restart another object."""

    async def another(self) -> Store:
        """A second client of the same store."""

    async def restart(self) -> None:
        """Stop and start it."""

    async def compact(self, revision: int) -> None:
        """Let it forget what was up to a revision."""

    async def elapse(self, seconds: float) -> None:
        """Let the time of its leases go by, by which they end."""

    async def close(self) -> None:
        """End it."""


@dataclass
class Timer:
    """A call to come."""

    at: float
    callback: Callable[[], object] | None

    def cancel(self) -> None:
        """Let it not come."""
        self.callback = None

    def __lt__(self, other: "Timer") -> bool:
        return self.at < other.at


@dataclass
class ManualClock:
    """Time that goes by only when it is told to."""

    wall: float = 1_700_000_000.0
    now: float = 1000.0
    timers: list[Timer] = field(default_factory=list)

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        timer = Timer(self.now + delay, callback)
        heapq.heappush(self.timers, timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time go by, calling what is due on the way."""
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
    """The embedded store with a clock in the hand of the test."""

    brief = 5
    work = 1.0

    def __init__(self, path: Path, options: EmbeddedOptions | None = None) -> None:
        self.path = path
        self.options = options or EmbeddedOptions()
        self.clock = ManualClock()
        self.store: Embedded

    async def open(self) -> "EmbeddedBackend":
        self.store = await Embedded.open(self.path, self.options, self.clock)
        return self

    async def another(self) -> Store:
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
    """A store in an etcd, which has only the real time."""

    brief = 1
    work = 0.1

    def __init__(self, etcd: Etcd, base: bytes) -> None:
        self.etcd = etcd
        self.base = base
        self.store = InEtcd(etcd.options(), base=base)
        self._others: list[InEtcd] = []

    async def another(self) -> Store:
        self._others.append(InEtcd(self.etcd.options(), base=self.base))
        return self._others[-1]

    async def restart(self) -> None:
        await self.etcd.restart()

    async def compact(self, revision: int) -> None:
        await self.store.client.compact(revision)

    async def elapse(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def clean(self) -> None:
        """Remove all that is kept, and what is known of it."""
        revision, _ = await self.store.client.delete(ALL, ALL)
        with contextlib.suppress(Compacted):
            await self.compact(revision)

    async def close(self) -> None:
        for store in (self.store, *self._others):
            await store.close()
