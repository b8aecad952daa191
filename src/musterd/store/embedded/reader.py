"""Read-only connections, used in the loop's thread.

A read of one key takes a few µs, less than a round trip to another thread.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from musterd.kv.errors import StoreBusy, StoreUnavailable
from musterd.kv.values import Entry
from musterd.store.embedded.database import open_reader, translate
from musterd.store.embedded.snapshot import Snapshot

_IDLE: Final = 4
"""Idle connections to keep open."""
_GET = "SELECT * FROM kv WHERE key = ?"


class Readers:
    """Readers of a store; belongs to the loop."""

    def __init__(self, path: Path, max_snapshots: int) -> None:
        """Create readers of an open database. Raises StoreError."""
        self._path = path
        self._max_snapshots = max_snapshots
        self._point = open_reader(path)
        self._idle: list[sqlite3.Connection] = []
        self._used: set[Snapshot] = set()
        self._closed = False

    def get(self, key: bytes) -> Entry | None:
        """Return the current entry of a key. Raises StoreError."""
        self.check()
        try:
            row = self._point.execute(_GET, (key,)).fetchone()
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        return Entry._make(row) if row else None

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open a snapshot, until the end of the block or `release`. Raises StoreError."""
        self.check()
        if len(self._used) >= self._max_snapshots:
            raise StoreBusy(f"{self._path}: {self._max_snapshots} readers at once: retry later")
        db = self._idle.pop() if self._idle else open_reader(self._path)
        try:
            snapshot = Snapshot(db)
            self._used.add(snapshot)
            try:
                yield snapshot
            finally:
                self.release(snapshot)
        except sqlite3.Error as error:
            raise translate(error, self._path) from error

    def release(self, snapshot: Snapshot) -> None:
        """End a snapshot, even while it is read; no effect if it has ended."""
        self._used.discard(snapshot)
        db = snapshot.end()
        if db and len(self._idle) < _IDLE and not self._closed:
            self._idle.append(db)
        elif db:
            db.close()

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
