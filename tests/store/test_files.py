"""The embedded store notices when its files are removed, replaced or changed while it is open."""

import asyncio
import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from musterd.kv import PutOp, StoreCorrupt, StoreUnavailable
from musterd.store.embedded import EmbeddedStore
from tests.store.kit import everything

pytestmark = pytest.mark.slow


async def fill(path: Path) -> None:
    async with await EmbeddedStore.open(path) as store:
        await store.transaction((), [PutOp(b"%03d" % number, bytes(200)) for number in range(500)])


async def problem(store: EmbeddedStore, word: str) -> str:
    """Wait until a store has a problem, without a write."""
    async with asyncio.timeout(5):
        while word not in str(store.problem):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return str(store.problem)


async def test_write_fails_while_file_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with await EmbeddedStore.open(path) as store:
        await store.put(b"a", b"1")
        path.rename(tmp_path / "moved.db")
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="was removed or replaced"):
                await store.put(b"a", b"2")
        assert "was removed or replaced" in str(store.problem)
        (tmp_path / "moved.db").rename(path)
        await store.put(b"a", b"2")
        assert store.problem is None


async def test_problem_ends_without_a_write_when_file_is_back(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with await EmbeddedStore.open(path) as store:
        path.rename(tmp_path / "moved.db")
        await problem(store, "removed")
        (tmp_path / "moved.db").rename(path)
        await problem(store, "None")


def put_another_in_its_place(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"")


@pytest.mark.parametrize("remove", [Path.unlink, put_another_in_its_place])
async def test_removed_file_is_noticed_and_saved(
    tmp_path: Path, remove: Callable[[Path], object]
) -> None:
    path, saved = tmp_path / "s.db", tmp_path / "s.db.saved"
    await fill(path)
    async with await EmbeddedStore.open(path) as store:
        await store.put(b"a", b"1")
        remove(path)
        assert f"stop musterd, and put {saved} in the place of s.db" in await problem(
            store, "removed"
        )
        content = await everything(store)
    with pytest.raises(StoreCorrupt, match=r"acknowledged writes are missing: it is empty or was"):
        await EmbeddedStore.open(path)
    assert saved.stat().st_mode & 0o777 == 0o600
    saved.replace(path)
    async with await EmbeddedStore.open(path) as store:
        assert await everything(store) == content


async def test_removed_file_that_cannot_be_saved_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await fill(path)
    async with await EmbeddedStore.open(path) as store:
        (tmp_path / "s.db.saved").mkdir()
        path.unlink()
        assert "export the zones before you stop musterd" in await problem(store, "removed")


async def test_removed_log_is_noticed_and_its_writes_are_kept_by_a_stop(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await fill(path)
    async with await EmbeddedStore.open(path) as store:
        await store.put(b"a", b"1")
        path.with_name("s.db-wal").unlink()
        assert "stop musterd with SIGTERM" in await problem(store, "s.db-wal")
        with pytest.raises(StoreUnavailable, match="was removed or replaced"):
            await store.put(b"a", b"2")
    async with await EmbeddedStore.open(path) as store:
        found = await store.get(b"a")
        assert found
        assert found.value == b"1"


@pytest.mark.parametrize("left", [0, 31, 100, -1])
async def test_truncated_log_is_no_longer_written_and_its_content_is_saved(
    tmp_path: Path, left: int
) -> None:
    path, wal, saved = (tmp_path / name for name in ("s.db", "s.db-wal", "s.db.saved"))
    async with await EmbeddedStore.open(path) as store:
        await store.put(b"a", b"1")
        content = await everything(store)
        os.truncate(wal, left if left >= 0 else wal.stat().st_size + left)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"s\.db-wal: was truncated by another"):
                await store.put(b"a", b"2")
        assert "was truncated by another program" in str(store.problem)
        assert f"put {saved} in the place of s.db" in str(store.problem)
        killed = copy(tmp_path, tmp_path / "killed")
    with pytest.raises(StoreCorrupt, match="acknowledged writes are missing"):
        await EmbeddedStore.open(killed)
    wal.unlink(missing_ok=True)
    saved.replace(path)
    async with await EmbeddedStore.open(path) as store:
        assert await everything(store) == content


async def test_truncated_log_is_noticed_without_a_write(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with await EmbeddedStore.open(path) as store:
        await store.put(b"a", b"1")
        os.truncate(tmp_path / "s.db-wal", 0)
        await problem(store, "truncated")


async def test_log_that_sqlite_truncates_is_no_problem(tmp_path: Path) -> None:
    path, wal = tmp_path / "s.db", tmp_path / "s.db-wal"
    async with await EmbeddedStore.open(path) as store:
        sizes = []
        for _ in range(24):
            await store.transaction(
                (), [PutOp(b"%d" % place, bytes(60_000)) for place in range(17)]
            )
            sizes.append(wal.stat().st_size)
        await store.put(b"a", b"1")
        assert store.problem is None
    assert any(after < before for before, after in pairwise(sizes)), sizes


def copy(folder: Path, to: Path, *without: str) -> Path:
    """Copy the files of an open store, as a kill leaves them."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*-shm", *without))
    return to / "s.db"


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files that have data."""
    files = (file for file in folder.iterdir() if file.suffix not in {".db-shm", ".lock"})
    return {file.name: file.read_bytes() for file in files if file.stat().st_size}


@pytest.mark.parametrize("without", ["s.db-wal", "s.db"])
async def test_acknowledged_writes_that_are_gone_after_a_kill_are_reported(
    tmp_path: Path, without: str
) -> None:
    live = tmp_path / "live"
    await fill(live / "s.db")
    async with await EmbeddedStore.open(live / "s.db") as store:
        lease = await store.lease_grant(600)
        revision = await store.put(b"a", b"1")
        whole = copy(live, tmp_path / "whole")
        path = copy(live, tmp_path / "without", without)
    before = contents(path.parent)
    expected = (
        rf"s\.db: acknowledged writes are missing: .*revision {revision} .*remove s\.db\.acked"
    )
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match=expected):
            await EmbeddedStore.open(path)
    assert contents(path.parent) == before
    async with await EmbeddedStore.open(whole) as store:
        assert await store.get(b"a")
        assert await store.lease_info(lease.id)
    if without == "s.db-wal":
        path.with_name("s.db.acked").unlink()
        async with await EmbeddedStore.open(path) as store:
            assert len(await everything(store)) == 500


async def test_lease_that_is_gone_after_a_kill_is_reported(tmp_path: Path) -> None:
    """A lease has no revision of its own."""
    live = tmp_path / "live"
    await fill(live / "s.db")
    async with await EmbeddedStore.open(live / "s.db") as store:
        await store.lease_grant(600)
        path = copy(live, tmp_path / "without", "s.db-wal")
    with pytest.raises(StoreCorrupt, match="1 more commits"):
        await EmbeddedStore.open(path)


@pytest.mark.parametrize("content", [b"", b"9 9 00000000\n", b"\0" * 40, b"\xff", b"1 1"])
async def test_damaged_note_of_the_last_commit_is_ignored(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.db"
    await fill(path)
    (tmp_path / "s.db.acked").write_bytes(content)
    async with await EmbeddedStore.open(path) as store:
        assert len(await everything(store)) == 500
        await store.put(b"a", b"1")
    assert (tmp_path / "s.db.acked").read_bytes().startswith(b"2 3 ")


@pytest.mark.parametrize("change", ["truncated", "overwritten"])
async def test_file_that_another_program_changes_is_no_longer_written(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "s.db"
    await fill(path)
    older = path.read_bytes()
    async with await EmbeddedStore.open(path) as store:
        await store.put(b"000", b"1")
        if change == "truncated":
            os.truncate(path, 8192)
        else:
            path.write_bytes(older)
        assert "was changed by another program" in await problem(store, "changed")
        with pytest.raises(StoreUnavailable, match="was changed by another program"):
            await store.put(b"000", b"2")
