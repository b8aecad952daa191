"""Three members that are killed or frozen lose no acknowledged write."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from musterd.etcd import EtcdClient, span
from musterd.kv import StoreLost, StoreUnavailable, StoreUncertain
from tests.etcdkit import Etcd, running

pytestmark = pytest.mark.slow


@pytest.fixture
async def cluster(home: Path, version: str) -> AsyncIterator[Etcd]:
    async with running(home, version, size=3) as etcd:
        yield etcd


async def put_until_acknowledged(client: EtcdClient, key: bytes) -> int:
    """Put a key until etcd acknowledges it; an earlier attempt may have been applied too."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await client.put(key, b"")
            except StoreUnavailable:
                continue


async def test_watch_misses_nothing_as_each_member_is_killed(cluster: Etcd) -> None:
    async with EtcdClient(cluster.options()) as client, client.watch(*span(b"a/")) as watch:
        last = await client.put(b"a/0", b"")
        revisions = [(await anext(watch)).revision]
        for number in range(3):
            cluster.kill(number)
            last = await put_until_acknowledged(client, b"a/%d" % number)
            await cluster.start(number)
        async with asyncio.timeout(30):
            while revisions[-1] < last:
                revisions.append((await anext(watch)).revision)
        assert revisions == list(range(revisions[0], last + 1))


async def test_watch_and_writes_survive_frozen_member(cluster: Etcd) -> None:
    async with EtcdClient(cluster.options()) as client, client.watch(*span(b"a/")) as watch:
        for number in range(3):
            cluster.freeze(number)
            await put_until_acknowledged(client, b"a/%d" % number)
            async with asyncio.timeout(20):
                while True:
                    try:
                        events = await anext(watch)
                    except StoreLost:
                        continue
                    if any(change.key == b"a/%d" % number for change in events.events):
                        break
            cluster.thaw(number)


async def test_lost_quorum_fails_requests_until_it_returns(cluster: Etcd) -> None:
    """The watch reports the loss in time; writes and reads fail, and work again afterwards."""
    async with EtcdClient(cluster.options()) as client, client.watch(*span(b"a/")) as watch:
        await client.put(b"a/1", b"")
        await anext(watch)
        cluster.kill(0, 1)
        async with asyncio.timeout(10):
            with pytest.raises(StoreLost):
                await anext(watch)
        requests: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: client.put(b"a/2", b""),
            lambda: client.range(b"a/1"),
            lambda: client.leases.grant(5),
        )
        for request in requests:
            async with asyncio.timeout(6):
                with pytest.raises(StoreUnavailable, match="no leader") as caught:
                    await request()
            assert all(endpoint in str(caught.value) for endpoint in cluster.endpoints)
            assert not isinstance(caught.value, StoreUncertain)
        await cluster.start(0, 1)
        last = await put_until_acknowledged(client, b"a/3")
        async with asyncio.timeout(20):
            while (await anext(watch)).revision < last:
                pass


async def test_unreachable_endpoints_are_skipped(home: Path) -> None:
    async with running(home, "etcd-3.5") as etcd:
        options = etcd.options(endpoints=("127.0.0.1:1", "nowhere.invalid:2379", *etcd.endpoints))
        for _ in range(3):
            async with EtcdClient(options) as client, client.watch(b"a") as watch:
                at = await client.put(b"a", b"")
                assert (await anext(watch)).revision == at
