"""Read-only connections, used in the loop's thread.

A read of one key takes a few µs, less than a round trip to another thread.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from musterd.kv.errors import StoreBusy, StoreCorrupt, StoreError, StoreUnavailable
from musterd.kv.values import Entry
from musterd.store.embedded.checksums import read_entry
from musterd.store.embedded.database import FAILURES, open_reader, translate
from musterd.store.embedded.files import Files
from musterd.store.embedded.snapshot import Snapshot

log = structlog.get_logger()

_IDLE: Final = 4
"""Idle connections to keep open."""
_GET = "SELECT * FROM kv WHERE key = ?"


class Readers:
    """Readers of a store; belongs to the loop."""

    def __init__(self, files: Files, max_snapshots: int) -> None:
        """Create readers of an open database. Raises StoreError."""
        self._path = files.path
        self._files = files
        self._max_snapshots = max_snapshots
        self._point = open_reader(self._path)
        # With a spare, everything can be read even when the file has lost its name.
        self._idle = [open_reader(self._path)]
        self._used: set[Snapshot] = set()
        self._closed = False
        self.damage: str | None = None
        """First damage found, None if there is none."""

    def get(self, key: bytes) -> Entry | None:
        """Return the current entry of a key. Raises StoreError."""
        self.check()
        try:
            row = self._point.execute(_GET, (key,)).fetchone()
            return read_entry(row) if row else None
        except FAILURES as error:
            raise self._failed(error) from error

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open a snapshot, until the end of the block or `release`. Raises StoreError."""
        self.check()
        if len(self._used) >= self._max_snapshots:
            raise StoreBusy(f"{self._path}: {self._max_snapshots} readers at once: retry later")
        db = self._idle.pop() if self._idle else self._open()
        try:
            snapshot = Snapshot(db)
            self._used.add(snapshot)
            try:
                yield snapshot
            finally:
                self.release(snapshot)
        except FAILURES as error:
            raise self._failed(error) from error

    def release(self, snapshot: Snapshot) -> None:
        """End a snapshot, even while it is read; no effect if it has ended."""
        self._used.discard(snapshot)
        db = snapshot.end()
        if db and len(self._idle) < _IDLE and not self._closed:
            self._idle.append(db)
        elif db:
            db.close()

    def _open(self) -> sqlite3.Connection:
        db = open_reader(self._path)
        if not self._files.same():
            db.close()
            raise StoreUnavailable(f"{self._path}: was removed or replaced while musterd runs")
        return db

    def _failed(self, error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
        found = translate(error, self._path)
        if isinstance(found, StoreCorrupt) and self.damage is None:
            self.damage = str(found)
            log.error("store is damaged", reason=self.damage)
        return found

    def close(self) -> None:
        """Close all connections; open snapshots fail."""
        self._closed = True
        for snapshot in tuple(self._used):
            self.release(snapshot)
        for db in (self._point, *self._idle):
            db.close()
        self._idle.clear()

    def check(self) -> None:
        """Raise StoreUnavailable if closed."""
        if self._closed:
            raise StoreUnavailable(f"{self._path}: the store is closed")
