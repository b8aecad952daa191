"""Tells sources when their files may have changed; one thread watches for all of them.

A file is changed by writing in place, by renaming another over it, or by swapping a link above it,
as a mounted ConfigMap is. So the directory of each link on the way and of the file is watched, and
an event counts if it names one of these. What no event tells (NFS, too few inotify watches) is
found by looking every ``POLL`` seconds.
"""

import asyncio
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

POLL = 5.0
"""Seconds between two looks when nothing is told."""
STEP_MS = 50
"""Milliseconds in which events are gathered, and after which a stop is seen."""
LINKS_MOST = 40
"""The most symbolic links on the way to a file, as the kernel's limit."""

Trail = frozenset[str]
"""Absolute paths: the links on the way to a file, and the file."""
Look = tuple[int, int, int, int, int] | None
"""What tells two states of a file apart: device, inode, octets, times of change; None: missing."""
Looks = dict[str, Look]
"""File -> its state."""


class Watch:
    """What one source watches."""

    def __init__(self, hub: "FileWatch") -> None:
        """Nothing yet."""
        self.trail: Trail = frozenset()
        self.fresh = False
        """Whether it was not looked at since it is watched."""
        self._hub = hub
        self._changed = asyncio.Event()

    async def follow(self, files: Iterable[str]) -> None:
        """Watch these files from now on, existing or not, and no others.

        To be called again when they have changed, for a link may lead elsewhere then.
        """
        trails = await asyncio.to_thread(lambda: [trail(Path(file)) for file in files])
        whole = frozenset().union(*trails)
        if whole != self.trail:
            self.trail = whole
            self.fresh = True
            self._hub.renew()

    async def changed(self, within: float | None = None) -> None:
        """Return when a file may have changed, or after some seconds."""
        try:
            async with asyncio.timeout(within):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def wake(self) -> None:
        """Let ``changed`` return."""
        self._changed.set()

    def close(self) -> None:
        """Watch nothing any more."""
        self._hub.watches.discard(self)


class FileWatch:
    """The one watcher of all sources."""

    def __init__(self) -> None:
        """Nothing is seen until ``run`` runs."""
        self.watches: set[Watch] = set()
        self._stop = asyncio.Event()

    def watch(self) -> Watch:
        """A new watch."""
        watch = Watch(self)
        self.watches.add(watch)
        return watch

    def renew(self) -> None:
        """See that a watch follows other files."""
        self._stop.set()

    async def run(self) -> None:
        """Wake the watches, until cancelled."""
        while True:
            self._stop.clear()
            trails = [watch.trail for watch in self.watches]
            folders = await asyncio.to_thread(_folders, frozenset().union(*trails))
            with _notify(folders) as notify:
                # Watched first and looked at then: a change in between is not lost.
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
        """The paths that changed; None where nothing was told for long."""
        if notify is None:
            try:
                async with asyncio.timeout(POLL):
                    await self._stop.wait()
            except TimeoutError:
                return None
            return set()
        limits = STEP_MS, STEP_MS, int(1000 * POLL)
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
    """Watch folders from here on; None where the system can't, or there are none."""
    notify = None
    if folders:
        try:
            notify = RustNotify(sorted(folders), False, False, 0, False, True)
        except (OSError, WatchfilesRustInternalError):
            # A folder went meanwhile, or the system's watches are all in use.
            notify = None
    if notify is None:
        yield None
    else:
        with notify:
            yield notify


def trail(path: Path) -> Trail:
    """The links on the way to a file, and the file; or the first of them that is missing."""
    steps, here = deque(path.absolute().parts[1:]), Path(path.absolute().anchor)
    found: set[str] = set()
    links = 0
    while steps and links < LINKS_MOST:
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
    """The directories of paths, of those that exist."""
    folders = {os.path.dirname(path) for path in paths}
    return frozenset(folder for folder in folders if os.path.isdir(folder))


def look(files: Iterable[str]) -> Looks:
    """How some files are now."""
    return {file: _stat(file) for file in files}


def _stat(file: str) -> Look:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
