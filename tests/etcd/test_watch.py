"""A watch loses and repeats nothing through outages of etcd and of the connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from musterd.etcd import ALL, EtcdBatch, EtcdClient, EtcdOptions, EtcdWatch, span
from musterd.etcd.watch import WatchOptions
from musterd.kv import Compacted, StoreLost, StoreUnavailable
from tests.etcdkit import Etcd, Proxy, running

pytestmark = pytest.mark.slow
NOTICE_SECONDS = 10.0
"""Limit for reporting to the reader that etcd is silent."""


async def keys(watch: EtcdWatch, count: int) -> list[bytes]:
    """Read the keys of the next events."""
    found: list[bytes] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found += [event.key for event in (await anext(watch)).events]
    return found


async def lost(watch: EtcdWatch) -> str:
    """Wait until the watch reports a loss, in time; return the error text."""
    async with asyncio.timeout(NOTICE_SECONDS):
        with pytest.raises(StoreLost) as caught:
            await anext(watch)
    return str(caught.value)


@asynccontextmanager
async def proxied(etcd: Etcd) -> AsyncIterator[tuple[Proxy, EtcdClient]]:
    """A client behind a proxy."""
    async with (
        Proxy(etcd.members[0].endpoint) as proxy,
        EtcdClient(EtcdOptions((proxy.address,))) as distant,
    ):
        yield proxy, distant


@asynccontextmanager
async def own_etcd(home: Path, version: str) -> AsyncIterator[tuple[Etcd, EtcdClient]]:
    """Start an etcd for the test only, with a client that has a short timeout."""
    async with running(home, version) as etcd, EtcdClient(etcd.options(request=2.0)) as client:
        yield etcd, client


async def put(client: EtcdClient, *names: str) -> int:
    revision = 0
    for name in names:
        revision = await client.put(b"a/" + name.encode(), b"v")
    return revision


async def test_watch_yields_events_with_previous_entries(client: EtcdClient) -> None:
    first = await put(client, "x")
    async with client.watch(*span(b"a/"), previous=True) as watch:
        assert watch.revision == first
        await put(client, "x", "y")
        await client.put(b"b", b"")
        revision, deleted = await client.delete(*span(b"a/"))
        assert deleted == 2
        first_batch, second_batch, third_batch = [await anext(watch) for _ in range(3)]
    (event,) = first_batch.events
    assert (first_batch.revision, event.key) == (first + 1, b"a/x")
    assert event.previous
    assert event.entry
    assert (event.previous.mod_revision, event.entry.version) == (first, 2)
    assert second_batch.events[0].previous is None
    assert third_batch.revision == revision
    assert [(c.key, c.entry) for c in third_batch.events] == [(b"a/x", None), (b"a/y", None)]


async def test_watch_resumes_after_kill_and_restart(client: EtcdClient, etcd: Etcd) -> None:
    async with client.watch(*span(b"a/")) as watch:
        await put(client, "1", "2")
        await etcd.restart()
        await put(client, "3")
        await etcd.restart()
        await put(client, "4", "5")
        assert await keys(watch, 5) == [b"a/1", b"a/2", b"a/3", b"a/4", b"a/5"]


async def test_watch_resumes_after_connection_is_cut(client: EtcdClient, etcd: Etcd) -> None:
    async with proxied(etcd) as (proxy, distant), distant.watch(*span(b"a/")) as watch:
        await put(client, "1")
        assert await keys(watch, 1) == [b"a/1"]
        proxy.silence()
        proxy.cut()
        await put(client, "2", "3", "4", "5", "6")
        proxy.forward()
        await put(client, "7")
        assert await keys(watch, 6) == [b"a/2", b"a/3", b"a/4", b"a/5", b"a/6", b"a/7"]


async def test_watch_cut_off_past_compaction_fails(client: EtcdClient, etcd: Etcd) -> None:
    async with proxied(etcd) as (proxy, distant), distant.watch(*span(b"a/")) as watch:
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
async def test_watch_from_compacted_revision_fails(client: EtcdClient, back: int) -> None:
    last = await put(client, "1", "2", "3")
    await client.compact(last)
    async with client.watch(*span(b"a/"), from_revision=last - back) as watch:
        with pytest.raises(Compacted) as caught:
            await keys(watch, 1)
    assert caught.value.revision == last + 1
    async with client.watch(*span(b"a/"), from_revision=last + 1) as watch:
        await put(client, "4")
        assert await keys(watch, 1) == [b"a/4"]


async def test_watch_from_future_revision_fails(client: EtcdClient) -> None:
    last = await put(client, "1")
    async with client.watch(*span(b"a/"), from_revision=last + 2) as watch:
        with pytest.raises(Compacted) as caught:
            await keys(watch, 1)
    assert caught.value.revision == last + 1


async def test_silent_connection_is_reported_and_misses_nothing(
    client: EtcdClient, etcd: Etcd
) -> None:
    """No packet arrives and no connection closes."""
    async with proxied(etcd) as (proxy, distant), distant.watch(*span(b"a/")) as watch:
        await put(client, "1")
        await keys(watch, 1)
        proxy.silence()
        await put(client, "2", "3")
        assert proxy.address in await lost(watch)
        proxy.forward()
        assert await keys(watch, 2) == [b"a/2", b"a/3"]


async def test_frozen_etcd_is_reported_and_watch_resumes(home: Path, version: str) -> None:
    async with own_etcd(home, version) as (etcd, client), client.watch(*span(b"a/")) as watch:
        last = await put(client, "1")
        await keys(watch, 1)
        etcd.freeze(0)
        await lost(watch)
        etcd.thaw(0)
        async with asyncio.timeout(10):
            assert await anext(watch) == EtcdBatch(last, ())
        await put(client, "2")
        assert await keys(watch, 1) == [b"a/2"]


async def test_watch_started_without_etcd_waits_for_it(home: Path, version: str) -> None:
    async with own_etcd(home, version) as (etcd, client):
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
async def test_replaced_etcd_makes_watch_fail(home: Path, version: str, more: bool) -> None:
    """Simulate a restored backup; with ``more`` its revision exceeds the last one seen."""
    async with (
        running(home, version) as etcd,
        proxied(etcd) as (proxy, client),
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
async def test_revision_progresses_without_events(client: EtcdClient) -> None:
    """A quiet watch resumes at etcd's revision, not at the last event.

    Not with 3.4.23, where progress notifications can overtake events.
    """
    async with client.watch(*span(b"a/")) as watch:
        last = await client.put(b"b", b"")
        async with asyncio.timeout(20):
            while watch.revision < last:  # noqa: ASYNC110 - progress gives no event
                await asyncio.sleep(0.1)


@pytest.mark.usefixtures("client")
async def test_slow_reader_blocks_nobody(etcd: Etcd) -> None:
    async with (
        EtcdClient(etcd.options(), WatchOptions(queued_events=20)) as client,
        client.watch(*span(b"a/")) as slow,
        client.watch(*span(b"a/")) as quick,
    ):
        names = [f"{number:03}" for number in range(200)]
        for name in names:
            last = await put(client, name)
            assert await keys(quick, 1) == [b"a/" + name.encode()]
        assert slow.revision < last
        assert await keys(slow, 200) == [b"a/" + name.encode() for name in names]


async def test_many_watches_resume_after_restart(client: EtcdClient, etcd: Etcd) -> None:
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


async def test_closing_client_ends_watch(etcd: Etcd) -> None:
    client = EtcdClient(etcd.options())
    async with client.watch(ALL, ALL) as watch:
        reading = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(StoreUnavailable):
            await reading
        with pytest.raises(StoreUnavailable):
            await anext(watch)


async def test_watch_is_current_again_with_all_missed_events(
    client: EtcdClient, etcd: Etcd
) -> None:
    async with proxied(etcd) as (proxy, distant), distant.watch(*span(b"a/")) as watch:
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
                    found += [event.key for event in (await anext(watch)).events]
            assert found == [b"a/" + name.encode() for name in missed]
