"""The SQLite file: opened, checked, laid out; its faults in our words."""

import os
import sqlite3
import threading
from pathlib import Path
from typing import Final

from musterd.kv.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreNewer,
    StoreUnavailable,
)
from musterd.store.embedded.lock import unopened

VERSION: Final = 1
"""Of the layout; a file of a higher one is refused, one of a lower would be brought up here."""
APPLICATION: Final = int.from_bytes(b"mstd")
"""SQLite's application_id: tells our files from those of other programs."""

_SYNC_FULL = 2
_WRITER_CACHE_KIB = 8192
_READER_CACHE_KIB = 512
_WAL_KEPT_OCTETS = 16_777_216
"""To which the WAL is cut back after it was larger."""
_WAL_PAGES = 4000
"""After which the WAL is brought into the database: longer stops, but fewer, as it grows."""
_BUSY_SECONDS = 2.0
"""To wait for a foreign program, such as the sqlite3 shell; nothing of ours locks."""
_ROOM_OCTETS = 1_048_576
"""Below this, an error of input and output is taken for a full disk."""

# An event keeps what was before it, so that a watch can tell it when the log reaches no further
# back. The version of a deletion is one more than that of what it deleted, and its create_rev the
# same, so that what was before has one form for both.
_LAYOUT: Final = (
    """CREATE TABLE kv (
        key BLOB PRIMARY KEY, value BLOB NOT NULL, create_rev INTEGER NOT NULL,
        mod_rev INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL
    )""",
    "CREATE INDEX kv_lease ON kv (lease, key) WHERE lease <> 0",
    """CREATE TABLE event (
        rev INTEGER, seq INTEGER, time REAL NOT NULL, kind INTEGER NOT NULL, key BLOB NOT NULL,
        value BLOB, create_rev INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL,
        prev_value BLOB, prev_mod_rev INTEGER NOT NULL, prev_lease INTEGER NOT NULL,
        PRIMARY KEY (rev, seq)
    )""",
    "CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL)",
    "CREATE TABLE meta (revision INTEGER NOT NULL, compacted INTEGER NOT NULL)",
    # An empty store is at revision 1, as in etcd.
    "INSERT INTO meta VALUES (1, 0)",
)


def open_writer(path: Path, check_time: float) -> sqlite3.Connection:
    """Open a database, make it where there is none, check it for damage.

    check_time: seconds after which the check ends, well. Raises StoreError; then the file is as
    it was.
    """
    try:
        _create(path)
        version = _inspect(path, check_time)
        db = _connect(path, "rw", _WRITER_CACHE_KIB)
        try:
            _durable(db, path)
            if version < VERSION:
                _lay_out(db)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise translate(error, path) from error
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """Another connection to an open database, which can't write. Raises StoreError."""
    try:
        return _connect(path, "ro", _READER_CACHE_KIB)
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """What an error of SQLite means to those who run the store."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _no_room(path)):
        return StoreFull(f"{path}: the disk is full: nothing was written; make room there")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return corrupt(path, str(error))
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreLocked(f"{path}: another program has it locked: end that")
    return StoreUnavailable(
        f"{path}: can't be used: {error} ({getattr(error, 'sqlite_errorname', 'SQLite')}):"
        " look at the disk and the permissions"
    )


def corrupt(path: Path, how: str) -> StoreCorrupt:
    """The error for a damaged file."""
    return StoreCorrupt(
        f"{path}: is damaged or no store of musterd: {how}: bring back a backup of it"
        " with its -wal file, or move both away to begin with nothing"
    )


def _create(path: Path) -> None:
    """Make an empty file, for its owner only: SQLite gives its other files the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise unopened(path, error) from error


def _connect(path: Path, mode: str, cache_kib: int) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_SECONDS,
        check_same_thread=False,
    )
    db.execute(f"PRAGMA cache_size = -{cache_kib}")
    return db


def _inspect(path: Path, check_time: float) -> int:
    """The version of a file, 0 for an empty one, looked at without a chance to write to it."""
    db = _connect(path, "ro", _WRITER_CACHE_KIB)
    try:
        ((version,),) = db.execute("PRAGMA user_version")
        ((application,),) = db.execute("PRAGMA application_id")
        ((tables,),) = db.execute("SELECT count(*) FROM sqlite_schema")
        if not (tables or version or application):
            return 0
        if application != APPLICATION:
            raise corrupt(path, "it belongs to another program")
        if version > VERSION:
            raise StoreNewer(
                f"{path}: was written by a newer musterd (layout {version}, this one reads up to"
                f" {VERSION}): use that one; the file was left as it is"
            )
        _check(db, path, check_time)
        return int(version)
    finally:
        db.close()


def _check(db: sqlite3.Connection, path: Path, seconds: float) -> None:
    """Look for damage, for a while: a large store must still open in time."""
    stop = threading.Timer(seconds, db.interrupt)
    stop.start()
    try:
        ((found,),) = db.execute("PRAGMA quick_check(1)")
        if found != "ok":
            raise corrupt(path, " ".join(found.split()))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
    finally:
        stop.cancel()
        stop.join()


def _durable(db: sqlite3.Connection, path: Path) -> None:
    """Have each commit reach the disk before it returns, and make sure of it."""
    ((mode,),) = db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    ((sync,),) = db.execute("PRAGMA synchronous")
    if (mode, sync) != ("wal", _SYNC_FULL):
        raise StoreUnavailable(
            f"{path}: can't be kept safely there: journal {mode}, synchronous {sync}:"
            " put it on a local disk"
        )
    db.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_OCTETS}")
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")


def _lay_out(db: sqlite3.Connection) -> None:
    """Make the tables of an empty file, all or none."""
    db.execute("BEGIN IMMEDIATE")
    for statement in _LAYOUT:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def _no_room(path: Path) -> bool:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _ROOM_OCTETS
