"""Requests: pages of any size, and the errors of unanswered ones."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from musterd.etcd import EtcdClient, EtcdOptions, endpoint, span
from musterd.kv import (
    ABSENT,
    Compacted,
    Conflict,
    LeaseNotFound,
    StoreLimit,
    StoreUnavailable,
    StoreUncertain,
)
from musterd.store.etcd import EtcdStore
from tests.etcdkit import Etcd, Proxy, running

pytestmark = pytest.mark.slow


async def test_pages_of_changing_range_show_one_revision(client: EtcdClient) -> None:
    keys = [b"a/%04d" % number for number in range(1000)]
    for key in keys:
        last = await client.put(key, b"1")
    found: list[bytes] = []
    async with aclosing(client.pages(*span(b"a/"))) as pages:
        async for page in pages:
            assert page.revision == last
            found += [entry.key for entry in page.entries if entry.value == b"1"]
            await client.put(keys[-1], b"2")
    assert found == keys


async def test_pages_of_large_values_fit_into_messages(
    client: EtcdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together the values exceed the size of a message."""
    value = bytes(1_000_000)
    for number in range(80):
        await client.put(b"a/%02d" % number, value)
    async with aclosing(client.pages(*span(b"a/"))) as pages:
        sizes = [len(page.entries) async for page in pages]
    assert sum(sizes) == 80
    assert 80 * len(value) > endpoint.MAX_ANSWER_BYTES
    names = await client.range(*span(b"a/"), keys_only=True)
    assert (len(names.entries), names.entries[0].value) == (80, b"")


async def test_empty_range_is_one_empty_page(client: EtcdClient) -> None:
    async with aclosing(client.pages(*span(b"a/"))) as pages:
        assert [(page.entries, page.more) async for page in pages] == [((), False)]


async def test_range_at_compacted_or_future_revision_fails(client: EtcdClient) -> None:
    first = await client.put(b"a", b"1")
    last = await client.put(b"a", b"2")
    assert (await client.range(b"a", revision=first)).entries[0].value == b"1"
    await client.compact(last)
    for revision in (first, last + 1):
        with pytest.raises(Compacted):
            await client.range(b"a", revision=revision)


async def test_refusals_of_etcd_become_store_errors(client: EtcdClient) -> None:
    with pytest.raises(StoreLimit, match="max-request-bytes"):
        await client.put(b"a", bytes(2_000_000))
    with pytest.raises(LeaseNotFound) as caught:
        await client.put(b"a", b"", lease=7)
    assert caught.value.lease == 7


async def test_unreachable_etcd_error_names_endpoint_and_comes_at_once() -> None:
    """The error names each endpoint; after repeated failures it comes without a wait."""
    loop = asyncio.get_running_loop()
    async with EtcdClient(EtcdOptions(("127.0.0.1:1",), request=0.5)) as client:
        for _ in range(2):
            with pytest.raises(
                StoreUnavailable, match=r"127\.0\.0\.1:1.*Connection refused"
            ) as caught:
                await client.put(b"a", b"")
            assert not isinstance(caught.value, StoreUncertain)
        started = loop.time()
        with pytest.raises(StoreUnavailable):
            await client.put(b"a", b"")
        assert loop.time() - started < 0.5


async def test_unanswered_write_is_uncertain(client: EtcdClient, etcd: Etcd) -> None:
    """The error says that the write may have happened; that of a read doesn't."""
    async with (
        Proxy(etcd.members[0].endpoint) as proxy,
        EtcdClient(EtcdOptions((proxy.address,), request=1.0)) as far,
    ):
        await far.put(b"a", b"1")
        proxy.silence()
        with pytest.raises(StoreUncertain, match="may have happened or not"):
            await far.put(b"a", b"2")
        with pytest.raises(StoreUnavailable) as caught:
            await far.range(b"a")
        assert not isinstance(caught.value, StoreUncertain)
        proxy.forward()
        assert (await client.range(b"a")).entries[0].value in {b"1", b"2"}


async def test_two_clients_lose_no_update_over_restarts(home: Path, version: str) -> None:
    """Each client increments a counter 500 times, comparing the revision that it read."""

    async def count(store: EtcdStore) -> None:
        done = 0
        while done < 500:
            try:
                entry = await store.get(b"n")
                value, at = (int(entry.value), entry.mod_revision) if entry else (0, ABSENT)
                await store.put(b"n", b"%d" % (value + 1), expect=at)
                done += 1
            except Conflict:
                continue
            except StoreUncertain:
                uncertain.append(value)

    uncertain: list[int] = []
    async with (
        running(home, version) as etcd,
        EtcdStore(etcd.options()) as first,
        EtcdStore(etcd.options()) as second,
    ):
        tasks = [asyncio.create_task(count(store)) for store in (first, second)]
        for _ in range(2):
            await asyncio.sleep(0.3)
            await etcd.restart()
        await asyncio.gather(*tasks)
        entry = await first.get(b"n")
    assert entry
    # All acknowledged increments are present, plus at most the uncertain ones.
    assert 1000 <= int(entry.value) <= 1000 + len(uncertain)
    assert entry.version == int(entry.value)


async def test_closed_client_is_unavailable(etcd: Etcd) -> None:
    client = EtcdClient(etcd.options())
    await client.put(b"a", b"")
    await client.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await client.range(b"a")
