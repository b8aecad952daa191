"""The embedded store refuses unusable files with a clear error and never writes to them."""

import asyncio
import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from musterd.kv import (
    Entry,
    PutOp,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreNewer,
    StoreUnavailable,
)
from musterd.store.embedded import Embedded, EmbeddedOptions
from tests.store.kit import everything

HOLD = """
import asyncio, pathlib, sys
from musterd.store.embedded import Embedded
async def main():
    async with await Embedded.open(pathlib.Path(sys.argv[1])):
        print("open", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


async def fill(path: Path) -> None:
    async with await Embedded.open(path) as store:
        for start in range(0, 5000, 1000):
            steps = [PutOp(b"%05d" % (start + n), bytes(200)) for n in range(1000)]
            await store.transaction((), steps)


def overwrite(path: Path, start: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


def replace_with_foreign_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (a)")


def damage_table_pages(path: Path) -> None:
    overwrite(path, 4096 * 100, b"\xa5" * 4096 * 50)


DAMAGE: list[tuple[str, Callable[[Path], object]]] = [
    ("text", lambda path: path.write_text("a file of someone else\n" * 1000)),
    ("header", lambda path: overwrite(path, 0, bytes(100))),
    ("schema", lambda path: overwrite(path, 100, b"\xff" * 4000)),
    ("pages", damage_table_pages),
    ("cut off", lambda path: os.truncate(path, 200_000)),
    ("other program", replace_with_foreign_database),
]


@pytest.mark.parametrize("damage", [case[1] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
async def test_damaged_file_is_refused_and_left_unchanged(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    path = tmp_path / "s.db"
    await fill(path)
    damage(path)
    before = digest(path)
    with pytest.raises(StoreCorrupt, match=r"s\.db: damaged, or not a musterd store: .*backup"):
        await Embedded.open(path)
    assert digest(path) == before


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_damage_while_open_fails_only_affected_reads(tmp_path: Path) -> None:
    """An unreadable key is an error, not an absent key; intact keys are still read."""
    path = tmp_path / "s.db"
    await fill(path)
    async with await Embedded.open(path) as store:
        damage_table_pages(path)
        with pytest.raises(StoreCorrupt):
            await everything(store)
        for ask in (store.get, lambda key: store.put(key, b"")):
            asked = [ask(b"%05d" % number) for number in range(0, 5000, 10)]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} <= {Entry, int, StoreCorrupt}
            assert StoreCorrupt in {type(outcome) for outcome in outcomes}
        assert await store.get(b"00000")


async def test_check_at_open_stops_after_its_time_limit(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await fill(path)
    async with await Embedded.open(path, EmbeddedOptions(check_time=0.0)) as store:
        assert len(await everything(store)) == 5000


@pytest.mark.parametrize("hot", [True, False], ids=["with a log to recover", "closed"])
async def test_newer_store_is_refused_and_left_unchanged(tmp_path: Path, hot: bool) -> None:
    path = tmp_path / "s.db"
    await fill(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 2")
    if hot:
        path = copy(path, tmp_path / "copy.db")
    db.close()
    before = [digest(file) for file in database_files(path)]
    assert len(before) == 1 + hot
    with pytest.raises(StoreNewer, match="layout 2, this one reads up to 1"):
        await Embedded.open(path)
    assert [digest(file) for file in database_files(path)] == before


def database_files(path: Path) -> list[Path]:
    """Return the database, and its write-ahead log unless that is empty."""
    files = (path, path.with_name(path.name + "-wal"))
    return [file for file in files if file.exists() and file.stat().st_size]


def copy(path: Path, to: Path) -> Path:
    for file in database_files(path):
        to.with_name(to.name + file.name.removeprefix(path.name)).write_bytes(file.read_bytes())
    return to


async def test_store_open_in_another_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin
    assert holder.stdout
    assert await holder.stdout.readline() == b"open\n"
    for _ in range(2):
        with pytest.raises(StoreLocked, match=rf"s\.db\.lock: process {holder.pid} uses this"):
            await Embedded.open(path)
    holder.stdin.close()
    assert await holder.wait() == 0
    async with await Embedded.open(path) as store:
        with pytest.raises(StoreLocked, match=f"process {os.getpid()} "):
            await Embedded.open(path)
        await store.put(b"a", b"")


async def test_write_fails_while_another_program_locks_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.store.embedded.database._BUSY_SECONDS", 0.01)
    path = tmp_path / "s.db"
    async with await Embedded.open(path) as store:
        at = await store.put(b"a", b"1")
        shell = sqlite3.connect(path, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLocked, match="another program"):
            await store.put(b"a", b"2")
        entry = await store.get(b"a")
        assert entry
        assert entry.value == b"1"
        shell.execute("ROLLBACK")
        shell.close()
        assert await store.put(b"a", b"2") == at + 1


async def test_write_fails_while_file_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with await Embedded.open(path) as store:
        await store.put(b"a", b"1")
        path.rename(tmp_path / "moved.db")
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="was removed or replaced"):
                await store.put(b"a", b"2")
        (tmp_path / "moved.db").rename(path)
        await store.put(b"a", b"2")


@pytest.mark.parametrize("where", ["file/s.db", "folder"])
async def test_open_fails_where_no_file_can_be_created(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreUnavailable, match=where):
        await Embedded.open(tmp_path / where)


async def test_failed_open_releases_lock(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"no database, but quite long enough to be read as one" * 100)
    for _ in range(2):
        with pytest.raises(StoreError, match="damaged, or not"):
            await Embedded.open(path)
    path.unlink()
    async with await Embedded.open(path) as store:
        await store.put(b"a", b"")
