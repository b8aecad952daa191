"""The state of files on disk: where they are, how they look, and whether somebody writes them."""

import fcntl
import os
import signal
import stat
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_LINKS: Final = 40
"""Symbolic links on the path of a file, which is the limit of the kernel."""
_SET_SIGNAL: Final = 10
"""``F_SETSIG``, which the standard library does not name."""

Look = tuple[int, int, int, int, int] | None
"""Device, inode, size and times of change of a file; None if it is missing."""
Looks = dict[str, Look]
"""File -> its present state."""


@dataclass(frozen=True, slots=True)
class Trail:
    """The way to a file.

    names: absolute paths of the links on it, and of the file or of its first missing directory;
    folders: the directories that it passes.
    """

    names: frozenset[str]
    folders: frozenset[str]


def trail(path: str) -> Trail:
    """Return the way to a file, whether it exists or not."""
    steps = deque(os.path.abspath(path).split("/")[1:])
    here, links = "/", 0
    names: set[str] = set()
    folders = {here}
    while steps:
        step = os.path.normpath(os.path.join(here, steps.popleft()))
        mode, target = _entry(step)
        if target and links < MAX_LINKS:
            links += 1
            names.add(step)
            here = "/" if target.startswith("/") else here
            steps.extendleft(reversed(target.strip("/").split("/")))
        elif steps and stat.S_ISDIR(mode):
            here = step
            folders.add(here)
        else:
            names.add(step)
            break
    return Trail(frozenset(names), frozenset(folders))


def _entry(path: str) -> tuple[int, str]:
    """Return the mode of a file, 0 if it can't be reached, and the target of a link."""
    try:
        mode = os.lstat(path).st_mode
        return mode, os.readlink(path) if stat.S_ISLNK(mode) else ""
    except (OSError, ValueError):
        return 0, ""


def look(files: Iterable[str]) -> Looks:
    """Return the present state of files."""
    return {file: _look(file) for file in files}


def _look(file: str) -> Look:
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_regular(file: str) -> bool:
    """Return whether a file is missing or regular, so not a pipe or a device."""
    try:
        return stat.S_ISREG(os.stat(file).st_mode)
    except (OSError, ValueError):
        return True


def is_named_pipe(file: str) -> bool:
    """Return whether a file is a named pipe: opening it waits for a writer."""
    try:
        # A pipe of a shell, such as /dev/fd/63, has a writer and no name.
        return stat.S_ISFIFO(os.lstat(os.path.realpath(file)).st_mode)
    except (OSError, ValueError):
        return False


def is_new_link(path: str) -> bool:
    """Return whether a directory entry is a symbolic link, or another hard link to a file."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(found.st_mode) or found.st_nlink > 1


def is_written(file: str) -> bool | None:
    """Return whether a process has a file open for writing; None if the kernel does not report it.

    It reports this to the owner of the file and to a process with CAP_LEASE, on a local disk.
    """
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            return None
        opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        # The kernel grants a read lease only if nobody writes. It is given back at once. A writer
        # that opens the file in between waits for that, and the signal for it is one that is
        # ignored by default.
        fcntl.fcntl(opened, _SET_SIGNAL, signal.SIGURG)
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return False
    finally:
        os.close(opened)
