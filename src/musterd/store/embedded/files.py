"""Files of an open database, watched for changes by others."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Self

from musterd.kv.errors import StoreUnavailable
from musterd.store.embedded.acknowledged import Acknowledged
from musterd.store.embedded.checksums import Meta
from musterd.store.embedded.database import WAL_KEPT_BYTES


class _FileState(NamedTuple):
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, path: str) -> Self | None:
        """Return the state of a file, None if there is none."""
        try:
            found = os.stat(path)
        except OSError:
            return None
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)


class Files:
    """The database and its write-ahead log; ``same`` is for all threads, the rest for the writer's.

    SQLite does not notice if they are removed or replaced: it writes to files without a name, and
    all of that would be lost when musterd stops.
    """

    def __init__(self, path: Path, db: sqlite3.Connection, acknowledged: Acknowledged) -> None:
        """Remember the files of an open database."""
        self.path = path
        self._acknowledged = acknowledged
        self._db = db
        self._name = str(path)
        self._wal_path = self._name + "-wal"
        self._saved = ""
        self._seen = _FileState.of(self._name)
        self._inode = self._seen and self._seen.inode
        self._wal = _FileState.of(self._wal_path)

    def same(self) -> bool:
        """Return whether the path still leads to the open database."""
        now = _FileState.of(self._name)
        return now is not None and now.inode == self._inode

    def check(self) -> None:
        """Raise StoreUnavailable if a file was removed, replaced or changed by another program."""
        now, wal = self._found()
        if now != self._seen:
            raise StoreUnavailable(
                f"{self.path}: was changed by another program: stop musterd, and restore it from a"
                " backup"
            )
        if wal and self._wal and wal.size < self._wal.size:
            raise self._truncated()
        self._saved = ""

    def committed(self, meta: Meta) -> None:
        """Check the files after a commit, before it is acknowledged.

        Raises StoreUnavailable.
        """
        now, wal = self._found()
        # SQLite itself truncates a log only to a size above this.
        if wal and self._wal and wal.size < min(self._wal.size, WAL_KEPT_BYTES):
            raise self._truncated()
        self._seen, self._wal = now, wal
        self._acknowledged.write(meta.commits, meta.revision)

    def _found(self) -> tuple[_FileState, _FileState | None]:
        """Return the state of the database and its log. Raises StoreUnavailable."""
        now = _FileState.of(self._name)
        if now is None or now.inode != self._inode:
            raise StoreUnavailable(
                f"{self.path}: was removed or replaced while musterd runs: {self._save()}"
            )
        wal = _FileState.of(self._wal_path)
        # SQLite creates the log with the first commit.
        if self._wal and (wal is None or wal.inode != self._wal.inode):
            raise StoreUnavailable(
                f"{self._wal_path}: was removed or replaced while musterd runs: stop musterd with"
                " SIGTERM, which saves its content, and start it again"
            )
        return now, wal

    def _truncated(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._wal_path}: was truncated by another program: {self._save()}; remove the -wal"
            " file before you start musterd again"
        )

    def _save(self) -> str:
        """Save the content of a damaged or removed file, the first time; return what to do."""
        self._saved = self._saved or self._saving()
        return self._saved

    def _saving(self) -> str:
        to = self.path.with_name(self.path.name + ".saved")
        try:
            to.unlink(missing_ok=True)
            os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(to)) as copy:
                self._db.backup(copy)
        except (OSError, sqlite3.Error) as error:
            return f"export the zones before you stop musterd, as {to} can't be written: {error}"
        return f"stop musterd, and put {to} in the place of {self.path.name}, which has its content"
