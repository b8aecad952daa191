"""Connections that only read, in the loop's own thread.

A read of one key takes some µs, less than to hand it to a thread and back.
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
"""Connections to keep open while nobody reads."""
_GET = "SELECT * FROM kv WHERE key = ?"


class Readers:
    """The reading side of a store; belongs to the loop."""

    def __init__(self, path: Path, most: int) -> None:
        """Over an open database. most: snapshots at once. Raises StoreError."""
        self._path = path
        self._most = most
        self._point = open_reader(path)
        self._idle: list[sqlite3.Connection] = []
        self._used: set[Snapshot] = set()
        self._closed = False

    def get(self, key: bytes) -> Entry | None:
        """What is at a key now. Raises StoreError."""
        self.check()
        try:
            row = self._point.execute(_GET, (key,)).fetchone()
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        return Entry._make(row) if row else None

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The store as it is now, until the end of the block or `release`. Raises StoreError."""
        self.check()
        if len(self._used) >= self._most:
            raise StoreBusy(f"{self._path}: {self._most} readers at once: ask again later")
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
        """End a snapshot now, whoever still reads it; no effect if it has ended."""
        self._used.discard(snapshot)
        db = snapshot.end()
        if db and len(self._idle) < _IDLE and not self._closed:
            self._idle.append(db)
        elif db:
            db.close()

    def close(self) -> None:
        """Close all connections; whoever still reads gets an error."""
        self._closed = True
        for snapshot in tuple(self._used):
            self.release(snapshot)
        for db in (self._point, *self._idle):
            db.close()
        self._idle.clear()

    def check(self) -> None:
        """Raises StoreUnavailable once closed."""
        if self._closed:
            raise StoreUnavailable(f"{self._path}: the store is closed")
