"""One process at a time: a locked file beside the database."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from musterd.kv.errors import StoreFull, StoreLocked, StoreUnavailable

_PID_OCTETS = 20


class Lock:
    """A lock held from here on, by this process; the kernel frees it however the process ends.

    The file stays, because removing it would let two processes lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        """Take it, and make its directory where there is none.

        Raises StoreLocked naming the process that has it, StoreUnavailable.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unopened(path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, _PID_OCTETS, 0).decode("ascii", "replace").strip()
            self.release()
            raise StoreLocked(_taken(path, holder)) from None
        except OSError as error:
            self.release()
            raise StoreUnavailable(f"{path}: can't be locked: {error.strerror}") from error
        # Who has it is for people only, and a full disk has no room for that.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let others have it; once."""
        os.close(self._file)


def _taken(path: Path, holder: str) -> str:
    by = f"process {holder}" if holder.isdigit() else "another process"
    return f"{path}: {by} has this store: stop that one, or give this one a store of its own"


def unopened(path: Path, error: OSError) -> StoreUnavailable:
    """The error for a file that can't be opened or made."""
    kind = StoreFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else StoreUnavailable
    return kind(f"{path}: can't be opened: {error.strerror}")
