"""Linux inotify: the kernel's report of changes in directories.

The standard library has no interface to it, and libraries that do merge "written" and "closed by
its writer", which is the difference that matters here.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
UNMOUNT: Final = 0x2000
OVERFLOW: Final = 0x4000
IGNORED: Final = 0x8000
_ONLYDIR: Final = 0x0100_0000
_MASK_ADD: Final = 0x2000_0000

ITSELF: Final = DELETE_SELF | MOVE_SELF
"""The directory itself was moved or removed."""
ENTRIES: Final = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE
"""Something happened to an entry of the directory."""

_EVENT: Final = struct.Struct("iIII")
_BUFFER: Final = 65_536
"""Bytes that are read at once; an event has less than 300."""


class FolderEvent(NamedTuple):
    """A change in a directory. watch: its number; name: of the entry, or empty."""

    watch: int
    mask: int
    name: str


class Inotify:
    """An inotify instance. The kernel limits how many a user may have."""

    def __init__(self) -> None:
        """Create an instance. Raises OSError, for example if the user has too many."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        number = self._call(self._libc.inotify_init1, os.O_NONBLOCK | os.O_CLOEXEC)
        self._file = os.fdopen(number, "rb", buffering=0)

    def close(self) -> None:
        """Close the instance, and with it all watches."""
        self._file.close()

    def fileno(self) -> int:
        """Return the file descriptor, which is readable when there are events."""
        return self._file.fileno()

    def add(self, folder: str, mask: int) -> int:
        """Watch a directory, in addition to what is watched in it. Raises OSError.

        Return the number of the watch, which is the same for the same directory.
        """
        path = os.fsencode(folder)
        mask |= _ONLYDIR | _MASK_ADD
        return self._call(self._libc.inotify_add_watch, self.fileno(), path, mask)

    def remove(self, watch: int) -> None:
        """Stop watching a directory, unless it is gone."""
        self._libc.inotify_rm_watch(self.fileno(), watch)

    def read(self) -> Iterator[FolderEvent]:
        """Yield the events that are there; never wait."""
        while True:
            try:
                data = self._file.read(_BUFFER)
            except InterruptedError:
                continue
            if not data:
                return
            yield from _events(data)

    @staticmethod
    def _call(function: "ctypes._NamedFuncPointer", *args: int | bytes) -> int:
        result: int = function(*args)
        if result < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return result


def _events(data: bytes) -> Iterator[FolderEvent]:
    at = 0
    while at < len(data):
        watch, mask, _, size = _EVENT.unpack_from(data, at)
        at += _EVENT.size + size
        yield FolderEvent(watch, mask, os.fsdecode(data[at - size : at].rstrip(b"\0")))
