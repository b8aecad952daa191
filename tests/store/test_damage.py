"""The embedded store refuses unusable files with a clear error and never writes to them."""

import asyncio
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from musterd.kv import (
    Compacted,
    Compare,
    Entry,
    Is,
    PutOp,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreNewer,
    StoreUnavailable,
)
from musterd.store.embedded import EmbeddedOptions, EmbeddedStore
from tests.store.conftest import OpenEmbedded
from tests.store.kit import everything, take

HOLD = """
import asyncio, pathlib, sys
from musterd.store.embedded import EmbeddedStore, EmbeddedOptions
async def main():
    async with await EmbeddedStore.open(pathlib.Path(sys.argv[1])):
        print("open", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


async def fill(path: Path) -> None:
    async with await EmbeddedStore.open(path) as store:
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
        await EmbeddedStore.open(path)
    assert digest(path) == before


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("file", ["s.db-wal", "s.db.acked"])
async def test_files_of_a_killed_store_that_are_cut_off(tmp_path: Path, file: str) -> None:
    """Every acknowledged write is there, or the store is refused; the note may be missing."""
    live = tmp_path / "live"
    async with await EmbeddedStore.open(live / "s.db") as store:
        for number in range(20):
            await store.put(b"%d" % number, bytes(100))
        shutil.copytree(live, tmp_path / "kept")
    size = (tmp_path / "kept" / file).stat().st_size
    for cut in range(0, size + 1, max(1, size // 25)):
        folder = tmp_path / f"cut-{cut}"
        shutil.copytree(tmp_path / "kept", folder)
        os.truncate(folder / file, cut)
        try:
            async with await EmbeddedStore.open(folder / "s.db") as store:
                assert len(await everything(store)) == 20
        except StoreCorrupt:
            assert file == "s.db-wal"


async def test_damage_while_open_fails_only_affected_reads(tmp_path: Path) -> None:
    """An unreadable key is an error, not an absent key; intact keys are still read."""
    path = tmp_path / "s.db"
    await fill(path)
    async with await EmbeddedStore.open(path) as store:
        assert store.problem is None
        damage_table_pages(path)
        with pytest.raises(StoreCorrupt):
            await everything(store)
        keys = [b"%05d" % number for number in range(0, 5000, 10)]
        outcomes = await asyncio.gather(*map(store.get, keys), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Entry, StoreCorrupt}
        assert await store.get(b"00000")
        assert "damaged" in str(store.problem)
        with pytest.raises(StoreUnavailable, match="changed by another program"):
            await store.put(b"00000", b"")


@pytest.mark.parametrize("way", ["get", "range", "scan", "put", "delete", "none since", "lease"])
async def test_row_that_changed_on_disk_is_an_error_wherever_it_is_read(
    tmp_path: Path, way: str
) -> None:
    path = tmp_path / "s.db"
    async with await EmbeddedStore.open(path) as store:
        lease = await store.lease_grant(600)
        await store.put(b"a", b"10.0.0.1", lease=lease.id)
        await store.put(b"b", b"10.0.0.1")
        # With the writer's own connection, as if the page had changed.
        store._db.execute("UPDATE kv SET value = ? WHERE key = ?", (b"30.0.0.1", b"a"))
        compare = Compare(b"a", Is.NONE_SINCE, 0)
        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "get": lambda: store.get(b"a"),
            "range": lambda: store.range(b"a"),
            "scan": lambda: everything(store),
            "put": lambda: store.put(b"a", b"x"),
            "delete": lambda: store.delete(b"a"),
            "none since": lambda: store.transaction((compare,), (PutOp(b"c", b""),)),
            "lease": lambda: store.lease_revoke(lease.id),
        }
        with pytest.raises(StoreCorrupt, match=r"s\.db: damaged.* key b'a'.* restore it"):
            await asked[way]()
        assert "key b'a'" in str(store.problem)
        assert await store.put(b"b", b"y")
        found = await store.get(b"b")
        assert found
        assert found.value == b"y"
    with pytest.raises(StoreCorrupt, match="key b'a'"):
        await EmbeddedStore.open(path)


async def test_lease_with_a_damaged_row_does_not_keep_others_from_ending(
    open_embedded: OpenEmbedded,
) -> None:
    backend = await open_embedded(EmbeddedOptions())
    store = backend.store
    for name in (b"a", b"b", b"c"):
        lease = await store.lease_grant(5)
        await store.put(name, b"1", lease=lease.id)
    store._db.execute("UPDATE kv SET value = ? WHERE key = ?", (b"2", b"b"))
    async with store.watch(b"") as watch:
        await backend.elapse(6)
        events = [event for batch in await take(watch, 2) for event in batch.events]
    assert sorted(event.key for event in events) == [b"a", b"c"]
    assert "key b'b'" in str(store.problem)


@pytest.mark.parametrize("table", ["kv", "lease", "meta"])
async def test_missing_row_is_noticed_at_the_next_open(tmp_path: Path, table: str) -> None:
    path = tmp_path / "s.db"
    async with await EmbeddedStore.open(path) as store:
        await store.lease_grant(600)
        await store.put(b"a", b"")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"DELETE FROM {table}")  # noqa: S608
    with pytest.raises(StoreCorrupt, match=r"missing|the revision has changed"):
        await EmbeddedStore.open(path)


async def test_damaged_change_in_history_makes_a_watch_list_again(tmp_path: Path) -> None:
    async with await EmbeddedStore.open(tmp_path / "s.db") as store:
        first = await store.put(b"a", b"1")
        await store.put(b"b", b"2")
        store._db.execute("UPDATE event SET value = ? WHERE key = ?", (b"9", b"a"))
        # A watch of another key too, as the damaged one could have been this.
        async with store.watch(b"b", first) as watch:
            with pytest.raises(Compacted):
                await anext(watch)
        with pytest.raises(StoreCorrupt, match="history of the key b'a'"):
            await store.history(b"")
        assert len((await store.history(b"b")).batches) == 1
        store._db.execute("DELETE FROM event WHERE key = ?", (b"a",))
        async with store.watch(b"", first) as watch:
            with pytest.raises(Compacted):
                await anext(watch)
        with pytest.raises(StoreCorrupt, match="changes are missing in the history"):
            await store.history(b"b")


@pytest.mark.parametrize("hot", [True, False], ids=["with a log to recover", "closed"])
async def test_newer_store_is_refused_and_left_unchanged(tmp_path: Path, hot: bool) -> None:
    path = tmp_path / "s.db"
    await fill(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 3")
    if hot:
        path = copy(path, tmp_path / "copy.db")
    db.close()
    before = [digest(file) for file in database_files(path)]
    assert len(before) == 1 + hot
    with pytest.raises(StoreNewer, match="layout 3, this one reads up to 2"):
        await EmbeddedStore.open(path)
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
            await EmbeddedStore.open(path)
    holder.stdin.close()
    assert await holder.wait() == 0
    async with await EmbeddedStore.open(path) as store:
        with pytest.raises(StoreLocked, match=f"process {os.getpid()} "):
            await EmbeddedStore.open(path)
        await store.put(b"a", b"")


async def test_write_fails_while_another_program_locks_database(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with await EmbeddedStore.open(path, EmbeddedOptions(busy=0.01)) as store:
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


@pytest.mark.parametrize("where", ["file/s.db", "folder"])
async def test_open_fails_where_no_file_can_be_created(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreUnavailable, match=where):
        await EmbeddedStore.open(tmp_path / where)


async def test_failed_open_releases_lock(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"no database, but quite long enough to be read as one" * 100)
    for _ in range(2):
        with pytest.raises(StoreError, match="damaged, or not"):
            await EmbeddedStore.open(path)
    path.unlink()
    async with await EmbeddedStore.open(path) as store:
        await store.put(b"a", b"")
