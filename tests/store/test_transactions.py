"""The contract: transactions."""

import asyncio

import pytest

from musterd.kv import Compare, DeleteOp, Is, LeaseNotFound, Operation, PutOp, Store
from tests.store.kit import everything, meanwhile, revision, seeded


async def test_operations_share_one_revision(store: Store) -> None:
    old = await store.put(b"old", b"1")
    gone = await store.put(b"gone", b"1")
    steps: list[Operation]
    steps = [PutOp(b"new", b"2"), PutOp(b"old", b"2"), DeleteOp(b"gone"), DeleteOp(b"never")]
    result = await store.transaction((), steps)
    assert result == (
        True,
        gone + 1,
        (None, (b"old", b"1", old, old, 1, 0), (b"gone", b"1", gone, gone, 1, 0), None),
    )
    assert await everything(store) == {
        b"new": (b"new", b"2", gone + 1, gone + 1, 1, 0),
        b"old": (b"old", b"2", old, gone + 1, 2, 0),
    }


@pytest.mark.parametrize(
    ("test", "offset", "there", "not_there"),
    [
        (Is.ABSENT, 0, False, True),
        (Is.PRESENT, 0, True, False),
        (Is.MODIFIED_AT, 1, True, False),
        (Is.MODIFIED_AT, 0, False, False),
        (Is.MODIFIED_AT, 2, False, False),
        (Is.CREATED_AT, 0, True, False),
        (Is.CREATED_AT, 1, False, False),
    ],
)
async def test_comparison_decides_transaction(
    store: Store, test: Is, offset: int, there: bool, not_there: bool
) -> None:
    created = await store.put(b"a", b"1")
    await store.put(b"a", b"2")
    for key, holds in ((b"a", there), (b"b", not_there)):
        result = await store.transaction(
            (Compare(key, test, created + offset),), (PutOp(b"done", b""),)
        )
        assert result.succeeded is holds
        assert (await store.delete(b"done") is not None) is holds


async def test_none_since_finds_writes_below_prefix(store: Store) -> None:
    await store.put(b"a", b"")
    first = await store.put(b"a/1", b"")
    last = await store.put(b"a/2", b"")
    await store.put(b"a0", b"")
    await store.put(b"\xff\xff", b"")

    async def none_since(prefix: bytes, since: int) -> bool:
        compare = Compare(prefix, Is.NONE_SINCE, since)
        result = await store.transaction((compare,), (PutOp(b"done", b""),))
        if not result.succeeded:
            (found,) = result.entries
            assert found
            assert found.key.startswith(prefix)
            assert found.mod_revision > since
        return result.succeeded

    assert [await none_since(b"a/", since) for since in (0, first - 1, first)] == [
        False,
        False,
        False,
    ]
    assert await none_since(b"a/", last)
    assert await none_since(b"b/", 0)
    assert not await none_since(b"\xff", 0)
    await store.delete(b"a/2")
    assert await none_since(b"a/", first)
    await store.delete(b"a/1")
    assert await none_since(b"a/", 0)


async def test_failed_comparison_stops_transaction(store: Store) -> None:
    at = await store.put(b"a", b"1")
    compares = (Compare(b"a", Is.MODIFIED_AT, at), Compare(b"b", Is.PRESENT))
    result = await store.transaction(compares, (PutOp(b"c", b"2"), DeleteOp(b"a")))
    assert result == (False, at, ((b"a", b"1", at, at, 1, 0), None))
    assert list(await everything(store)) == [b"a"]


async def test_transaction_without_operations_keeps_revision(store: Store) -> None:
    at = await revision(store)
    assert await store.transaction((), ()) == (True, at, ())
    assert await store.transaction((Compare(b"a", Is.ABSENT),), ()) == (True, at, ())
    assert await store.transaction((Compare(b"a", Is.PRESENT),), ()) == (False, at, (None,))


async def test_unknown_lease_stops_transaction(store: Store) -> None:
    lease = await store.lease_grant(60)
    at = await revision(store)
    for wrong in (lease.id ^ 1, -1, 1 << 70):
        with pytest.raises(LeaseNotFound):
            await store.transaction((), (PutOp(b"a", b"", lease.id), PutOp(b"b", b"", wrong)))
    assert await everything(store) == {}
    assert await revision(store) == at


async def test_readers_see_whole_transactions(store: Store) -> None:
    """Forty keys always have the same value, which concurrent readers check."""
    keys = [b"%02d" % number for number in range(40)]
    chance = seeded()

    async def write() -> None:
        for number in range(10_000):
            steps: list[Operation] = [PutOp(key, b"%d" % number) for key in keys]
            if not number % 5:
                steps = [DeleteOp(key) for key in keys]
            chance.shuffle(steps)
            await store.transaction((), steps)

    states = set[int]()
    async with meanwhile(write(), write()):
        while len(states) < 50:
            page = await store.range(b"")
            assert len({(entry.value, entry.mod_revision) for entry in page.entries}) <= 1
            assert len(page.entries) in {0, 40}
            states.add(page.revision)
            await asyncio.sleep(0)


async def test_exactly_one_of_many_claims_wins(store: Store) -> None:
    claims = [
        store.transaction((Compare(b"id", Is.ABSENT),), (PutOp(b"id", b"%d" % number),))
        for number in range(50)
    ]
    results = await asyncio.gather(*claims)
    (winner,) = [number for number, result in enumerate(results) if result.succeeded]
    entry = await store.get(b"id")
    assert entry
    assert entry.value == b"%d" % winner
    assert all(result.entries == (entry,) for result in results if not result.succeeded)
