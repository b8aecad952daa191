"""The contract: watches lose nothing, give nothing twice, and hold nobody up."""

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


def replayed(state: dict[bytes, Entry], batches: list[EventBatch]) -> dict[bytes, Entry]:
    """A state after changes, each of which fits what was there before."""
    state = dict(state)
    for batch in batches:
        for event in batch.events:
            assert state.pop(event.key, None) == event.previous
            if event.entry:
                assert event.entry.mod_revision == batch.revision
                state[event.key] = event.entry
    return state


@pytest.mark.parametrize("live", [True, False])
async def test_what_a_watch_tells(store: Store, live: bool) -> None:
    at = await revision(store)
    async with store.watch(b"", None if live else at + 1) as watch:
        await store.put(b"a", b"1")
        await store.put(b"a", b"2")
        await store.delete(b"a")
        await store.put(b"a", b"3")
        told = [(batch.revision, batch.events) for batch in await take(watch, 4)]
    one, two = Entry(b"a", b"1", at + 1, at + 1, 1, 0), Entry(b"a", b"2", at + 1, at + 2, 2, 0)
    assert told == [
        (at + 1, (Event(EventKind.PUT, b"a", one, None),)),
        (at + 2, (Event(EventKind.PUT, b"a", two, one),)),
        (at + 3, (Event(EventKind.DELETED, b"a", None, two),)),
        (at + 4, (Event(EventKind.PUT, b"a", Entry(b"a", b"3", at + 4, at + 4, 1, 0), None),)),
    ]


async def test_the_past_is_told_as_the_present_was(store: Store) -> None:
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


async def test_a_transaction_is_one_batch_in_its_own_order(store: Store) -> None:
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
async def test_only_what_is_below_the_prefix(store: Store, live: bool) -> None:
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


async def test_how_far_a_watch_is(store: Store) -> None:
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
    """All changes up to the one that ends the test."""
    batches: list[EventBatch] = []
    async with store.watch(prefix, first) as watch:
        while not batches or not batches[-1].events[-1].key.endswith(b"end"):
            with suppress(StoreLost):
                batch = await anext(watch)
                # After a loss one without events may tell that nothing was missed.
                batches += [batch] if batch.events else []
    return batches


async def test_watches_among_writers_see_every_change(store: Store) -> None:
    """Twenty write; meanwhile watches start from a scan, and from before it all."""
    start = await revision(store)
    writers = [asyncio.create_task(_write(store, number, 100)) for number in range(20)]
    told: list[tuple[bytes, dict[bytes, Entry], asyncio.Task[list[EventBatch]]]] = []
    for number in range(12):
        prefix, state, first = (b"", b"0/", b"2/")[number % 3], {}, start + 1
        if number % 2:
            pages = [page async for page in store.scan(prefix)]
            state = {entry.key: entry for page in pages for entry in page.entries}
            first = pages[0].revision + 1
        told.append((prefix, state, asyncio.create_task(_follow(store, prefix, first))))
        await store.put(b"2/tick", b"")
    await asyncio.gather(*writers)
    # Each watch sees this, whatever its prefix.
    end = await store.transaction((), [PutOp(b"%d/end" % number, b"") for number in range(3)])
    for prefix, state, task in told:
        revisions = [batch.revision for batch in await task]
        assert revisions == sorted(set(revisions))
        assert replayed(state, await task) == await everything(store, prefix)
    assert [batch.revision for batch in await told[0][2]] == [*range(start + 1, end.revision + 1)]


async def test_a_slow_watch_holds_nobody_and_loses_nothing(store: Store) -> None:
    at = await revision(store)
    value = bytes(1000)
    async with store.watch(b"") as slow, store.watch(b"") as quick:
        told = await put_all(store, [PutOp(b"%d" % n, value) for n in range(20_000)], 500)
        assert [batch.revision for batch in await take(quick, len(told))] == told
        last = await store.put(b"last", b"")
        batches = await until(slow, last)
    assert [batch.revision for batch in batches] == list(range(at + 1, last + 1))
    assert replayed({}, batches) == await everything(store)


async def test_a_watch_that_is_gone_leaves_the_others(store: Store) -> None:
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


async def test_waiting_that_is_cancelled_loses_nothing(store: Store) -> None:
    async with store.watch(b"") as watch:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), 0.001)
        at = await store.put(b"a", b"")
        assert (await take(watch, 1))[0].revision == at


async def test_a_past_that_is_gone(backend: Backend) -> None:
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


async def test_a_past_that_goes_before_it_was_read(backend: Backend) -> None:
    store = backend.store
    at = await store.put(b"a", b"")
    async with store.watch(b"", at) as watch:
        last = await store.put(b"a", b"")
        await backend.compact(last)
        try:
            told = await take(watch, 2)
        except Compacted as error:
            first = error.revision
        else:
            # An etcd may have been quick enough to tell them before.
            assert not isinstance(backend, EmbeddedBackend)
            assert [batch.revision for batch in told] == [at, last]
            first = last + 1
    async with store.watch(b"", first) as watch:
        again = await store.put(b"a", b"")
        assert (await take(watch, 1))[0].revision == again


async def test_compaction_does_not_touch_a_live_watch(backend: Backend) -> None:
    store = backend.store
    async with store.watch(b"") as watch:
        # Live is what has heard of a change; before, it may still be told to list again.
        await store.put(b"a", b"")
        await take(watch, 1)
        for _ in range(5):
            at = await store.put(b"a", b"")
            await backend.compact(at)
            assert (await take(watch, 1))[0].revision == at


async def test_a_future_that_this_store_never_had(store: Store) -> None:
    at = await revision(store)
    with pytest.raises(Compacted):
        await _first(store, at + 2)


async def test_a_watch_goes_on_over_a_restart(backend: Backend) -> None:
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
    assert replayed({}, batches) == await everything(backend.store)
