"""Random keys of each layout, from a seed, while etcd, the connection and the follower fail: the
answers must equal those of a new list.

The environment sets the number: ``FAULTS=1`` is 5,000 for each layout.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from musterd.etcd import EtcdClient
from musterd.kv import Compacted, LeaseNotFound, StoreUncertain
from tests.catalogkit import RecordingCore
from tests.cluster.cluster import LENGTH, lasting
from tests.etcd_records.kit import Fed, feeding, to_bytes
from tests.etcd_records.test_random import ZONES, path, value
from tests.etcdkit import Etcd, Proxy, running
from tests.store.kit import seeded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 600 * LENGTH)]
OPERATIONS = round(lasting(5000, 300))
CHECKS = 4
AGREE_SECONDS = 30
BRIEF = 1
"""TTL of a lease that expires by itself, seconds."""
NAMES = [f"{owner}lab.internal" for owner in ("", "a.", "b.a.", "b.", "dns.a.b.")]


class World:
    """An etcd, a writer, and a follower behind a proxy."""

    def __init__(self, etcd: Etcd, proxy: Proxy, layout: str, client: EtcdClient) -> None:
        self.etcd = etcd
        self.proxy = proxy
        self.layout = layout
        self.client = client
        self.chance = seeded(layout)
        self.core = RecordingCore()
        self.held: list[bytes] = []
        self._fed: Fed | None = None
        self._stack = AsyncExitStack()

    async def follow(self) -> None:
        """Follow from now on, with the existing catalog."""
        catalog = None if self._fed is None else self._fed.catalog
        options = self.etcd.options(endpoints=(self.proxy.address,))
        self._fed = await self._stack.enter_async_context(
            feeding(options, self.core, zones=ZONES, layout=self.layout, catalog=catalog)
        )

    async def close(self) -> None:
        await self._stack.aclose()

    async def write(self) -> None:
        with contextlib.suppress(StoreUncertain, LeaseNotFound):
            if self.held and self.chance.random() < 0.4:
                key = self.held.pop(self.chance.randrange(len(self.held)))
                await self.client.delete(key)
                return
            key = path(self.chance, self.layout).encode()
            content = value(self.chance, NAMES)
            if b"/monitor/" in key:
                content = {"status": self.chance.choice(("UP", "DOWN"))}
            brief = self.chance.random() < 0.1
            lease = (await self.client.leases.grant(BRIEF)).id if brief else 0
            await self.client.put(key, to_bytes(content), lease=lease)
            self.held.append(key)

    async def compact(self) -> None:
        with contextlib.suppress(Compacted):
            await self.client.compact((await self.client.range(b"/")).revision)

    async def restart(self) -> None:
        await self.etcd.restart()
        await self.client.range(b"/")

    async def cut(self) -> None:
        """Make changes while the follower is cut off; they may be compacted."""
        self.proxy.silence()
        self.proxy.cut()
        for _ in range(self.chance.randrange(30)):
            await self.write()
        if self.chance.random() < 0.5:
            await self.compact()
        self.proxy.forward()

    async def again(self) -> None:
        """Replace the follower."""
        await self._stack.aclose()
        for _ in range(self.chance.randrange(30)):
            await self.write()
        await self.follow()

    async def check(self) -> None:
        """Wait until the answers equal those of a new list."""
        relisted: list[list[str]] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AGREE_SECONDS):
                while not relisted or relisted != self.answers(self.core):
                    await asyncio.sleep(0.1)
                    core = RecordingCore()
                    async with feeding(self.etcd.options(), core, zones=ZONES, layout=self.layout):
                        relisted = self.answers(core)
        assert any(relisted)
        assert self.answers(self.core) == relisted

    def answers(self, core: RecordingCore) -> list[list[str]]:
        return [core.text(zone) for zone in ZONES]


OPERATION: Mapping[Callable[[World], Awaitable[None]], float] = {
    World.write: 98,
    World.compact: 0.7,
    World.cut: 0.7,
    World.again: 0.3,
    World.restart: 0.3,
}


@pytest.mark.parametrize("layout", ["skydns", "hades", "containerdns"])
async def test_answers_match_new_list(tmp_path: Path, layout: str) -> None:
    async with (
        running(tmp_path, "etcd-3.5") as etcd,
        Proxy(etcd.endpoints[0]) as proxy,
        EtcdClient(etcd.options()) as client,
    ):
        world = World(etcd, proxy, layout, client)
        try:
            await world.follow()
            kinds, weights = [*OPERATION], [*OPERATION.values()]
            for number in range(OPERATIONS):
                (kind,) = world.chance.choices(kinds, weights)
                await kind(world)
                if not (number + 1) % (OPERATIONS // CHECKS):
                    await world.check()
        finally:
            await world.close()
