"""The contract: keys, values, ranges, limits."""

import asyncio

import pytest

from musterd.kv import ABSENT, Conflict, DeleteOp, Limits, Operation, PutOp, Store, StoreLimit
from musterd.store.embedded import EmbeddedOptions
from musterd.store.etcd import EtcdStore
from tests.store.backends import Backend, EtcdBackend
from tests.store.conftest import OpenEmbedded
from tests.store.kit import everything, meanwhile, put_all, revision


async def test_absent_key_is_none(store: Store) -> None:
    assert await store.get(b"a") is None
    assert await store.delete(b"a") is None
    assert (await store.range(b"")).entries == ()


async def test_entry_has_value_revisions_and_version(store: Store) -> None:
    first = await store.put(b"a", b"1")
    assert await store.get(b"a") == (b"a", b"1", first, first, 1, 0)
    second = await store.put(b"a", b"2")
    assert await store.get(b"a") == (b"a", b"2", first, second, 2, 0)
    assert await store.delete(b"a") == second + 1
    assert await store.get(b"a") is None
    again = await store.put(b"a", b"3")
    assert await store.get(b"a") == (b"a", b"3", again, again, 1, 0)


async def test_each_change_is_one_revision(store: Store) -> None:
    at = await revision(store)
    assert await store.put(b"a", b"") == at + 1
    assert await store.put(b"a", b"") == at + 2
    assert (await store.transaction((), (PutOp(b"b", b""), PutOp(b"c", b"")))).revision == at + 3
    assert await store.delete(b"a") == at + 4
    assert await store.delete(b"a") is None
    assert (await store.transaction((), (DeleteOp(b"a"), DeleteOp(b"x")))).revision == at + 4
    assert await revision(store) == at + 4


async def test_concurrent_writes_have_distinct_revisions(store: Store) -> None:
    at = await revision(store)
    given = await asyncio.gather(*(store.put(b"%d" % n, b"") for n in range(100)))
    assert sorted(given) == list(range(at + 1, at + 101))
    assert {entry.mod_revision for entry in (await everything(store)).values()} == set(given)


async def test_write_with_stale_expected_revision_conflicts(store: Store) -> None:
    first = await store.put(b"a", b"1", expect=ABSENT)
    second = await store.put(b"a", b"2", expect=first)
    at = await revision(store)
    for expected in (ABSENT, first, second + 1):
        with pytest.raises(Conflict) as caught:
            await store.put(b"a", b"lost", expect=expected)
        assert caught.value.entry == (b"a", b"2", first, second, 2, 0)
        assert caught.value.expected == expected
    with pytest.raises(Conflict):
        await store.delete(b"a", expect=first)
    assert await revision(store) == at
    assert await store.delete(b"a", expect=second) == at + 1
    with pytest.raises(Conflict) as caught:
        await store.put(b"a", b"lost", expect=second)
    assert caught.value.entry is None
    assert await store.delete(b"a", expect=ABSENT) is None


async def test_two_clients_lose_no_update(backend: Backend) -> None:
    async def count(store: Store) -> None:
        done = 0
        while done < 500:
            entry = await store.get(b"n")
            value, at = (int(entry.value), entry.mod_revision) if entry else (0, ABSENT)
            try:
                await store.put(b"n", b"%d" % (value + 1), expect=at)
                done += 1
            except Conflict:
                continue

    await asyncio.gather(count(backend.store), count(await backend.second_client()))
    entry = await backend.store.get(b"n")
    assert entry
    assert (entry.value, entry.version) == (b"1000", 1000)


KEYS = [
    *(b"\x00", b"a", b"a.", b"a/", b"a/\x00", b"a/b", b"a/b/c", b"a/\xff", b"a/\xff\xff", b"a0"),
    *(b"b", b"\xfe\xff", b"\xff", b"\xff\x00", b"\xff\xff", b"\xff" * 1024),
]


@pytest.mark.parametrize(
    "prefix", [b"", b"a", b"a/", b"a/b", b"a/\xff", b"\xfe\xff", b"\xff", b"\xff\xff", b"none"]
)
async def test_range_returns_exactly_keys_below_prefix(store: Store, prefix: bytes) -> None:
    await store.transaction((), [PutOp(key, key) for key in reversed(KEYS)])
    below = [key for key in sorted(KEYS) if key.startswith(prefix)]
    page = await store.range(prefix)
    assert [entry.key for entry in page.entries] == below
    assert all(entry.value == entry.key for entry in page.entries)
    assert not page.more
    assert list(await everything(store, prefix)) == below


async def test_range_without_an_end_includes_the_longest_keys(
    backend: Backend, open_embedded: OpenEmbedded
) -> None:
    limits = Limits(key=1200, operations=128)
    store: Store
    if isinstance(backend, EtcdBackend):
        store = EtcdStore(backend.etcd.options(), limits=limits)
    else:
        await backend.close()
        store = (await open_embedded(EmbeddedOptions(limits=limits))).store
    keys = [b"a", b"\xff" * 1024, b"\xff" * 1025, b"\xff" * 1026, b"\xff" * 1200]
    try:
        for key in keys:
            await store.put(key, b"")
        for prefix in (b"", b"\xff", b"\xff" * 1025):
            below = [key for key in keys if key.startswith(prefix)]
            assert [entry.key for entry in (await store.range(prefix)).entries] == below
            assert list(await everything(store, prefix)) == below
            past = await store.history(prefix)
            changed = {event.key for batch in past.batches for event in batch.events}
            assert changed >= set(below)
        assert [entry.key for entry in (await store.range(b"", after=keys[2])).entries] == keys[3:]
    finally:
        await store.close()


@pytest.mark.parametrize("limit", [1, 2, 5, 16, 17])
async def test_range_pages_continue_after_last_key(store: Store, limit: int) -> None:
    await store.transaction((), [PutOp(key, b"") for key in KEYS])
    found, after = list[bytes](), b""
    more = True
    while more:
        page = await store.range(b"", limit=limit, after=after)
        assert 0 < len(page.entries) <= limit
        found += [entry.key for entry in page.entries]
        after, more = found[-1], page.more
    assert found == sorted(KEYS)
    assert (await store.range(b"a/", after=b"a/b")).entries[0].key == b"a/b/c"
    assert (await store.range(b"a/", after=b"Z")).entries[0].key == b"a/"
    assert (await store.range(b"a/", after=b"b")).entries == ()


async def test_large_values_fill_pages_early(store: Store) -> None:
    value = bytes(store.limits.value)
    for number in range(40):
        await store.put(b"%02d" % number, value)
    page = await store.range(b"")
    assert page.more
    seen = len(page.entries)
    async for page in store.scan(b""):
        assert page.entries
    rest = await store.range(b"", after=b"%02d" % (seen - 1))
    assert rest.entries[0].key == b"%02d" % seen


async def test_scan_shows_one_revision(store: Store) -> None:
    """While money moves between 3,000 accounts, each scan finds the same sum."""
    accounts = [b"a/%04d" % number for number in range(3000)]
    await put_all(store, [PutOp(key, b"100") for key in accounts])

    async def move() -> None:
        for number in range(10_000):
            debit, credit = accounts[number % 3000], accounts[(number + 1500) % 3000]
            a, b = await store.get(debit), await store.get(credit)
            assert a
            assert b
            values = b"%d" % (int(a.value) - 1), b"%d" % (int(b.value) + 1)
            await store.transaction((), [PutOp(debit, values[0]), PutOp(credit, values[1])])

    revisions = set()
    async with meanwhile(move()):
        for _ in range(10):
            at = await revision(store)
            pages = [page async for page in store.scan(b"a/")]
            assert len({page.revision for page in pages}) == 1
            assert pages[0].revision >= at
            entries = [entry for page in pages for entry in page.entries]
            assert sum(int(entry.value) for entry in entries) == 300_000
            assert max(entry.mod_revision for entry in entries) <= pages[0].revision
            revisions.add(pages[0].revision)
            await store.put(b"tick", b"")
    assert len(revisions) == 10


async def test_keys_and_values_may_be_any_bytes(store: Store) -> None:
    all_bytes = bytes(range(256))
    for value in (b"", b"\0", all_bytes, b"\xff" * 100, "käse".encode(), b"NULL", b"'; --"):
        await store.put(all_bytes, value)
        entry = await store.get(all_bytes)
        assert entry
        assert (entry.key, entry.value) == (all_bytes, value)
        assert type(entry.value) is bytes


async def test_largest_allowed_sizes_are_accepted(store: Store) -> None:
    limits = store.limits
    assert (limits.key, limits.value) == (1024, 65_536)
    key, value = b"k" * limits.key, b"v" * limits.value
    await store.put(key, value)
    entry = await store.get(key)
    assert entry
    assert entry.value == value
    result = await store.transaction((), [PutOp(b"%d" % n, b"") for n in range(limits.operations)])
    assert result.succeeded


async def test_operations_over_limits_are_refused(store: Store) -> None:
    limits = store.limits
    many = [PutOp(b"%d" % number, b"") for number in range(limits.operations + 1)]
    much = [PutOp(b"%d" % n, bytes(limits.value)) for n in range(limits.size // limits.value + 1)]
    at = await revision(store)
    refused: list[list[Operation]] = [
        [PutOp(b"", b"")],
        [PutOp(b"k" * (limits.key + 1), b"")],
        [DeleteOp(b"k" * (limits.key + 1))],
        [PutOp(b"k", bytes(limits.value + 1))],
        [PutOp(b"a", b""), PutOp(b"k", bytes(limits.value + 1))],
        [PutOp(b"a", b"1"), PutOp(b"a", b"2")],
        [PutOp(b"a", b"1"), DeleteOp(b"a")],
        [*many],
        [*much],
    ]
    for steps in refused:
        with pytest.raises(StoreLimit):
            await store.transaction((), steps)
    for limit in (0, -1, limits.page + 1):
        with pytest.raises(StoreLimit):
            await store.range(b"", limit=limit)
    assert await revision(store) == at


async def test_cancelled_write_is_atomic(store: Store) -> None:
    at = await revision(store)
    tasks = [asyncio.create_task(_pair(store, number)) for number in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    last = await store.put(b"last", b"")
    found = await everything(store)
    pairs = [number for number in range(50) if b"a%d" % number in found]
    assert pairs == [number for number in range(50) if b"b%d" % number in found]
    assert {*range(1, 50, 2)} <= {*pairs}
    assert last == at + len(pairs) + 1


async def _pair(store: Store, number: int) -> None:
    await store.transaction((), [PutOp(b"a%d" % number, b""), PutOp(b"b%d" % number, b"")])


async def test_restart_keeps_keys_and_revision(backend: Backend) -> None:
    for number in range(20):
        await backend.store.put(b"%02d" % number, b"v%d" % number)
    await backend.store.delete(b"07")
    before, at = await everything(backend.store), await revision(backend.store)
    await backend.restart()
    assert await everything(backend.store) == before
    assert await revision(backend.store) == at
    assert await backend.store.put(b"new", b"") == at + 1
