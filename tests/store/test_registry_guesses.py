"""A wrong guess of the registry's write cache is never returned and never built upon."""

import pytest

from musterd.kv import Entry, Store
from musterd.registry.applied import Applied
from musterd.registry.errors import Clash
from musterd.registry.keys import RecordKey
from musterd.registry.record import record_spec
from musterd.registry.registry import Registry
from musterd.registry.write_cache import MAX_ENTRIES, MAX_VALUE, WriteCache
from musterd.rr.types import CNAME, A

KEY = RecordKey("lab.internal", "web", "A", "one")


def registry(store: Store, now: float) -> Registry:
    """Create the registry of a server whose clock shows a time."""
    return Registry(store, Applied(), lambda: now)


async def test_put_over_write_of_other_server_is_no_creation(store: Store) -> None:
    ours, other = registry(store, 1), registry(store, 2)
    await ours.put(KEY, record_spec(A, "10.0.0.1"), "us")
    await other.put(KEY, record_spec(A, "10.0.0.2"), "they")
    done = await ours.put(KEY, record_spec(A, "10.0.0.3"), "us")
    assert not done.created
    assert (done.record["registrant"], done.record["created"]) == ("us", 1)
    assert await ours.get(KEY) == done.record


async def test_put_over_record_missing_from_cache_is_no_creation(store: Store) -> None:
    """The cache is empty after a start."""
    first = await registry(store, 1).put(KEY, record_spec(A, "10.0.0.1"), "they")
    ours = registry(store, 2)
    again = await ours.put(KEY, record_spec(A, "10.0.0.1"), "us")
    assert again == (first.record, False, False)
    done = await ours.put(KEY, record_spec(A, "10.0.0.2"), "us")
    assert not done.created
    assert (done.record["registrant"], done.record["created"]) == ("they", 1)


async def test_put_after_change_by_other_server_counts_as_changed(store: Store) -> None:
    ours, other = registry(store, 1), registry(store, 2)
    await ours.put(KEY, record_spec(A, "10.0.0.1"), "us")
    await other.put(KEY, record_spec(A, "10.0.0.2"), "they")
    done = await ours.put(KEY, record_spec(A, "10.0.0.1"), "us")
    assert done.changed
    assert (await other.get(KEY))["data"] == "10.0.0.1"


@pytest.mark.parametrize("by_us", [False, True])
async def test_put_after_deletion_creates_record(store: Store, by_us: bool) -> None:
    ours, other = registry(store, 1), registry(store, 2)
    await ours.put(KEY, record_spec(A, "10.0.0.1"), "us")
    await (ours if by_us else other).delete(KEY, "they")
    done = await registry(store, 3).put(KEY, record_spec(A, "10.0.0.1"), "new")
    assert (done.created, done.record["created"]) == (True, 3)
    await other.delete(KEY, "they")
    done = await ours.put(KEY, record_spec(A, "10.0.0.1"), "us")
    assert (done.created, done.changed) == (True, True)


async def test_second_cname_clashes_and_same_id_replaces(store: Store) -> None:
    """An existing CNAME excludes another one and can be replaced by its id."""
    alias = RecordKey("lab.internal", "www", "CNAME", "one")
    await registry(store, 1).put(alias, record_spec(CNAME, "a.test."), "they")
    ours = registry(store, 2)
    assert not (await ours.put(alias, record_spec(CNAME, "b.test."), "us")).created
    with pytest.raises(Clash):
        await ours.put(alias._replace(id="two"), record_spec(CNAME, "c.test."), "us")


def test_write_cache_is_bounded() -> None:
    recent = WriteCache()
    for number in range(MAX_ENTRIES + 1):
        recent.keep(Entry(b"%d" % number, b"", 0, 1, 0, 0))
    assert recent.get(b"0") is None
    assert recent.get(b"1") is not None
    recent.keep(Entry(b"1", bytes(MAX_VALUE + 1), 0, 2, 0, 0))
    assert recent.get(b"1") is None


async def test_put_reads_nothing_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """True for a new record and for one that this server wrote before."""

    async def get(_: bytes) -> None:
        raise AssertionError("the store was read")

    monkeypatch.setattr(store, "get", get)
    ours = registry(store, 1)
    assert (await ours.put(KEY, record_spec(A, "10.0.0.1"), "us")).created
    assert not (await ours.put(KEY, record_spec(A, "10.0.0.2"), "us")).created
