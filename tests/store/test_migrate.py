"""The embedded store takes over files of layout 1, which had no checksums."""

import asyncio
import itertools
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from musterd.kv import Entry, EventKind, StoreCorrupt
from musterd.store.embedded import EmbeddedStore
from musterd.store.embedded.layout import APPLICATION
from tests.store.kit import everything, until

LAYOUT_1 = """
CREATE TABLE kv (
        key BLOB PRIMARY KEY, value BLOB NOT NULL, create_rev INTEGER NOT NULL,
        mod_rev INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL
    );
CREATE INDEX kv_lease ON kv (lease, key) WHERE lease <> 0;
CREATE TABLE event (
        rev INTEGER, seq INTEGER, time REAL NOT NULL, kind INTEGER NOT NULL, key BLOB NOT NULL,
        value BLOB, create_rev INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL,
        prev_value BLOB, prev_mod_rev INTEGER NOT NULL, prev_lease INTEGER NOT NULL,
        PRIMARY KEY (rev, seq)
    );
CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL);
CREATE TABLE meta (revision INTEGER NOT NULL, compacted INTEGER NOT NULL);
INSERT INTO meta VALUES (1, 0);
"""
PUT_EVENT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
OPEN = """
import asyncio, pathlib, sys
from musterd.store.embedded import EmbeddedStore
print("start", flush=True)
async def main():
    async with await EmbeddedStore.open(pathlib.Path(sys.argv[1])):
        pass
asyncio.run(main())
"""


def lay_out(path: Path, keys: int) -> dict[bytes, Entry]:
    """Write a file of layout 1; return its entries."""
    entries = {}
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(LAYOUT_1)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute("PRAGMA user_version = 1")
        db.execute("INSERT INTO lease VALUES (7, 600)")
        for number in range(keys):
            key, value, revision = b"k/%06d" % number, b"v%d" % number, number + 2
            lease = 7 if number % 3 == 0 else 0
            entry = Entry(key, value, revision, revision, 1, lease)
            db.execute("INSERT INTO kv VALUES (?, ?, ?, ?, ?, ?)", entry)
            row = (revision, 0, 1.5, 0, key, value, revision, 1, lease, None, 0, 0)
            db.execute(PUT_EVENT, row)
            entries[key] = entry
        # The last key was put twice, and one after it deleted.
        key, revision = b"k/%06d" % (keys - 1), keys + 2
        before = entries[key]
        entries[key] = entry = Entry(key, b"new", before.create_revision, revision, 2, 0)
        db.execute("REPLACE INTO kv VALUES (?, ?, ?, ?, ?, ?)", entry)
        put = (revision, 0, 2.5, 0, key, b"new", entry.create_revision, 2, 0)
        previous = (before.value, before.mod_revision, before.lease)
        db.execute(PUT_EVENT, (*put, *previous))
        deleted = (revision + 1, 0, 3.5, 1, b"gone", None, 5, 4, 0, b"old", 6, 0)
        db.execute(PUT_EVENT, deleted)
        db.execute("UPDATE meta SET revision = ?", (revision + 1,))
        db.commit()
    return entries


async def check(path: Path, entries: dict[bytes, Entry]) -> None:
    async with await EmbeddedStore.open(path) as store:
        assert await everything(store) == entries
        leased = tuple(key for key, entry in entries.items() if entry.lease)
        assert (await store.lease_info(7)).keys == leased
        last = len(entries) + 3
        async with store.watch(b"", 2) as watch:
            batches = await until(watch, last)
        assert [batch.revision for batch in batches] == list(range(2, last + 1))
        *_, put, deletion = (event for batch in batches for event in batch.events)
        assert put.entry == entries[put.key]
        assert put.previous
        assert put.previous.version == 1
        gone = Entry(b"gone", b"old", 5, 6, 3, 0)
        assert deletion == (EventKind.DELETED, b"gone", None, gone)
        assert await store.put(b"after", b"") == last + 1
    async with await EmbeddedStore.open(path) as store:
        assert len(await everything(store)) == len(entries) + 1


async def test_everything_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await check(path, lay_out(path, 2500))


async def test_empty_store_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(LAYOUT_1)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute("PRAGMA user_version = 1")
    async with await EmbeddedStore.open(path) as store:
        assert await store.put(b"a", b"") == 2


@pytest.mark.slow
async def test_kill_during_migration_keeps_either_layout(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    entries = lay_out(tmp_path / "old" / "s.db", 20_000)
    chance = random.Random(1)  # noqa: S311
    for number in range(10):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "old", folder)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OPEN, folder / "s.db", stdout=subprocess.PIPE
        )
        assert child.stdout
        await child.stdout.readline()
        await asyncio.sleep(chance.uniform(0.1, 0.7))
        if child.returncode is None:
            child.kill()
        await child.wait()
        await check(folder / "s.db", entries)
        shutil.rmtree(folder)


DAMAGE = {
    "revision": "UPDATE meta SET revision = 5",
    "text": "UPDATE kv SET value = 'x' WHERE key = x'6b2f303030303031'",
    "index": "PRAGMA writable_schema = ON;"
    " UPDATE sqlite_schema SET rootpage = 2 WHERE rootpage = 3",
    "no table": "DROP TABLE lease",
    "no revision": "DELETE FROM meta",
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE)
async def test_damaged_file_is_refused_and_left_unchanged(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "s.db"
    lay_out(path, 100)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(statement)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match=r"s\.db: damaged.* restore"):
            await EmbeddedStore.open(path)
    assert path.read_bytes() == before


async def test_older_backup_than_acknowledged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    lay_out(path, 100)
    backup = path.read_bytes()
    async with await EmbeddedStore.open(path) as store:
        for number in itertools.count():
            await store.put(b"%d" % number, b"")
            if number == 10:
                break
    path.write_bytes(backup)
    with pytest.raises(StoreCorrupt, match="acknowledged writes are missing"):
        await EmbeddedStore.open(path)
