"""The last acknowledged commit, in a file of its own beside the database.

SQLite drops the end of a damaged write-ahead log silently. This file shows that something is
missing. It is written after each commit, before the writes are acknowledged, without a sync: after
a power cut it may be older than the database, but never newer.
"""

import contextlib
import os
from pathlib import Path
from typing import Final
from zlib import crc32

import structlog

from musterd.kv.errors import StoreCorrupt
from musterd.store.embedded.lock import unopened

_BYTES: Final = 128
"""More than the file has."""
_CLOSED: Final = -1

log = structlog.get_logger()


class Acknowledged:
    """The file; open while the store is."""

    def __init__(self, path: Path) -> None:
        """Read it if it exists. path: of the database. Raises StoreUnavailable."""
        self._path = path.with_name(path.name + ".acked")
        self._database = path
        self._file = _CLOSED
        try:
            with self._path.open("rb") as file:
                self._commits, self._revision = self._parse(file.read(_BYTES))
        except FileNotFoundError:
            self._commits = self._revision = 0
        except OSError as error:
            raise unopened(self._path, error) from error

    def check(self, commits: int, revision: int) -> None:
        """Raise StoreCorrupt if acknowledged writes are missing in the database.

        commits, revision: the last ones in the database, zeros if it is empty.
        """
        if commits >= self._commits:
            return
        found = f"it ends at revision {revision}" if commits else "it is empty or was removed"
        raise StoreCorrupt(
            f"{self._database}: acknowledged writes are missing: {found}, but {self._path} has"
            f" revision {self._revision} and {self._commits - commits} more commits: restore it and"
            f" its -wal file; or remove {self._path.name} to use what is there"
        )

    def open(self) -> None:
        """Open the file for writing, and create it if needed. Raises StoreUnavailable."""
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unopened(self._path, error) from error

    def write(self, commits: int, revision: int) -> None:
        """Write the last commit of the database."""
        text = b"%d %d" % (commits, revision)
        line = b"%s %08x\n" % (text, crc32(text))
        # On a full disk the file stays behind, and so detects fewer missing writes.
        with contextlib.suppress(OSError):
            os.pwrite(self._file, line, 0)

    def close(self) -> None:
        """Sync the file to the disk and close it."""
        if self._file == _CLOSED:
            return
        with contextlib.suppress(OSError):
            os.fsync(self._file)
        os.close(self._file)
        self._file = _CLOSED

    def _parse(self, content: bytes) -> tuple[int, int]:
        """Return the number and the revision of the last commit, zeros if it is damaged."""
        text, _, checksum = content.partition(b"\n")[0].rpartition(b" ")
        if checksum != b"%08x" % crc32(text):
            # The database has checksums of its own, so it can be used without this file.
            log.warning("state file ignored", file=str(self._path), reason="checksum mismatch")
            return 0, 0
        commits, _, revision = text.partition(b" ")
        return int(commits), int(revision)
