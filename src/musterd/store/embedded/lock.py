"""Lock file beside the database, so that one process at a time uses it."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from musterd.kv.errors import StoreFull, StoreLocked, StoreUnavailable

_PID_BYTES = 20


class Lock:
    """A lock held by this process; the kernel releases it however the process ends.

    The file is never removed: otherwise two processes could lock two files of the same name.
    """

    def __init__(self, path: Path) -> None:
        """Acquire the lock, and create its directory if needed.

        Raises StoreLocked naming the holding process, StoreUnavailable.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unopened(path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, _PID_BYTES, 0).decode("ascii", "replace").strip()
            self.release()
            raise StoreLocked(_locked(path, holder)) from None
        except OSError as error:
            self.release()
            raise StoreUnavailable(f"{path}: can't be locked: {error.strerror}") from error
        # The process ID is informational; writing it fails on a full disk.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Release the lock; call once."""
        os.close(self._file)


def _locked(path: Path, holder: str) -> str:
    by = f"process {holder}" if holder.isdigit() else "another process"
    return f"{path}: {by} uses this store: stop it, or configure a different store"


def unopened(path: Path, error: OSError) -> StoreUnavailable:
    """Return the error for a file that can't be opened or created."""
    kind = StoreFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else StoreUnavailable
    return kind(f"{path}: can't be opened: {error.strerror}")
