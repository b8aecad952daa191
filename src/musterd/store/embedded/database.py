"""Opening and creating the SQLite file, and translation of its errors."""

import os
import sqlite3
from contextlib import closing
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
from musterd.store.embedded.acknowledged import Acknowledged
from musterd.store.embedded.check import check_all
from musterd.store.embedded.checksums import read_meta
from musterd.store.embedded.layout import APPLICATION, VERSION, lay_out
from musterd.store.embedded.lock import unopened
from musterd.store.embedded.migrate import OLD_VERSION, check_old, migrate

FAILURES: Final = (sqlite3.Error, UnicodeDecodeError)
"""Errors of the sqlite3 module. It raises the second if a name in a message is damaged."""

_OUTSIDE: Final = {
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_MISUSE,
}  # fmt: skip
"""Codes of errors that don't come from the content of the file."""
_HEADER_BYTES = 100
_FORMAT_VERSIONS = slice(18, 20)
_FORMATS = {1, 2}
_SYNC_FULL = 2
_WRITER_CACHE_KIB = 8192
_READER_CACHE_KIB = 512
WAL_KEPT_BYTES: Final = 16_777_216
"""Size that a larger WAL is truncated to."""
_WAL_PAGES = 4000
"""Pages of WAL between checkpoints: a higher value gives longer pauses, but fewer."""
_BUSY_SECONDS = 2.0
"""Time that a read waits for another program's lock, such as the sqlite3 shell's."""
_ROOM_BYTES = 1_048_576
"""An I/O error with less free space than this is reported as a full disk."""


def open_writer(path: Path, acknowledged: Acknowledged, busy: float) -> sqlite3.Connection:
    """Open a database, check all of it, and create it if it doesn't exist.

    busy: seconds that a write waits for another program's lock.
    Raises StoreError; then the file is unchanged.
    """
    try:
        if not _size(path):
            # SQLite would remove the log of an empty file.
            acknowledged.check(0, 0)
            if _size(path.with_name(path.name + "-wal")):
                raise corrupt(path, "it is empty, but has a -wal file")
        _create(path)
        version = _inspect(path, acknowledged)
        db = _connect(path, "rw", _WRITER_CACHE_KIB, busy)
        try:
            _durable(db, path)
            if version == 0:
                lay_out(db)
            elif version < VERSION:
                migrate(db)
        except BaseException:
            db.close()
            raise
    except FAILURES as error:
        raise translate(error, path) from error
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a read-only connection to an open database. Raises StoreError."""
    try:
        db = _connect(path, "ro", _READER_CACHE_KIB)
        # SQLite opens the write-ahead log with the first read.
        read_meta(db)
    except FAILURES as error:
        raise translate(error, path) from error
    return db


def translate(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> StoreError:
    """Return the store error for an SQLite error."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _no_room(path)):
        return StoreFull(f"{path}: the disk is full: nothing was written; free some space there")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreLocked(f"{path}: locked by another program: stop that program")
    if code in _OUTSIDE:
        return StoreUnavailable(
            f"{path}: can't be used: {error} ({getattr(error, 'sqlite_errorname', 'SQLite')}):"
            " check the disk and the permissions"
        )
    # All statements are constant, so a wrong one means that the tables have changed.
    how = "unreadable names" if isinstance(error, UnicodeDecodeError) else str(error)
    return corrupt(path, how)


def corrupt(path: Path, how: str) -> StoreCorrupt:
    """Return the error for a damaged file."""
    return StoreCorrupt(
        f"{path}: damaged, or not a musterd store: {how}: restore it and its -wal file from a"
        f" backup and remove {path.name}.acked, or move all three away to start with an empty store"
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


def _connect(
    path: Path, mode: str, cache_kib: int, busy: float = _BUSY_SECONDS
) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=busy,
        check_same_thread=False,
    )
    # No column has text: it is damaged, and must not raise an error of its own.
    db.text_factory = lambda raw: raw.decode(errors="replace")
    db.execute(f"PRAGMA cache_size = -{cache_kib}")
    return db


def _inspect(path: Path, acknowledged: Acknowledged) -> int:
    """Return the layout version of a file, 0 if empty, after a check of all of it; only reads."""
    _check_header(path)
    with closing(_connect(path, "ro", _WRITER_CACHE_KIB)) as db:
        ((version,),) = db.execute("PRAGMA user_version")
        ((application,),) = db.execute("PRAGMA application_id")
        ((tables,),) = db.execute("SELECT count(*) FROM sqlite_schema")
        if not (tables or version or application):
            acknowledged.check(0, 0)
            return 0
        if application != APPLICATION:
            raise corrupt(path, "it belongs to another program")
        if version > VERSION:
            raise StoreNewer(
                f"{path}: was written by a newer musterd (layout {version}, this one reads up to"
                f" {VERSION}): use the newer one; the file was not changed"
            )
        if version == VERSION:
            meta = check_all(lambda: _connect(path, "ro", _WRITER_CACHE_KIB))
        elif version == OLD_VERSION:
            meta = check_old(db)
        else:
            raise corrupt(path, f"it has layout {version}")
    acknowledged.check(meta.commits, meta.revision)
    return int(version)


def _check_header(path: Path) -> None:
    """Check the versions of the file format: SQLite would only read from a newer one."""
    with path.open("rb") as file:
        versions = file.read(_HEADER_BYTES)[_FORMAT_VERSIONS]
    if any(version not in _FORMATS for version in versions):
        raise corrupt(path, "unknown file format")


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
    db.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")


def _size(path: Path) -> int:
    """Return the size of a file, 0 if it doesn't exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise unopened(path, error) from error


def _no_room(path: Path) -> bool:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _ROOM_BYTES
