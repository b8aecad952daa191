"""Opening, checking and creating the SQLite file, and translation of its errors."""

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
"""Layout version; a file with a higher version is rejected."""
APPLICATION: Final = int.from_bytes(b"mstd")
"""SQLite's application_id, to reject files of other programs."""

_SYNC_FULL = 2
_WRITER_CACHE_KIB = 8192
_READER_CACHE_KIB = 512
_WAL_KEPT_OCTETS = 16_777_216
"""Size that a larger WAL is truncated to."""
_WAL_PAGES = 4000
"""Pages of WAL between checkpoints: a higher value gives longer pauses, but fewer."""
_BUSY_SECONDS = 2.0
"""Time to wait for another program's lock, such as the sqlite3 shell's."""
_ROOM_OCTETS = 1_048_576
"""An I/O error with less free space than this is reported as a full disk."""

# An event includes the previous state, so that a watch can report it when older events are gone.
# A deletion has the create_rev of the deleted entry and its version plus one, so that the previous
# state is derived in the same way for puts and deletions.
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
    """Open a database, create it if it doesn't exist, and check it for damage.

    check_time: seconds after which the check stops without an error. Raises StoreError; then the
    file is unchanged.
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
    """Open a read-only connection to an open database. Raises StoreError."""
    try:
        return _connect(path, "ro", _READER_CACHE_KIB)
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the store error for an SQLite error."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _no_room(path)):
        return StoreFull(f"{path}: the disk is full: nothing was written; free some space there")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return corrupt(path, str(error))
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreLocked(f"{path}: locked by another program: stop that program")
    return StoreUnavailable(
        f"{path}: can't be used: {error} ({getattr(error, 'sqlite_errorname', 'SQLite')}):"
        " check the disk and the permissions"
    )


def corrupt(path: Path, how: str) -> StoreCorrupt:
    """Return the error for a damaged file."""
    return StoreCorrupt(
        f"{path}: damaged, or not a musterd store: {how}: restore it and its -wal file from a"
        " backup, or move both away to start with an empty store"
    )


def _create(path: Path) -> None:
    """Create an empty file readable by its owner only; SQLite's other files get the same mode."""
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
    """Return the layout version of a file, 0 if empty; opens it read-only."""
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
                f" {VERSION}): use the newer one; the file was not changed"
            )
        _check(db, path, check_time)
        return int(version)
    finally:
        db.close()


def _check(db: sqlite3.Connection, path: Path, seconds: float) -> None:
    """Check for damage, for a limited time: a large store must still open quickly."""
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
    """Make each commit reach the disk before it returns, and verify the settings."""
    ((mode,),) = db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    ((sync,),) = db.execute("PRAGMA synchronous")
    if (mode, sync) != ("wal", _SYNC_FULL):
        raise StoreUnavailable(
            f"{path}: can't be stored safely there: journal {mode}, synchronous {sync}:"
            " put it on a local disk"
        )
    db.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_OCTETS}")
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")


def _lay_out(db: sqlite3.Connection) -> None:
    """Create the tables of an empty file, all or none."""
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
