"""The contract: watches lose nothing, repeat nothing and block nobody."""

import asyncio
from contextlib import suppress

import pytest

from musterd.kv import (
    Compacted,
    DeleteOp,
    Entry,
    Event,
    EventBatch,
    EventKind,
    Operation,
    PutOp,
    Store,
    StoreLost,
)
from tests.store.backends import Backend, EmbeddedBackend
from tests.store.kit import everything, put_all, revision, seeded, take, until


def replay(state: dict[bytes, Entry], batches: list[EventBatch]) -> dict[bytes, Entry]:
    """Apply batches to a state and check that each event has the right previous entry."""
    state = dict(state)
    for batch in batches:
        for event in batch.events:
            assert state.pop(event.key, None) == event.previous
            if event.entry:
                assert event.entry.mod_revision == batch.revision
                state[event.key] = event.entry
    return state


@pytest.mark.parametrize("live", [True, False])
async def test_watch_yields_each_change_with_previous_entry(store: Store, live: bool) -> None:
    at = await revision(store)
    async with store.watch(b"", None if live else at + 1) as watch:
        await store.put(b"a", b"1")
        await store.put(b"a", b"2")
        await store.delete(b"a")
        await store.put(b"a", b"3")
        batches = [(batch.revision, batch.events) for batch in await take(watch, 4)]
    first, second = Entry(b"a", b"1", at + 1, at + 1, 1, 0), Entry(b"a", b"2", at + 1, at + 2, 2, 0)
    assert batches == [
        (at + 1, (Event(EventKind.PUT, b"a", first, None),)),
        (at + 2, (Event(EventKind.PUT, b"a", second, first),)),
        (at + 3, (Event(EventKind.DELETED, b"a", None, second),)),
        (at + 4, (Event(EventKind.PUT, b"a", Entry(b"a", b"3", at + 4, at + 4, 1, 0), None),)),
    ]


async def test_watch_from_past_yields_same_batches_as_live(store: Store) -> None:
    at = await revision(store)
    lease = await store.lease_grant(60)
    async with store.watch(b"") as watch:
        await store.put(b"a", b"1", lease=lease.id)
        await store.put(b"a", b"2")
        await store.transaction((), (PutOp(b"b", b""), DeleteOp(b"a"), PutOp(b"c", b"", lease.id)))
        await store.put(b"b", b"1")
        await store.lease_revoke(lease.id)
        live = await take(watch, 5)
    assert live[-1].events[0].kind is EventKind.EXPIRED
    async with store.watch(b"", at + 1) as watch:
        assert await take(watch, 5) == live
    async with store.watch(b"", at + 3) as watch:
        assert await take(watch, 3) == live[2:]


async def test_transaction_is_one_batch(store: Store) -> None:
    at = await revision(store)
    steps: list[Operation] = [
        PutOp(b"z", b""),
        PutOp(b"a", b""),
        DeleteOp(b"none"),
        PutOp(b"m", b""),
    ]
    async with store.watch(b"") as watch:
        await store.transaction((), steps)
        assert (await store.transaction((), (DeleteOp(b"none"),))).succeeded
        await store.put(b"last", b"")
        first, last = await take(watch, 2)
    assert (first.revision, last.revision) == (at + 1, at + 2)
    assert sorted(event.key for event in first.events) == [b"a", b"m", b"z"]


@pytest.mark.parametrize("live", [True, False])
async def test_watch_yields_only_keys_below_prefix(store: Store, live: bool) -> None:
    at = await revision(store)
    async with store.watch(b"a/\xff", None if live else at + 1) as watch:
        await store.put(b"a/\xfe", b"")
        await store.transaction((), (PutOp(b"a/\xff\x01", b""), PutOp(b"b", b"")))
        await store.put(b"a0", b"")
        await store.put(b"a/\xff", b"")
        first, second = await take(watch, 2)
        assert [event.key for event in (*first.events, *second.events)] == [
            b"a/\xff\x01",
            b"a/\xff",
        ]
        assert (first.revision, second.revision) == (at + 2, at + 4)


async def test_watch_revision_follows_batches(store: Store) -> None:
    at = await revision(store)
    async with store.watch(b"a") as watch, store.watch(b"a", at + 1) as other:
        assert watch.revision == other.revision == at
        await store.put(b"a", b"")
        await store.put(b"a", b"")
        last = await store.put(b"b", b"")
        for each in (watch, other):
            await take(each, 1)
            assert each.revision == at + 1
            await take(each, 1)
            assert at + 2 <= each.revision <= last
    async with store.watch(b"a", last + 1) as watch:
        assert watch.revision == last
        await store.put(b"a", b"")
        assert [batch.revision for batch in await take(watch, 1)] == [last + 1]


async def _write(store: Store, writer: int, count: int) -> None:
    chance = seeded(writer)
    for number in range(count):
        key = b"%d/%d" % (writer % 3, chance.randrange(20))
        if chance.random() < 0.3:
            await store.delete(key)
        elif chance.random() < 0.3:
            await store.transaction((), (PutOp(key, b"%d" % number), PutOp(b"2/x", b"")))
        else:
            await store.put(key, b"%d" % number)


async def _follow(store: Store, prefix: bytes, first: int) -> list[EventBatch]:
    """Read all batches up to the key that ends the test."""
    batches: list[EventBatch] = []
    async with store.watch(prefix, first) as watch:
        while not batches or not batches[-1].events[-1].key.endswith(b"end"):
            with suppress(StoreLost):
                batch = await anext(watch)
                # After a loss, a batch without events may report that nothing was missed.
                batches += [batch] if batch.events else []
    return batches


async def test_watches_among_writers_see_every_change(store: Store) -> None:
    """Twenty tasks write while watches start from a scan or from before all writes."""
    start = await revision(store)
    writers = [asyncio.create_task(_write(store, number, 100)) for number in range(20)]
    watches: list[tuple[bytes, dict[bytes, Entry], asyncio.Task[list[EventBatch]]]] = []
    for number in range(12):
        prefix, state, first = (b"", b"0/", b"2/")[number % 3], {}, start + 1
        if number % 2:
            pages = [page async for page in store.scan(prefix)]
            state = {entry.key: entry for page in pages for entry in page.entries}
            first = pages[0].revision + 1
        watches.append((prefix, state, asyncio.create_task(_follow(store, prefix, first))))
        await store.put(b"2/tick", b"")
    await asyncio.gather(*writers)
    # Every watch sees this batch, whatever its prefix.
    end = await store.transaction((), [PutOp(b"%d/end" % number, b"") for number in range(3)])
    for prefix, state, task in watches:
        revisions = [batch.revision for batch in await task]
        assert revisions == sorted(set(revisions))
        assert replay(state, await task) == await everything(store, prefix)
    assert [batch.revision for batch in await watches[0][2]] == [
        *range(start + 1, end.revision + 1)
    ]


async def test_slow_watch_blocks_nobody_and_loses_nothing(store: Store) -> None:
    at = await revision(store)
    value = bytes(1000)
    async with store.watch(b"") as slow, store.watch(b"") as quick:
        revisions = await put_all(store, [PutOp(b"%d" % n, value) for n in range(20_000)], 500)
        assert [batch.revision for batch in await take(quick, len(revisions))] == revisions
        last = await store.put(b"last", b"")
        batches = await until(slow, last)
    assert [batch.revision for batch in batches] == list(range(at + 1, last + 1))
    assert replay({}, batches) == await everything(store)


async def test_cancelled_watch_leaves_others_running(store: Store) -> None:
    async def watch_for_ever() -> None:
        async with store.watch(b"") as watch:
            async for _ in watch:
                pass

    async with store.watch(b"") as watch:
        tasks = [asyncio.create_task(watch_for_ever()) for _ in range(10)]
        for number, task in enumerate(tasks):
            await store.put(b"a", b"")
            task.cancel()
            await store.put(b"a", b"%d" % number)
            assert len(await take(watch, 2)) == 2
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)


async def test_cancelled_wait_loses_no_batch(store: Store) -> None:
    async with store.watch(b"") as watch:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), 0.001)
        at = await store.put(b"a", b"")
        assert (await take(watch, 1))[0].revision == at


async def test_watch_from_compacted_revision_fails(backend: Backend) -> None:
    store = backend.store
    revisions = [await store.put(b"a", b"%d" % number) for number in range(10)]
    await backend.compact(revisions[5])
    for first in (revisions[0], revisions[5]):
        with pytest.raises(Compacted) as caught:
            await _first(store, first)
        assert caught.value.revision == revisions[6]
    assert (await _first(store, revisions[6])).revision == revisions[6]
    entry = await store.get(b"a")
    assert entry
    assert (entry.value, entry.version) == (b"9", 10)


async def _first(store: Store, first: int) -> EventBatch:
    async with store.watch(b"", first) as watch:
        return await anext(watch)


async def test_history_compacted_before_it_was_read(backend: Backend) -> None:
    store = backend.store
    at = await store.put(b"a", b"")
    async with store.watch(b"", at) as watch:
        last = await store.put(b"a", b"")
        await backend.compact(last)
        try:
            batches = await take(watch, 2)
        except Compacted as error:
            first = error.revision
        else:
            # etcd may have sent the batches before the compaction.
            assert not isinstance(backend, EmbeddedBackend)
            assert [batch.revision for batch in batches] == [at, last]
            first = last + 1
    async with store.watch(b"", first) as watch:
        again = await store.put(b"a", b"")
        assert (await take(watch, 1))[0].revision == again


async def test_compaction_does_not_disturb_live_watch(backend: Backend) -> None:
    store = backend.store
    async with store.watch(b"") as watch:
        # A watch is live after its first batch; before that it may still have to list again.
        await store.put(b"a", b"")
        await take(watch, 1)
        for _ in range(5):
            at = await store.put(b"a", b"")
            await backend.compact(at)
            assert (await take(watch, 1))[0].revision == at


async def test_watch_from_future_revision_fails(store: Store) -> None:
    at = await revision(store)
    with pytest.raises(Compacted):
        await _first(store, at + 2)


async def test_watch_resumes_after_restart(backend: Backend) -> None:
    at = await revision(backend.store)
    before = [await backend.store.put(b"a", b"%d" % number) for number in range(5)]
    async with backend.store.watch(b"", at + 1) as watch:
        batches = await take(watch, 2)
        seen = watch.revision
    await backend.restart()
    after = [await backend.store.put(b"a", b"x%d" % number) for number in range(5)]
    async with backend.store.watch(b"", seen + 1) as watch:
        batches += await until(watch, after[-1])
    assert [batch.revision for batch in batches] == before + after
    assert replay({}, batches) == await everything(backend.store)
