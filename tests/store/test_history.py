"""The contract: the history of keys, newest transaction first."""

import pytest

from musterd.kv import Compare, DeleteOp, EventKind, Is, PutOp, Store, StoreLimit
from musterd.store.etcd import EtcdStore
from tests.store.backends import Backend, EtcdBackend
from tests.store.kit import put_all, seeded, take


async def revisions(
    store: Store, prefix: bytes, before: int | None = None, limit: int = 100
) -> list[int]:
    past = await store.history(prefix, before=before, limit=limit)
    return [batch.revision for batch in past.batches]


async def test_history_equals_watched_batches(store: Store) -> None:
    first = await store.put(b"a/1", b"x")
    await store.put(b"b/1", b"x")
    await store.put(b"a/1", b"y")
    await store.delete(b"a/1")
    past = await store.history(b"a/")
    async with store.watch(b"a/", first) as watch:
        watched = await take(watch, 3)
    assert list(reversed(past.batches)) == watched
    assert past.batches[0].events[0].kind is EventKind.DELETED


async def test_history_shows_whole_transaction(store: Store) -> None:
    await store.put(b"a", b"1")
    steps = (DeleteOp(b"a"), PutOp(b"b", b"2"), PutOp(b"c", b"3"))
    done = await store.transaction((Compare(b"a", Is.PRESENT),), steps)
    past = await store.history(b"a", limit=1)
    (batch,) = past.batches
    assert batch.revision == done.revision
    assert [event.key for event in batch.events] == [b"a", b"b", b"c"]
    assert past.more


async def test_history_leaves_out_keys_that_are_not_logged(backend: Backend) -> None:
    """Keys outside ``logged`` may change often: etcd isn't asked for them."""
    if not isinstance(backend, EtcdBackend):
        return
    async with EtcdStore(backend.etcd.options(), base=backend.base, logged=(b"b", b"d/")) as store:
        for key in (b"a", b"b", b"c", b"d/1", b"e"):
            await store.put(key, b"")
        past = await store.history(b"")
        assert [b.events[0].key for b in past.batches] == [b"d/1", b"c", b"b"]
        steps = [PutOp(key, b"1") for key in (b"a", b"b", b"d/1", b"e")]
        await store.transaction((), steps)
        (batch,) = (await store.history(b"d/", limit=1)).batches
        assert [event.key for event in batch.events] == [b"b", b"d/1"]


async def test_history_pages_reach_the_beginning(store: Store) -> None:
    chance = seeded("history")
    model: list[tuple[int, bytes]] = []
    for _ in range(60):
        key = b"k/%d" % chance.randrange(4)
        model.append((await store.put(key, b"x"), key))
    for prefix in (b"k/", b"k/1", b"none", b""):
        wanted = [at for at, key in reversed(model) if key.startswith(prefix)]
        assert await revisions(store, prefix, limit=1000) == wanted
        found: list[int] = []
        before = None
        while True:
            past = await store.history(prefix, before=before, limit=7)
            found += [batch.revision for batch in past.batches]
            if not past.more:
                break
            before = past.batches[-1].revision
        assert found == wanted


async def test_history_before_a_revision(store: Store) -> None:
    all_revisions = [await store.put(b"a", b"%d" % number) for number in range(5)]
    assert await revisions(store, b"a", before=all_revisions[2]) == [
        all_revisions[1],
        all_revisions[0],
    ]
    assert await revisions(store, b"a", before=0) == []
    assert await revisions(store, b"a", before=2**60) == list(reversed(all_revisions))


async def test_history_ends_at_compaction(backend: Backend) -> None:
    store = backend.store
    all_revisions = [await store.put(b"a", b"%d" % number) for number in range(5)]
    await backend.compact(all_revisions[2])
    past = await store.history(b"a", limit=2)
    assert [batch.revision for batch in past.batches] == [all_revisions[4], all_revisions[3]]
    assert not past.more
    await backend.restart()
    assert await revisions(backend.store, b"a") == [all_revisions[4], all_revisions[3]]


async def test_history_finds_key_among_many_others(store: Store) -> None:
    first = await store.put(b"mine", b"1")
    await put_all(store, [PutOp(b"other/%d" % n, b"x") for n in range(6000)], 500)
    for number in range(2500):
        await store.put(b"busy", b"%d" % number)
    last = await store.put(b"mine", b"2")
    assert await revisions(store, b"mine") == [last, first]


async def test_history_ends_at_same_revision_for_any_page_size(backend: Backend) -> None:
    if not isinstance(backend, EtcdBackend):
        return
    async with EtcdStore(backend.etcd.options(), base=backend.base, revisions=10) as store:
        await check_end(store)


async def check_end(store: Store) -> None:
    all_revisions = [await store.put(b"a", b"%d" % number) for number in range(30)]
    wanted = all_revisions[:-11:-1]
    assert await revisions(store, b"a") == wanted
    found: list[int] = []
    more = True
    while more:
        before = found[-1] if found else None
        past = await store.history(b"a", before=before, limit=1)
        found += [batch.revision for batch in past.batches]
        more = past.more
    assert found == wanted
    assert await revisions(store, b"a", before=wanted[-1]) == []


async def test_history_refuses_limit_of_zero(store: Store) -> None:
    with pytest.raises(StoreLimit):
        await store.history(b"a", limit=0)
