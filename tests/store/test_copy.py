"""Copies between stores of any kind, interrupted and resumed."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from musterd.kv import Compare, Operation, PutOp, Result, Store, StoreError, StoreUnavailable
from musterd.registry.keys import RECORDS, ROOT
from musterd.store.copy import Keys, NotEmpty, copy
from musterd.store.embedded import EmbeddedStore
from tests.store.backends import Backend
from tests.store.kit import everything, put_all

KEYS = 1000
ALL = Keys(ROOT, RECORDS)


def no_progress(done: int, total: int) -> None:
    assert done <= total


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    async with await EmbeddedStore.open(tmp_path / "source.db") as store:
        await store.put(b"/other", b"not ours")
        await put_all(store, [PutOp(RECORDS + b"%04d" % n, b"v%d" % n) for n in range(KEYS)])
        for ttl in (60, 600):
            lease = await store.lease_grant(ttl)
            for number in range(5):
                key = ROOT + b"leased/%d/%d" % (ttl, number)
                await store.put(key, b"x", lease=lease.id)
        yield store


async def values_and_ttls(store: Store) -> dict[bytes, tuple[bytes, int]]:
    """Return the value of each key and the TTL of its lease, 0 without one."""
    found: dict[bytes, tuple[bytes, int]] = {}
    for key, entry in (await everything(store, ROOT)).items():
        ttl = (await store.lease_info(entry.lease)).ttl if entry.lease else 0
        found[key] = entry.value, ttl
    return found


async def test_copy_to_another_store_and_back_keeps_all(
    source: EmbeddedStore, backend: Backend, tmp_path: Path
) -> None:
    copied = await copy(source, backend.store, no_progress, ALL, overwrite=False)
    assert (copied.records.missing, copied.records.same, len(copied.leases)) == (KEYS, 0, 2)
    assert copied.others.written == 10
    assert await values_and_ttls(backend.store) == await values_and_ttls(source)
    assert {*copied.leases} == {e.lease for e in (await everything(source, ROOT)).values()} - {0}
    assert await backend.store.get(b"/other") is None
    async with await EmbeddedStore.open(tmp_path / "back.db") as back:
        await copy(backend.store, back, no_progress, ALL, overwrite=False)
        assert await values_and_ttls(back) == await values_and_ttls(source)
    again = await copy(source, backend.store, no_progress, ALL, overwrite=False)
    assert (again.records.written, again.records.same, again.others.same) == (0, KEYS, 10)


async def test_stopped_copy_resumes(source: EmbeddedStore, backend: Backend) -> None:
    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise StoreUnavailable("stopped")

    with pytest.raises(StoreUnavailable, match="stopped"):
        await copy(source, backend.store, stop, ALL, overwrite=False)
    before = len(await everything(backend.store, ROOT))
    copied = await copy(source, backend.store, no_progress, ALL, overwrite=False)
    assert copied.records.same + copied.others.same == before
    assert await values_and_ttls(backend.store) == await values_and_ttls(source)


@pytest.mark.parametrize("expired_in_source", [False, True])
async def test_lease_that_expires_during_copy_is_granted_again(
    source: EmbeddedStore,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
    expired_in_source: bool,
) -> None:
    """Keys of a lease that expired in the source too are left out."""
    target, write = backend.store, backend.store.transaction
    wanted = await values_and_ttls(source)
    revoked: set[int] = set()

    async def transaction_after_expiry(
        compares: Sequence[Compare], steps: Sequence[Operation]
    ) -> Result:
        for lease in {step.lease for step in steps if isinstance(step, PutOp)} - {0} - revoked:
            revoked.add(lease)
            await target.lease_revoke(lease)
            if expired_in_source:
                await source.lease_revoke(lease)
        return await write(compares, steps)

    monkeypatch.setattr(target, "transaction", transaction_after_expiry)
    copied = await copy(source, target, no_progress, ALL, overwrite=False)
    assert len(revoked) == 2
    assert copied.others.expired == (10 if expired_in_source else 0)
    assert await values_and_ttls(target) == (
        await values_and_ttls(source) if expired_in_source else wanted
    )


async def test_copy_to_used_target_needs_overwrite(source: EmbeddedStore, backend: Backend) -> None:
    await backend.store.put(RECORDS + b"0001", b"another")
    await backend.store.put(RECORDS + b"more", b"1")
    with pytest.raises(NotEmpty, match=r"that the source lacks \(1\) or that differ \(1\)"):
        await copy(source, backend.store, no_progress, ALL, overwrite=False)
    assert len(await everything(backend.store, ROOT)) == 2
    copied = await copy(source, backend.store, no_progress, ALL, overwrite=True)
    counts = copied.records
    assert (counts.different, counts.extra, counts.missing) == (1, 1, KEYS - 1)
    assert await values_and_ttls(backend.store) == await values_and_ttls(source)


async def test_copy_refuses_source_without_registry(backend: Backend, tmp_path: Path) -> None:
    await backend.store.put(RECORDS + b"0001", b"kept")
    async with await EmbeddedStore.open(tmp_path / "empty.db") as empty:
        await empty.put(b"/other", b"not ours")
        with pytest.raises(StoreError, match="has no registry: nothing was written"):
            await copy(empty, backend.store, no_progress, ALL, overwrite=True)
    assert len(await everything(backend.store, ROOT)) == 1


async def test_copy_refuses_source_as_target(source: EmbeddedStore, backend: Backend) -> None:
    for origin, target in ((source, source), (backend.store, await backend.second_client())):
        with pytest.raises(StoreError, match="the same store"):
            await copy(origin, target, no_progress, ALL, overwrite=True)
    assert len(await everything(source, ROOT)) == KEYS + 10
