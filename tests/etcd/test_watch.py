"""A watch loses nothing and tells nothing twice, whatever becomes of etcd and the way to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from musterd.etcd import ALL, EtcdBatch, EtcdClient, EtcdOptions, EtcdWatch, span
from musterd.etcd import watch as watch_module
from musterd.kv import Compacted, StoreLost, StoreUnavailable
from tests.etcdkit import Etcd, Proxy, running

pytestmark = pytest.mark.slow
TOLD = 10.0
"""Seconds within which a reader must know that nothing is heard of etcd."""


async def keys(watch: EtcdWatch, count: int) -> list[bytes]:
    """The keys of the next changes."""
    found: list[bytes] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found += [change.key for change in (await anext(watch)).events]
    return found


async def lost(watch: EtcdWatch) -> str:
    """What a reader is told, which must be in time."""
    async with asyncio.timeout(TOLD):
        with pytest.raises(StoreLost) as caught:
            await anext(watch)
    return str(caught.value)


@asynccontextmanager
async def through(etcd: Etcd) -> AsyncIterator[tuple[Proxy, EtcdClient]]:
    """A client behind a proxy."""
    async with (
        Proxy(etcd.members[0].endpoint) as proxy,
        EtcdClient(EtcdOptions((proxy.address,))) as far,
    ):
        yield proxy, far


@asynccontextmanager
async def alone(home: Path, version: str) -> AsyncIterator[tuple[Etcd, EtcdClient]]:
    """An etcd of the test's own, and a client that doesn't wait for it for long."""
    async with running(home, version) as etcd, EtcdClient(etcd.options(request=2.0)) as client:
        yield etcd, client


async def put(client: EtcdClient, *names: str) -> int:
    revision = 0
    for name in names:
        revision = await client.put(b"a/" + name.encode(), b"v")
    return revision


async def test_what_is_told(client: EtcdClient) -> None:
    first = await put(client, "x")
    async with client.watch(*span(b"a/"), previous=True) as watch:
        assert watch.revision == first
        await put(client, "x", "y")
        await client.put(b"b", b"")
        revision, gone = await client.delete(*span(b"a/"))
        assert gone == 2
        one, two, three = [await anext(watch) for _ in range(3)]
    (change,) = one.events
    assert (one.revision, change.key) == (first + 1, b"a/x")
    assert change.previous
    assert change.entry
    assert (change.previous.mod_revision, change.entry.version) == (first, 2)
    assert two.events[0].previous is None
    assert three.revision == revision
    assert [(c.key, c.entry) for c in three.events] == [(b"a/x", None), (b"a/y", None)]


async def test_kill_and_restart(client: EtcdClient, etcd: Etcd) -> None:
    async with client.watch(*span(b"a/")) as watch:
        await put(client, "1", "2")
        await etcd.restart()
        await put(client, "3")
        await etcd.restart()
        await put(client, "4", "5")
        assert await keys(watch, 5) == [b"a/1", b"a/2", b"a/3", b"a/4", b"a/5"]


async def test_cut_off_and_back(client: EtcdClient, etcd: Etcd) -> None:
    async with through(etcd) as (proxy, far), far.watch(*span(b"a/")) as watch:
        await put(client, "1")
        assert await keys(watch, 1) == [b"a/1"]
        proxy.silence()
        proxy.cut()
        await put(client, "2", "3", "4", "5", "6")
        proxy.forward()
        await put(client, "7")
        assert await keys(watch, 6) == [b"a/2", b"a/3", b"a/4", b"a/5", b"a/6", b"a/7"]


async def test_cut_off_and_compacted(client: EtcdClient, etcd: Etcd) -> None:
    async with through(etcd) as (proxy, far), far.watch(*span(b"a/")) as watch:
        await put(client, "1")
        await keys(watch, 1)
        proxy.silence()
        proxy.cut()
        last = await put(client, "2", "3")
        await client.compact(last)
        proxy.forward()
        with pytest.raises(Compacted) as caught:
            await keys(watch, 1)
        assert caught.value.revision == last + 1
        with pytest.raises(Compacted):
            await anext(watch)


@pytest.mark.parametrize("back", [0, 1, 2])
async def test_a_start_that_is_compacted(client: EtcdClient, back: int) -> None:
    last = await put(client, "1", "2", "3")
    await client.compact(last)
    async with client.watch(*span(b"a/"), from_revision=last - back) as watch:
        with pytest.raises(Compacted) as caught:
            await keys(watch, 1)
    assert caught.value.revision == last + 1
    async with client.watch(*span(b"a/"), from_revision=last + 1) as watch:
        await put(client, "4")
        assert await keys(watch, 1) == [b"a/4"]


async def test_a_start_that_is_still_to_come(client: EtcdClient) -> None:
    last = await put(client, "1")
    async with client.watch(*span(b"a/"), from_revision=last + 2) as watch:
        with pytest.raises(Compacted) as caught:
            await keys(watch, 1)
    assert caught.value.revision == last + 1


async def test_a_silent_connection(client: EtcdClient, etcd: Etcd) -> None:
    """No packet comes, no connection ends: told in time, and all is there when it is over."""
    async with through(etcd) as (proxy, far), far.watch(*span(b"a/")) as watch:
        await put(client, "1")
        await keys(watch, 1)
        proxy.silence()
        await put(client, "2", "3")
        assert proxy.address in await lost(watch)
        proxy.forward()
        assert await keys(watch, 2) == [b"a/2", b"a/3"]


async def test_a_frozen_etcd(home: Path, version: str) -> None:
    async with alone(home, version) as (etcd, client), client.watch(*span(b"a/")) as watch:
        last = await put(client, "1")
        await keys(watch, 1)
        etcd.freeze(0)
        await lost(watch)
        etcd.thaw(0)
        async with asyncio.timeout(10):
            assert await anext(watch) == EtcdBatch(last, ())
        await put(client, "2")
        assert await keys(watch, 1) == [b"a/2"]


async def test_an_etcd_that_is_away_from_the_beginning(home: Path, version: str) -> None:
    async with alone(home, version) as (etcd, client):
        last = await put(client, "1")
        etcd.kill()
        async with client.watch(*span(b"a/"), from_revision=last) as watch:
            assert "Connection refused" in await lost(watch)
            await etcd.start()
            assert await keys(watch, 1) == [b"a/1"]
        etcd.kill()
        with pytest.raises(StoreUnavailable):
            async with client.watch(*span(b"a/")):
                pass


@pytest.mark.parametrize("more", [False, True])
async def test_another_etcd_at_the_same_place(home: Path, version: str, more: bool) -> None:
    """As after a backup was restored; with ``more`` it has gone past what was seen before."""
    async with (
        running(home, version) as etcd,
        through(etcd) as (proxy, client),
        client.watch(*span(b"a/")) as watch,
    ):
        await put(client, "1", "2")
        await keys(watch, 2)
        proxy.silence()
        etcd.kill()
        etcd.forget()
        await etcd.start()
        async with EtcdClient(etcd.options()) as other:
            last = await put(other, *("0123456789" if more else "0"))
        proxy.cut()
        proxy.forward()
        with pytest.raises(Compacted) as caught:
            await keys(watch, 1)
        assert caught.value.revision == last + 1


@pytest.mark.parametrize("version", ["etcd-3.5"])
async def test_progress_where_nothing_changes(client: EtcdClient) -> None:
    """A watch of few changes goes on from where etcd is, not from the last that it saw.

    Not so at 3.4.23: there what is told of progress can overtake events.
    """
    async with client.watch(*span(b"a/")) as watch:
        last = await client.put(b"b", b"")
        async with asyncio.timeout(20):
            while watch.revision < last:  # noqa: ASYNC110 - nobody tells of progress
                await asyncio.sleep(0.1)


async def test_a_slow_reader_holds_up_nobody(
    client: EtcdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "QUEUE", 20)
    async with client.watch(*span(b"a/")) as slow, client.watch(*span(b"a/")) as quick:
        names = [f"{number:03}" for number in range(200)]
        for name in names:
            last = await put(client, name)
            assert await keys(quick, 1) == [b"a/" + name.encode()]
        assert slow.revision < last
        assert await keys(slow, 200) == [b"a/" + name.encode() for name in names]


async def test_many_watches_over_a_restart(client: EtcdClient, etcd: Etcd) -> None:
    async with asyncio.TaskGroup() as group:
        ready = [asyncio.Event() for _ in range(100)]

        async def follow(number: int) -> list[bytes]:
            async with client.watch(*span(b"a/%02d/" % number)) as watch:
                ready[number].set()
                return await keys(watch, 2)

        tasks = [group.create_task(follow(number)) for number in range(100)]
        await asyncio.gather(*(each.wait() for each in ready))
        await put(client, *(f"{number:02}/x" for number in range(100)))
        await etcd.restart()
        await put(client, *(f"{number:02}/y" for number in range(100)))
    for number, task in enumerate(tasks):
        assert task.result() == [b"a/%02d/x" % number, b"a/%02d/y" % number]


async def test_closing_ends_it(etcd: Etcd) -> None:
    client = EtcdClient(etcd.options())
    async with client.watch(ALL, ALL) as watch:
        reading = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(StoreUnavailable):
            await reading
        with pytest.raises(StoreUnavailable):
            await anext(watch)


async def test_after_a_loss_it_is_current_with_all_that_was_missed(
    client: EtcdClient, etcd: Etcd
) -> None:
    async with through(etcd) as (proxy, far), far.watch(*span(b"a/")) as watch:
        await put(client, "before")
        assert await keys(watch, 1) == [b"a/before"]
        for missed in (["b", "c"], []):
            proxy.silence()
            proxy.cut()
            await lost(watch)
            assert not watch.current
            await put(client, *missed)
            await client.put(b"other", b"")
            proxy.forward()
            found: list[bytes] = []
            async with asyncio.timeout(20):
                while not watch.current:
                    found += [change.key for change in (await anext(watch)).events]
            assert found == [b"a/" + name.encode() for name in missed]
