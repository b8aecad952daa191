"""Random keys of each layout in a real etcd, from a seed, while etcd, the way to it, and who
follows it break: what is answered is what a new list gives.

How many, the environment says: ``FAULTS=1`` is 5,000 for each layout.
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
from tests.cluster.house import LENGTH, lasting
from tests.etcd_records.kit import Fed, feeding, octets
from tests.etcd_records.test_random import ZONES, path, value
from tests.etcdkit import Etcd, Proxy, running
from tests.store.kit import seeded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 600 * LENGTH)]
OPERATIONS = round(lasting(5000, 300))
CHECKS = 4
AGREE_SECONDS = 30
BRIEF = 1
"""The TTL of a lease that ends by itself, seconds."""
NAMES = [f"{owner}muster.local" for owner in ("", "a.", "b.a.", "b.", "dns.a.b.")]


class World:
    """An etcd, who writes to it, and who follows it by a way that can be cut."""

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
        """Follow from now on, with the catalog that there is."""
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
            what = value(self.chance, NAMES)
            if b"/monitor/" in key:
                what = {"status": self.chance.choice(("UP", "DOWN"))}
            brief = self.chance.random() < 0.1
            lease = (await self.client.leases.grant(BRIEF)).id if brief else 0
            await self.client.put(key, octets(what), lease=lease)
            self.held.append(key)

    async def compact(self) -> None:
        with contextlib.suppress(Compacted):
            await self.client.compact((await self.client.range(b"/")).revision)

    async def restart(self) -> None:
        await self.etcd.restart()
        await self.client.range(b"/")

    async def cut(self) -> None:
        """Changes that the follower can't hear of, and that may be forgotten when it can."""
        self.proxy.silence()
        self.proxy.cut()
        for _ in range(self.chance.randrange(30)):
            await self.write()
        if self.chance.random() < 0.5:
            await self.compact()
        self.proxy.forward()

    async def again(self) -> None:
        """Another follower takes over."""
        await self._stack.aclose()
        for _ in range(self.chance.randrange(30)):
            await self.write()
        await self.follow()

    async def check(self) -> None:
        """All is answered as from a new list, once leases have ended and changes have arrived."""
        anew: list[list[str]] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AGREE_SECONDS):
                while not anew or anew != self.answers(self.core):
                    await asyncio.sleep(0.1)
                    core = RecordingCore()
                    async with feeding(self.etcd.options(), core, zones=ZONES, layout=self.layout):
                        anew = self.answers(core)
        assert any(anew)
        assert self.answers(self.core) == anew

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
async def test_it_ends_as_a_new_list(tmp_path: Path, layout: str) -> None:
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
