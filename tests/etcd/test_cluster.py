"""Three members: some die, some freeze, and what was written stays."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from musterd.etcd import EtcdClient, span
from musterd.kv import StoreLost, StoreUnavailable, StoreUncertain
from tests.etcdkit import Etcd, running

pytestmark = pytest.mark.slow


@pytest.fixture
async def three(home: Path, version: str) -> AsyncIterator[Etcd]:
    async with running(home, version, size=3) as etcd:
        yield etcd


async def written(client: EtcdClient, key: bytes) -> int:
    """Write until it is acknowledged; a try before that may have happened too."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await client.put(key, b"")
            except StoreUnavailable:
                continue


async def test_each_member_dies_in_turn(three: Etcd) -> None:
    async with EtcdClient(three.options()) as client, client.watch(*span(b"a/")) as watch:
        last = await client.put(b"a/0", b"")
        told = [(await anext(watch)).revision]
        for number in range(3):
            three.kill(number)
            last = await written(client, b"a/%d" % number)
            await three.start(number)
        async with asyncio.timeout(30):
            while told[-1] < last:
                told.append((await anext(watch)).revision)
        assert told == list(range(told[0], last + 1))


async def test_a_member_freezes(three: Etcd) -> None:
    async with EtcdClient(three.options()) as client, client.watch(*span(b"a/")) as watch:
        for number in range(3):
            three.freeze(number)
            await written(client, b"a/%d" % number)
            async with asyncio.timeout(20):
                while True:
                    try:
                        events = await anext(watch)
                    except StoreLost:
                        continue
                    if any(change.key == b"a/%d" % number for change in events.events):
                        break
            three.thaw(number)


async def test_without_a_quorum(three: Etcd) -> None:
    """A watch says so in time; writes and reads fail, and work again when it is back."""
    async with EtcdClient(three.options()) as client, client.watch(*span(b"a/")) as watch:
        await client.put(b"a/1", b"")
        await anext(watch)
        three.kill(0, 1)
        async with asyncio.timeout(10):
            with pytest.raises(StoreLost):
                await anext(watch)
        asks: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: client.put(b"a/2", b""),
            lambda: client.range(b"a/1"),
            lambda: client.leases.grant(5),
        )
        for ask in asks:
            async with asyncio.timeout(6):
                with pytest.raises(StoreUnavailable, match="no leader") as caught:
                    await ask()
            assert all(endpoint in str(caught.value) for endpoint in three.endpoints)
            assert not isinstance(caught.value, StoreUncertain)
        await three.start(0, 1)
        last = await written(client, b"a/3")
        async with asyncio.timeout(20):
            while (await anext(watch)).revision < last:
                pass


async def test_one_endpoint_that_never_was(home: Path) -> None:
    async with running(home, "etcd-3.5") as etcd:
        options = etcd.options(endpoints=("127.0.0.1:1", "nowhere.invalid:2379", *etcd.endpoints))
        for _ in range(3):
            async with EtcdClient(options) as client, client.watch(b"a") as watch:
                at = await client.put(b"a", b"")
                assert (await anext(watch)).revision == at
