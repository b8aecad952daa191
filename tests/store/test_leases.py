"""The contract: leases and their keys."""

import asyncio

import pytest

from musterd.kv import EventKind, LeaseNotFound, PutOp, Store, StoreLimit
from tests.store.backends import Backend
from tests.store.kit import everything, revision, take


async def test_keys_expire_with_their_lease_in_one_transaction(backend: Backend) -> None:
    store = backend.store
    lease = await store.lease_grant(backend.short_ttl)
    other = await store.lease_grant(600)
    async with store.watch(b"") as watch:
        await store.transaction((), [PutOp(b"%d" % n, b"v", lease.id) for n in range(10)])
        await store.put(b"other", b"", lease=other.id)
        last = await store.put(b"free", b"")
        await backend.elapse(1.6 * backend.short_ttl)
        *_, expired = await take(watch, 4)
    assert expired.revision == last + 1
    assert {event.kind for event in expired.events} == {EventKind.EXPIRED}
    assert sorted(event.key for event in expired.events) == [b"%d" % n for n in range(10)]
    assert {event.previous.lease for event in expired.events if event.previous} == {lease.id}
    assert {*await everything(store)} == {b"free", b"other"}
    for call in (store.lease_keepalive, store.lease_revoke, store.lease_info):
        with pytest.raises(LeaseNotFound) as caught:
            await call(lease.id)
        assert caught.value.lease == lease.id
    with pytest.raises(LeaseNotFound):
        await store.put(b"a", b"", lease=lease.id)


async def test_renewed_lease_stays(backend: Backend) -> None:
    store = backend.store
    ttl = backend.short_ttl
    lease = await store.lease_grant(ttl)
    await store.put(b"a", b"", lease=lease.id)
    for _ in range(5):
        await backend.elapse(0.6 * ttl)
        renewed = await store.lease_keepalive(lease.id)
        assert (renewed.id, renewed.ttl) == (lease.id, ttl)
        assert renewed.remaining > 0.6 * ttl
    async with store.watch(b"") as watch:
        await backend.elapse(1.6 * ttl)
        await take(watch, 1)
    assert await store.get(b"a") is None


async def test_lease_info_has_ttl_remaining_time_and_keys(backend: Backend) -> None:
    store = backend.store
    lease = await store.lease_grant(100)
    assert lease.id > 0
    assert lease.ttl == 100
    assert 99 <= lease.remaining <= 100
    for key in (b"b", b"a", b"\xff"):
        await store.put(key, b"", lease=lease.id)
    await backend.elapse(2)
    info = await store.lease_info(lease.id)
    assert info.ttl == 100
    assert 95 <= info.remaining <= 98
    assert sorted(info.keys) == [b"a", b"b", b"\xff"]
    await store.put(b"a", b"")
    await store.delete(b"b")
    assert (await store.lease_info(lease.id)).keys == (b"\xff",)


async def test_key_belongs_to_its_last_lease(store: Store) -> None:
    leases = [(await store.lease_grant(60)).id for _ in range(3)]
    for lease in leases:
        await store.put(b"a", b"", lease=lease)
    await store.put(b"b", b"", lease=leases[0])
    await store.put(b"b", b"")
    await store.lease_revoke(leases[0])
    await store.lease_revoke(leases[1])
    assert {*await everything(store)} == {b"a", b"b"}
    await store.lease_revoke(leases[2])
    assert {*await everything(store)} == {b"b"}


async def test_revoking_lease_deletes_its_keys(store: Store) -> None:
    lease = await store.lease_grant(60)
    empty = await store.lease_grant(60)
    at = await store.put(b"a", b"1", lease=lease.id)
    assert await store.lease_revoke(empty.id) == at
    async with store.watch(b"") as watch:
        assert await store.lease_revoke(lease.id) == at + 1
        (gone,) = await take(watch, 1)
    assert gone.events[0][:3] == (EventKind.EXPIRED, b"a", None)
    for each in (lease, empty):
        with pytest.raises(LeaseNotFound):
            await store.lease_keepalive(each.id)


@pytest.mark.parametrize("lease", [1, -1, 0, 1 << 62, 1 << 70])
async def test_unknown_lease_is_not_found(store: Store, lease: int) -> None:
    for call in (store.lease_keepalive, store.lease_revoke, store.lease_info):
        with pytest.raises(LeaseNotFound):
            await call(lease)


async def test_lease_ttl_is_limited(store: Store) -> None:
    for ttl in (0, -1, store.limits.ttl + 1):
        with pytest.raises(StoreLimit):
            await store.lease_grant(ttl)
    assert (await store.lease_grant(store.limits.ttl)).ttl == store.limits.ttl


async def test_lease_can_have_a_given_id(store: Store) -> None:
    lease = await store.lease_grant(60, 0x1234567890ABCDEF)
    assert (lease.id, lease.ttl) == (0x1234567890ABCDEF, 60)
    for taken in (lease.id, -1, 1 << 63):
        with pytest.raises(StoreLimit):
            await store.lease_grant(60, taken)
    await store.lease_revoke(lease.id)
    assert (await store.lease_grant(60, lease.id)).id == lease.id
    await store.lease_revoke(lease.id)


async def test_leases_expiring_together_have_own_revisions(backend: Backend) -> None:
    store = backend.store
    leases = await asyncio.gather(*(store.lease_grant(2 * backend.short_ttl) for _ in range(250)))
    assert len({lease.id for lease in leases}) == 250
    await asyncio.gather(
        *(store.put(b"%d" % n, b"", lease=lease.id) for n, lease in enumerate(leases))
    )
    at = await revision(store)
    async with store.watch(b"") as watch:
        await backend.elapse(3 * backend.short_ttl)
        batches = await take(watch, 250)
    assert [batch.revision for batch in batches] == list(range(at + 1, at + 251))
    assert await everything(store) == {}


async def test_restart_gives_leases_their_whole_ttl(backend: Backend) -> None:
    ttl = 3 * backend.short_ttl
    lease = await backend.store.lease_grant(ttl)
    await backend.store.put(b"a", b"", lease=lease.id)
    await backend.elapse(0.6 * ttl)
    await backend.restart()
    # etcd reports whole seconds, rounded down.
    assert (await backend.store.lease_info(lease.id)).remaining >= ttl - 1
    await backend.elapse(0.6 * ttl)
    assert await backend.store.get(b"a")
    async with backend.store.watch(b"") as watch:
        await backend.elapse(ttl)
        (gone,) = await take(watch, 1)
    assert gone.events[0][:3] == (EventKind.EXPIRED, b"a", None)
    with pytest.raises(LeaseNotFound):
        await backend.store.lease_keepalive(lease.id)
