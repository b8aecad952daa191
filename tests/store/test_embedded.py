"""The embedded store: limits, history, leases and closing."""

import asyncio
import sqlite3
from collections.abc import Awaitable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from musterd.kv import (
    Compacted,
    LeaseNotFound,
    Limits,
    PutOp,
    StoreBusy,
    StoreLimit,
    StoreUnavailable,
)
from musterd.store.embedded import EmbeddedOptions, EmbeddedStore
from tests.store.conftest import OpenEmbedded
from tests.store.kit import everything, revision, take, until


async def test_each_commit_reaches_the_disk(tmp_path: Path) -> None:
    """The setting belongs to a connection, so the test asks the writing one."""
    async with await EmbeddedStore.open(tmp_path / "s.db") as store:
        assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_store_files_are_private_to_owner(tmp_path: Path) -> None:
    async with await EmbeddedStore.open(tmp_path / "new" / "s.db") as store:
        await store.put(b"a", b"")
        names = _names(tmp_path / "new")
        assert names == ["s.db", "s.db-shm", "s.db-wal", "s.db.acked", "s.db.lock"]
        assert {_mode(tmp_path / "new" / name) for name in names} == {0o600}
        assert _mode(tmp_path / "new") == 0o700


def _names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_close_finishes_pending_writes(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(tmp_path / "s.db")
    pending_puts = [asyncio.ensure_future(store.put(b"%d" % n, b"")) for n in range(2000)]
    async with store.watch(b"") as watch:
        await asyncio.sleep(0)
        await store.close()
        assert len(set(await asyncio.gather(*pending_puts))) == 2000
        await store.close()
        await take(watch, 2000)
        with pytest.raises(StoreUnavailable):
            await anext(watch)
    calls: list[Awaitable[object]] = [store.get(b"0"), store.put(b"0", b""), store.range(b"")]
    calls += [anext(store.scan(b"")), store.lease_grant(5), store.lease_keepalive(5)]
    for call in calls:
        with pytest.raises(StoreUnavailable):
            await call
    assert _names(tmp_path) == ["s.db", "s.db.acked", "s.db.lock"]
    async with await EmbeddedStore.open(tmp_path / "s.db") as store:
        assert len(await everything(store)) == 2000


async def test_cancelled_close_continues(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(tmp_path / "s.db")
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await store.close()
    async with await EmbeddedStore.open(tmp_path / "s.db"):
        pass


async def test_close_ends_waiting_watches(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(tmp_path / "s.db")
    async with store.watch(b"") as watch:
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(StoreUnavailable):
            await waiting


@pytest.mark.parametrize(("size", "accepted"), [(0, 10), (299, 3)])
async def test_pending_writes_are_bounded(
    open_embedded: OpenEmbedded, size: int, accepted: int
) -> None:
    store = (await open_embedded(EmbeddedOptions(pending=10, pending_bytes=1000))).store
    pending_puts = [store.put(b"%x" % number, bytes(size)) for number in range(12)]
    outcomes = await asyncio.gather(*pending_puts, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int] * accepted + [StoreBusy] * (
        12 - accepted
    )
    await store.put(b"again", bytes(size))


async def test_leases_watches_and_snapshots_are_bounded(open_embedded: OpenEmbedded) -> None:
    store = (await open_embedded(EmbeddedOptions(leases=2, watches=2, snapshots=2))).store
    await store.lease_grant(5)
    lease = await store.lease_grant(5)
    with pytest.raises(StoreBusy):
        await store.lease_grant(5)
    await store.lease_revoke(lease.id)
    await store.lease_grant(5)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(store.watch(b""))
        with pytest.raises(StoreBusy):
            await stack.enter_async_context(store.watch(b""))
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await anext(await stack.enter_async_context(aclosing(store.scan(b""))))
        with pytest.raises(StoreBusy):
            await store.range(b"")
    await store.range(b"")


async def test_queue_of_slow_watch_is_bounded(open_embedded: OpenEmbedded) -> None:
    store = (await open_embedded(EmbeddedOptions(queue=10, queue_bytes=2000))).store
    at = await revision(store)
    for size in (0, 500):
        async with store.watch(b"") as watch:
            for _ in range(50):
                last = await store.put(b"a", bytes(size))
            assert len(watch._queue) == (3 if size else 10)
            batches = await until(watch, last)
            assert [batch.revision for batch in batches] == [*range(at + 1, last + 1)]
            at = await store.put(b"a", b"")
            assert (await take(watch, 1))[0].revision == at


async def test_watch_from_unpublished_revision_misses_nothing(
    open_embedded: OpenEmbedded,
) -> None:
    store = (await open_embedded(EmbeddedOptions())).store
    pending_put = asyncio.ensure_future(store.put(b"a", b"1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # This blocks the loop: the write reaches the disk before the loop hears of it.
    while (entry := store._readers.get(b"a")) is None:
        pass
    assert store._hub.revision == entry.mod_revision - 1
    async with store.watch(b"", entry.mod_revision + 1) as watch:
        assert watch.revision == entry.mod_revision == await pending_put
        at = await store.put(b"a", b"2")
        assert (await take(watch, 1))[0].revision == watch.revision == at


async def test_history_is_bounded_by_count_and_age(open_embedded: OpenEmbedded) -> None:
    backend = await open_embedded(EmbeddedOptions(history=1000, history_age=3600))
    for _ in range(30):
        await backend.store.transaction((), [PutOp(b"%d" % n, b"") for n in range(100)])
    assert _logged(backend.path) == 1000
    last = await revision(backend.store)
    with pytest.raises(Compacted) as caught:
        async with backend.store.watch(b"", last - 10):
            pass
    assert caught.value.revision == last - 9
    async with backend.store.watch(b"", last - 9) as watch:
        assert len(await until(watch, last)) == 10
    backend.clock.advance(3000)
    await backend.store.put(b"late", b"")
    backend.clock.advance(3000)
    assert await backend.store.put(b"later", b"") == last + 2
    assert _logged(backend.path) == 2
    await backend.restart()
    with pytest.raises(Compacted):
        async with backend.store.watch(b"", last):
            pass
    assert len(await everything(backend.store)) == 102


def _logged(path: Path) -> int:
    db = sqlite3.connect(path)
    ((count,),) = db.execute("SELECT count(*) FROM event")
    db.close()
    return int(count)


async def test_scan_fails_after_its_time_limit(open_embedded: OpenEmbedded) -> None:
    backend = await open_embedded(EmbeddedOptions(scan_time=20))
    for start in range(0, 3000, 1000):
        await backend.store.transaction((), [PutOp(b"%d" % (start + n), b"") for n in range(1000)])
    async with aclosing(backend.store.scan(b"")) as pages:
        await anext(pages)
        backend.clock.advance(19)
        assert (await anext(pages)).more
        backend.clock.advance(2)
        with pytest.raises(Compacted):
            await anext(pages)
    assert len(await everything(backend.store)) == 3000


async def test_lease_renewal_writes_nothing_and_revoked_leases_are_freed(
    open_embedded: OpenEmbedded,
) -> None:
    backend = await open_embedded(EmbeddedOptions())
    store = backend.store
    granted = await asyncio.gather(*(store.lease_grant(86_400) for _ in range(500)))
    await asyncio.gather(*(store.lease_revoke(each.id) for each in granted))
    assert len(store._leases._due) <= 200
    lease = await store.lease_grant(5)
    for _ in range(10):
        backend.clock.advance(4)
        await store.lease_keepalive(lease.id)
    assert (await store.lease_info(lease.id)).remaining == 5
    assert await revision(store) == 1


async def test_expired_lease_is_unusable_before_its_keys_are_deleted(
    open_embedded: OpenEmbedded,
) -> None:
    backend = await open_embedded(EmbeddedOptions())
    lease = await backend.store.lease_grant(5)
    await backend.store.put(b"a", b"", lease=lease.id)
    # As after the machine slept: time has passed, and no timer has fired yet.
    backend.clock.now += 6
    with pytest.raises(LeaseNotFound):
        await backend.store.lease_keepalive(lease.id)
    with pytest.raises(LeaseNotFound):
        await backend.store.put(b"b", b"", lease=lease.id)
    async with backend.store.watch(b"") as watch:
        backend.clock.advance(0)
        backend.clock.advance(1)
        await take(watch, 1)
    assert await everything(backend.store) == {}


async def test_value_limit_can_be_configured(open_embedded: OpenEmbedded) -> None:
    store = (await open_embedded(EmbeddedOptions(limits=Limits(value=10)))).store
    await store.put(b"a", bytes(10))
    with pytest.raises(StoreLimit, match="a: a value of 11 bytes: at most 10"):
        await store.put(b"a", bytes(11))


async def test_watch_from_the_revision_of_an_empty_store(tmp_path: Path) -> None:
    async with await EmbeddedStore.open(tmp_path / "s.db") as store:
        async with store.watch(b"", 1) as early:
            assert await store.put(b"a", b"") == 2
            assert [batch.revision for batch in await take(early, 1)] == [2]
        async with store.watch(b"", 1) as late:
            assert [batch.revision for batch in await take(late, 1)] == [2]
        assert [batch.revision for batch in (await store.history(b"")).batches] == [2]
    async with await EmbeddedStore.open(tmp_path / "empty.db") as store:
        assert (await store.history(b"")).batches == ()
