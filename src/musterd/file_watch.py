"""Reports when files may have changed; one thread watches all of them.

A file changes when it is written in place, when another file is renamed over it, or when a link
above it is swapped, as in a mounted ConfigMap. So the directories of the file and of each link on
its path are watched, and an event counts if it names one of these. Changes without an event (NFS,
no inotify watches left) are found by polling.
"""

import asyncio
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

POLL: Final = 5.0
"""Seconds between two polls while no event comes."""
STEP_MS: Final = 50
"""Milliseconds in which events are collected, and after which a stop is noticed."""
MAX_LINKS: Final = 40
"""Symbolic links on the path of a file, which is the limit of the kernel."""

Trail = frozenset[str]
"""Absolute paths of the links on the path of a file, and of the file."""
Look = tuple[int, int, int, int, int] | None
"""Device, inode, size and times of change of a file; None if it is missing."""
Looks = dict[str, Look]
"""File -> its present state."""


class WatchedFiles:
    """The files that one reader watches."""

    def __init__(self, hub: "FileWatch") -> None:
        """Create a watch of no files."""
        self.trail: Trail = frozenset()
        self.fresh = False
        """True if the watch has not been woken since its files are watched."""
        self._hub = hub
        self._changed = asyncio.Event()

    async def follow(self, files: Iterable[str]) -> None:
        """Watch exactly these files from now on, whether they exist or not.

        Call it again after a change, because a link may have another target.
        """
        trails = await asyncio.to_thread(lambda: [trail(Path(file)) for file in files])
        whole = frozenset().union(*trails)
        if whole != self.trail:
            self.trail = whole
            self.fresh = True
            self._hub.renew()

    async def changed(self, within: float | None = None) -> None:
        """Wait until a file may have changed, or for some seconds."""
        try:
            async with asyncio.timeout(within):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def wake(self) -> None:
        """Make ``changed`` return."""
        self._changed.set()

    def close(self) -> None:
        """Stop watching."""
        self._hub.watches.discard(self)


class FileWatch:
    """Watches the files of all its watches."""

    def __init__(self, poll: float = POLL) -> None:
        """Create a watcher, which is idle until ``run``. poll: seconds."""
        self.watches: set[WatchedFiles] = set()
        self._poll = poll
        self._stop = asyncio.Event()

    def watch(self) -> WatchedFiles:
        """Create a watch."""
        watch = WatchedFiles(self)
        self.watches.add(watch)
        return watch

    def renew(self) -> None:
        """Notice that a watch has other files."""
        self._stop.set()

    async def run(self) -> None:
        """Wake the watches whose files may have changed, until cancelled."""
        while True:
            self._stop.clear()
            trails = [watch.trail for watch in self.watches]
            folders = await asyncio.to_thread(_folders, frozenset().union(*trails))
            with _notify(folders) as notify:
                # Woken only when watched, so that no change in between is lost.
                for watch in self.watches:
                    if watch.fresh:
                        watch.fresh = False
                        watch.wake()
                while not self._stop.is_set():
                    seen = await self._events(notify)
                    for watch in self.watches:
                        if seen is None or not watch.trail.isdisjoint(seen):
                            watch.wake()

    async def _events(self, notify: RustNotify | None) -> set[str] | None:
        """Return the paths that changed, or None if it is time to poll."""
        if notify is None:
            try:
                async with asyncio.timeout(self._poll):
                    await self._stop.wait()
            except TimeoutError:
                return None
            return set()
        limits = STEP_MS, STEP_MS, int(1000 * self._poll)
        waiting = asyncio.ensure_future(asyncio.to_thread(notify.watch, *limits, self._stop))
        try:
            found = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            self._stop.set()
            await waiting
            raise
        if isinstance(found, str):
            return None if found == "timeout" else set()
        return {path for _, path in found}


@contextmanager
def _notify(folders: frozenset[str]) -> Iterator[RustNotify | None]:
    """Watch folders. Give None if the system cannot, or if there are none."""
    notify = None
    if folders:
        try:
            notify = RustNotify(sorted(folders), False, False, 0, False, True)
        except (OSError, WatchfilesRustInternalError):
            # A folder was removed, or no inotify watches are left.
            notify = None
    if notify is None:
        yield None
    else:
        with notify:
            yield notify


def trail(path: Path) -> Trail:
    """Return the links on the path of a file, and the file or its first missing directory."""
    steps, here = deque(path.absolute().parts[1:]), Path(path.absolute().anchor)
    found: set[str] = set()
    links = 0
    while steps and links < MAX_LINKS:
        step = Path(os.path.normpath(here / steps.popleft()))
        if step.is_symlink():
            links += 1
            found.add(str(step))
            target = step.readlink()
            here = Path(target.anchor) if target.anchor else here
            steps.extendleft(reversed(target.parts[1 if target.anchor else 0 :]))
        elif steps and step.is_dir():
            here = step
        else:
            found.add(str(step))
            break
    return frozenset(found)


def _folders(paths: Iterable[str]) -> frozenset[str]:
    """Return the existing directories of paths."""
    folders = {os.path.dirname(path) for path in paths}
    return frozenset(folder for folder in folders if os.path.isdir(folder))


def look(files: Iterable[str]) -> Looks:
    """Return the present state of files."""
    return {file: _stat(file) for file in files}


def _stat(file: str) -> Look:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
