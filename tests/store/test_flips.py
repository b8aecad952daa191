"""One flipped bit in the files of a store: it is refused, or everything it serves is true.

The environment sets the number of bits: ``FLIPS=5000 make test PYTEST=tests/store/test_flips.py``.
"""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from musterd.kv import Compacted, Entry, EventBatch, PutOp, StoreCorrupt, StoreNewer
from musterd.store.embedded import EmbeddedOptions, EmbeddedStore
from tests.store.kit import everything, seeded, until

pytestmark = pytest.mark.slow
FLIPS = int(os.environ.get("FLIPS", "150"))
OPTIONS = EmbeddedOptions(history=150)
HEADER = 100
"""Bytes of SQLite's header, of which each is as important as a page."""
KEYS = 300
LEASES = 5


class Truth(NamedTuple):
    """Content of a store."""

    entries: dict[bytes, Entry]
    leases: dict[int, tuple[bytes, ...]]
    changes: list[EventBatch]
    revision: int


@pytest.fixture(params=["closed", "killed"])
async def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Truth]:
    """Return a folder with the files of a store that was closed or killed, and its content."""
    live, kept = tmp_path_factory.mktemp("live"), tmp_path_factory.mktemp("kept") / "files"
    store = await EmbeddedStore.open(live / "s.db", OPTIONS)
    # Some of the log is in the database already.
    store._db.execute("PRAGMA wal_autocheckpoint = 100")
    await _fill(store)
    if request.param == "closed":
        await store.close()
        store = await EmbeddedStore.open(live / "s.db", OPTIONS)
        await store.close()
        shutil.copytree(live, kept)
    else:
        shutil.copytree(live, kept)
        await store.close()
    shutil.copytree(kept, live / "copy")
    async with await EmbeddedStore.open(live / "copy" / "s.db", OPTIONS) as store:
        return kept, await _read(store)


async def _fill(store: EmbeddedStore) -> None:
    chance = seeded("flips")
    leases = [(await store.lease_grant(600)).id for _ in range(LEASES)]
    for number in range(KEYS):
        lease = chance.choice([0, *leases])
        value = chance.randbytes(chance.choice((10, 200, 9000 if number % 50 == 0 else 50)))
        await store.put(b"k/%05d" % number, value, lease=lease)
    for number in range(0, KEYS, 10):
        await store.delete(b"k/%05d" % number)
    await store.transaction((), [PutOp(b"m/%d" % number, b"") for number in range(20)])


async def _read(store: EmbeddedStore) -> Truth:
    entries = await everything(store)
    leases = {id_: (await store.lease_info(id_)).keys for id_ in store._leases._leases}
    revision = (await store.range(b"", limit=1)).revision
    oldest = store._hub.compacted + 1
    async with store.watch(b"", oldest) as watch:
        changes = await until(watch, revision)
    return Truth(entries, leases, changes, revision)


async def test_flipped_bit_never_makes_a_false_answer(
    stored: tuple[Path, Truth], tmp_path: Path
) -> None:
    kept, truth = stored
    chance = seeded("bits")
    weights = {".db": 10, ".db-wal": 10, ".acked": 1}
    files = [file for file in sorted(kept.iterdir()) if file.suffix in weights]
    refused = 0
    for turn in range(FLIPS):
        (file,) = chance.choices(files, [weights[file.suffix] for file in files])
        size = file.stat().st_size
        bit = chance.randrange(8 * (HEADER if turn % 5 == 0 and size > HEADER else size))
        folder = tmp_path / "damaged"
        shutil.copytree(kept, folder)
        flip(folder / file.name, bit)
        refused += await is_refused(folder / "s.db", truth, f"{file.name} bit {bit}")
        shutil.rmtree(folder)
    assert refused > FLIPS / 20


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


async def is_refused(path: Path, truth: Truth, where: str) -> bool:
    try:
        store = await EmbeddedStore.open(path, OPTIONS)
    except (StoreCorrupt, StoreNewer):
        return True
    async with store:
        assert await everything(store) == truth.entries, where
        for lease, keys in truth.leases.items():
            assert (await store.lease_info(lease)).keys == keys, where
        for key, entry in truth.entries.items():
            assert await store.get(key) == entry, where
        await _check_changes(store, truth, where)
        # What is written now stays true too.
        after = {b"n/%d" % number: b"x" * 300 for number in range(30)}
        puts = [PutOp(key, value) for key, value in after.items()]
        assert (await store.transaction((), puts)).revision > truth.revision, where
    async with await EmbeddedStore.open(path, OPTIONS) as store:
        found = await everything(store)
        assert {key: found.pop(key).value for key in after} == after, where
        assert found == truth.entries, where
    return False


async def _check_changes(store: EmbeddedStore, truth: Truth, where: str) -> None:
    """Check that the log is true as far as it can be read."""
    oldest = truth.changes[0].revision
    try:
        async with store.watch(b"", oldest) as watch:
            assert await until(watch, truth.revision) == truth.changes, where
    except Compacted:
        pass
    try:
        past = await store.history(b"", limit=1000)
    except StoreCorrupt:
        return
    assert list(past.batches) == truth.changes[::-1], where
