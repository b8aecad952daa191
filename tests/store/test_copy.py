"""One store into another, of any kind, stopped and started again."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from musterd.kv import Compare, Operation, PutOp, Result, Store, StoreError, StoreUnavailable
from musterd.registry.keys import ROOT
from musterd.store.copy import NotEmpty, copy
from musterd.store.embedded import Embedded
from tests.store.backends import Backend
from tests.store.kit import everything, put_all

KEYS = 1000


def silent(done: int, total: int) -> None:
    assert done <= total


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[Embedded]:
    async with await Embedded.open(tmp_path / "source.db") as store:
        await store.put(b"/other", b"not ours")
        await put_all(store, [PutOp(ROOT + b"%04d" % n, b"v%d" % n) for n in range(KEYS)])
        for ttl in (60, 600):
            lease = await store.lease_grant(ttl)
            for number in range(5):
                key = ROOT + b"leased/%d/%d" % (ttl, number)
                await store.put(key, b"x", lease=lease.id)
        yield store


async def kept(store: Store) -> dict[bytes, tuple[bytes, int]]:
    """The value of each key, and the TTL of its lease."""
    found: dict[bytes, tuple[bytes, int]] = {}
    for key, entry in (await everything(store, ROOT)).items():
        ttl = (await store.lease_info(entry.lease)).ttl if entry.lease else 0
        found[key] = entry.value, ttl
    return found


async def test_there_and_back(source: Embedded, backend: Backend, tmp_path: Path) -> None:
    copied = await copy(source, backend.store, silent, overwrite=False)
    assert (copied.missing, copied.same, len(copied.leases)) == (KEYS + 10, 0, 2)
    assert await kept(backend.store) == await kept(source)
    assert {*copied.leases} == {e.lease for e in (await everything(source, ROOT)).values()} - {0}
    assert await backend.store.get(b"/other") is None
    async with await Embedded.open(tmp_path / "back.db") as back:
        await copy(backend.store, back, silent, overwrite=False)
        assert await kept(back) == await kept(source)
    again = await copy(source, backend.store, silent, overwrite=False)
    assert (again.missing, again.same) == (0, KEYS + 10)


async def test_one_that_was_stopped_goes_on(source: Embedded, backend: Backend) -> None:
    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise StoreUnavailable("stopped")

    with pytest.raises(StoreUnavailable, match="stopped"):
        await copy(source, backend.store, stop, overwrite=False)
    before = len(await everything(backend.store, ROOT))
    copied = await copy(source, backend.store, silent, overwrite=False)
    assert copied.same == before
    assert await kept(backend.store) == await kept(source)


@pytest.mark.parametrize("ended", [False, True])
async def test_a_lease_that_ends_in_a_long_copy(
    source: Embedded, backend: Backend, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    """It is granted again in the target, unless it ended in the source too."""
    target, write = backend.store, backend.store.transaction
    wanted = await kept(source)
    gone: set[int] = set()

    async def late(compares: Sequence[Compare], steps: Sequence[Operation]) -> Result:
        for lease in {step.lease for step in steps if isinstance(step, PutOp)} - {0} - gone:
            gone.add(lease)
            await target.lease_revoke(lease)
            if ended:
                await source.lease_revoke(lease)
        return await write(compares, steps)

    monkeypatch.setattr(target, "transaction", late)
    copied = await copy(source, target, silent, overwrite=False)
    assert len(gone) == 2
    assert copied.expired == (10 if ended else 0)
    assert await kept(target) == (await kept(source) if ended else wanted)


async def test_a_target_that_is_in_use(source: Embedded, backend: Backend) -> None:
    await backend.store.put(ROOT + b"0001", b"another")
    await backend.store.put(ROOT + b"more", b"1")
    with pytest.raises(NotEmpty, match="1 keys that the source has not, and 1 that differ"):
        await copy(source, backend.store, silent, overwrite=False)
    assert len(await everything(backend.store, ROOT)) == 2
    copied = await copy(source, backend.store, silent, overwrite=True)
    assert (copied.different, copied.extra, copied.missing) == (1, 1, KEYS + 9)
    assert await kept(backend.store) == await kept(source)


async def test_a_source_without_a_registry(backend: Backend, tmp_path: Path) -> None:
    await backend.store.put(ROOT + b"0001", b"kept")
    async with await Embedded.open(tmp_path / "empty.db") as empty:
        await empty.put(b"/other", b"not ours")
        with pytest.raises(StoreError, match="holds no registry: nothing was written"):
            await copy(empty, backend.store, silent, overwrite=True)
    assert len(await everything(backend.store, ROOT)) == 1


async def test_never_onto_itself(source: Embedded, backend: Backend) -> None:
    for one, other in ((source, source), (backend.store, await backend.another())):
        with pytest.raises(StoreError, match="the same store"):
            await copy(one, other, silent, overwrite=True)
    assert len(await everything(source, ROOT)) == KEYS + 10
