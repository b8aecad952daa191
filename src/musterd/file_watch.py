"""Reports when files have changed, and reads them when they are complete.

A file is complete when its writer has closed it, or has renamed it into place; inotify reports
both. If it reports neither, because the file is on NFS or its writer never closes it, the file is
read after it has been quiet for some seconds. So is a file whose content looks cut off.

The directories of a file and of each link on its path are watched, and an event counts if it names
one of these. So it does not matter whether the file, a link or a directory above it is replaced.
Changes without an event are found by polling.
"""

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time
from typing import Final, TypeVar

import structlog

from musterd import inotify
from musterd.file_state import Looks, Trail, is_new_link, is_written, look, trail
from musterd.inotify import FolderEvent
from musterd.watched_folders import WatchedFolders

log = structlog.get_logger()

MAX_TRAILS: Final = 5
"""Attempts to find the way to a file while links on it change."""
STEP: Final = 0.02
"""Seconds in which events are collected, so that a large write costs little."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileTiming:
    """Waits before a changed file is read, in seconds."""

    settle: float = 0.05
    """Wait after a file was closed or replaced, because other files may follow."""
    quiet: float = 5.0
    """Wait without any change after which a file that may be incomplete is read."""
    poll: float = 5.0
    """Interval of looking for changes without an event."""
    report: float = 60.0
    """Wait after which an open file is logged, and one that keeps changing is read."""


class WatchedFiles:
    """The files that one reader watches."""

    def __init__(self, hub: "FileWatch") -> None:
        """Create a watch of no files."""
        self.looks: Looks = {}
        """The files, as they were when they were last read or polled."""
        self.trail = Trail(frozenset(), frozenset())
        self.files: tuple[str, ...] = ()
        self._hub = hub
        self._timing = hub.timing
        self._event = asyncio.Event()
        self._version = 0
        """Number of changes."""
        self._read: int | None = None
        """The changes that were read; None before the first time."""
        self._renewed = 0
        """The changes after which the directories were last looked up."""
        self._unreported = False
        """True if no event reported a change."""
        self._hurried = False

    @property
    def pending(self) -> bool:
        """True if a change has not been read."""
        return self._version != self._read

    async def follow(self, files: Iterable[str]) -> bool:
        """Watch exactly these files from now on, whether they exist or not.

        Return whether there are new files that may have changed before they were watched.
        """
        new = tuple(dict.fromkeys(files))
        added = [file for file in new if file not in self.files]
        if len(new) - len(added) == len(self.files) and not added:
            return False
        self.files = new
        await self._renew()
        looks = await asyncio.to_thread(look, added)
        known = {**self.looks, **looks}
        self.looks = {file: known.get(file) for file in new}
        return self._is_recent(looks)

    async def _renew(self) -> None:
        """Watch the directories that are on the way to the files now."""
        self._renewed = self._version
        await self._hub.follow(self)

    def _is_recent(self, looks: Looks) -> bool:
        """Return whether a file was changed within the quiet time."""
        latest = max((found[4] for found in looks.values() if found), default=0)
        return time() - latest / 1e9 < self._timing.quiet

    async def changed(self, within: float | None = None) -> None:
        """Wait for a change that was not read, or for some seconds."""
        try:
            async with asyncio.timeout(within):
                while not self.pending:
                    self._event.clear()
                    await self._event.wait()
        except TimeoutError:
            return

    async def read(self, read: Callable[[], T], is_doubtful: Callable[[T], bool]) -> T:
        """Return what a function reads from the files, when they are complete.

        read: called in a thread, and again if a file changes meanwhile; is_doubtful: whether the
        result looks cut off, so that it counts only after the quiet time.
        """
        started, quiet = monotonic(), self._timing.quiet
        calm = reported = False
        doubted = -1
        while True:
            late = monotonic() - started > self._timing.report
            if late and not reported and (open_ := self._open()):
                log.warning("file not read: its writer has not closed it", file=min(open_))
                reported = True
            unchanged = self._version == (self._read or 0)
            if not unchanged and not calm:
                calm = await self._settled(late=late)
            version = self._version
            if self._renewed != version:
                await self._renew()
            before, written = await asyncio.to_thread(_examine, self.files)
            unsure = (doubted == version or self._unreported) and not self._hurried
            if (unsure or written) and not calm and not (calm := await self._undisturbed(quiet)):
                continue
            result, after = await asyncio.to_thread(lambda: (read(), look(self.files)))
            self._hub.drain()
            if (self._version != version or after != before) and (self._open() or not late):
                self._unreported |= self._version == version
                calm = False
                continue
            trusted = calm or self._hurried
            if unchanged and (written is False or not self._is_recent(before)):
                trusted = True
            if not trusted and is_doubtful(result):
                doubted = version
                continue
            self._read, self.looks = version, after
            self._unreported = self._hurried = False
            return result

    async def _settled(self, *, late: bool) -> bool:
        """Wait until the files are closed and unchanged, or until they are quiet.

        Return whether they are quiet. late: do not wait for more changes.
        """
        while True:
            if is_open := bool(self._open()):
                wait = self._timing.quiet
            else:
                wait = 0 if late else self._timing.settle
            if not wait or await self._undisturbed(wait):
                return is_open

    async def _undisturbed(self, seconds: float) -> bool:
        """Wait, and return True unless something happens."""
        self._event.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        return not self._event.is_set()

    def _open(self) -> set[str]:
        """Return the files that a writer has not closed."""
        return self._hub.written & self.trail.names

    def wake(self) -> None:
        """Count a change."""
        self._version += 1
        self._event.set()

    def found_changed(self) -> None:
        """Count a change that no event reported."""
        self._unreported = True
        self.wake()

    def hurry(self) -> None:
        """Read a pending change now, unless a writer is known to have a file open."""
        self._hurried = True
        self._event.set()

    def close(self) -> None:
        """Stop watching."""
        self._hub.forget(self)


class FileWatch:
    """Watches the files of all its watches."""

    def __init__(self, timing: FileTiming | None = None) -> None:
        """Create a watcher, which reports changes while ``run`` runs."""
        self.timing = timing or FileTiming()
        self.written: set[str] = set()
        """Files that were written, and have not been closed since."""
        self._watches: set[WatchedFiles] = set()
        self._by_name: dict[str, set[WatchedFiles]] = {}
        self._by_folder: dict[str, set[WatchedFiles]] = {}
        self._folders = WatchedFolders()
        self._following = 0
        """Calls of ``follow`` in progress."""
        self._hurried = False
        self._tick = asyncio.Event()
        self._pause: asyncio.TimerHandle | None = None

    @property
    def problem(self) -> str:
        """Reason why changes are only found by polling; empty if they are not."""
        return self._folders.problem

    def watch(self) -> WatchedFiles:
        """Create a watch."""
        watch = WatchedFiles(self)
        self._watches.add(watch)
        return watch

    def hurry(self) -> None:
        """Look for changes now, and read them without waiting for files to be quiet."""
        self._hurried = True
        self._tick.set()

    async def run(self) -> None:
        """Report changes to the watches, until cancelled."""
        loop = asyncio.get_running_loop()
        self._ready(loop)
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.timing.poll):
                        await self._tick.wait()
                self._tick.clear()
                hurried, self._hurried = self._hurried, False
                await self._poll(hurried=hurried)
        finally:
            if self._pause is not None:
                self._pause.cancel()
            if (number := self._folders.fileno()) is not None:
                loop.remove_reader(number)

    def close(self) -> None:
        """Release the kernel's watches, of which a user may have few."""
        self._folders.close()

    def _ready(self, loop: asyncio.AbstractEventLoop) -> None:
        """Handle the events, and the next ones a moment later."""
        if (number := self._folders.fileno()) is not None:
            loop.remove_reader(number)
            self._pause = loop.call_later(STEP, self._listen, loop)
            self.drain()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        if (number := self._folders.fileno()) is not None:
            loop.add_reader(number, self._ready, loop)

    async def _poll(self, *, hurried: bool) -> None:
        """Find changes without an event."""
        watches = [watch for watch in self._watches if not watch.pending]
        before = [watch.looks for watch in watches]
        after = await asyncio.to_thread(lambda: [look(looks) for looks in before])
        self.drain()
        for watch, old, new in zip(watches, before, after, strict=True):
            if watch.looks is old and old != new and not watch.pending:
                watch.found_changed()
        if hurried:
            for watch in self._watches:
                if watch.pending:
                    watch.hurry()
        if not self._following:
            self._folders.release(self._by_folder.keys())

    async def follow(self, watch: WatchedFiles) -> None:
        """Watch the directories on the way to the files of a watch."""
        self._following += 1
        try:
            way, numbers = await asyncio.to_thread(self._find, watch.files)
            if watch in self._watches:
                self._register(watch, way, numbers)
        finally:
            self._following -= 1

    def _find(self, files: Iterable[str]) -> tuple[Trail, dict[str, int]]:
        """Find the way to files and watch it, in a thread."""
        numbers: dict[str, int] = {}
        way = _way(files)
        for _ in range(MAX_TRAILS):
            numbers |= self._folders.register(way)
            # A link that changed before its directory was watched has another target.
            last, way = way, _way(files)
            if way == last:
                break
        return way, numbers

    def _register(self, watch: WatchedFiles, way: Trail, numbers: dict[str, int]) -> None:
        self._folders.keep(numbers)
        for index, old, new in (
            (self._by_name, watch.trail.names, way.names),
            (self._by_folder, watch.trail.folders, way.folders),
        ):
            for path in new - old:
                index.setdefault(path, set()).add(watch)
            for path in old - new:
                index[path].discard(watch)
                if not index[path]:
                    del index[path]
        watch.trail = way
        self.written.intersection_update(self._by_name)

    def forget(self, watch: WatchedFiles) -> None:
        """Remove a watch."""
        self._watches.discard(watch)
        self._register(watch, Trail(frozenset(), frozenset()), {})

    def drain(self) -> None:
        """Handle the events that are there."""
        for folder, event in self._folders.events():
            if folder:
                self._handle(folder, event)
            else:
                self.written.clear()
                for watch in self._watches:
                    watch.found_changed()

    def _handle(self, folder: str, event: FolderEvent) -> None:
        if event.name:
            path = os.path.join(folder, event.name)
            watches = self._by_name.get(path, ())
            if watches:
                self._note(path, event.mask)
        else:
            watches = self._by_folder.get(folder, ())
        for watch in tuple(watches):
            watch.wake()

    def _note(self, path: str, mask: int) -> None:
        """Note whether a file has a writer that has not closed it."""
        if mask & inotify.MODIFY or (mask & inotify.CREATE and not is_new_link(path)):
            self.written.add(path)
        elif mask & ~(inotify.ATTRIB | inotify.CREATE):
            self.written.discard(path)


def _way(files: Iterable[str]) -> Trail:
    """Return the way to several files."""
    trails = [trail(file) for file in files]
    names = frozenset[str]().union(*(found.names for found in trails))
    return Trail(names, frozenset[str]().union(*(found.folders for found in trails)))


def _examine(files: Iterable[str]) -> tuple[Looks, bool | None]:
    """Return the state of files, and whether one is open for writing; None if unknown."""
    looks = look(files)
    written = [is_written(file) for file, found in looks.items() if found]
    if True in written:
        return looks, True
    return looks, None if None in written else False
