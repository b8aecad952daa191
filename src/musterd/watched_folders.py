"""The directories that the kernel watches, by path."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

from musterd import inotify
from musterd.file_state import Trail
from musterd.inotify import FolderEvent, Inotify


class WatchedFolders:
    """Registers directories with the kernel, and reads its events."""

    def __init__(self) -> None:
        """Create a set without directories."""
        self._numbers: dict[str, int] = {}
        """Directory -> number of its inotify watch."""
        self._paths: dict[int, set[str]] = {}
        """The reverse; a directory may have several paths."""
        self._inotify: Inotify | None = None
        self.problem = ""
        """Reason why the kernel watches nothing; empty if it does."""
        try:
            self._inotify = Inotify()
        except OSError as error:
            self.problem = error.strerror or str(error)

    def fileno(self) -> int | None:
        """Return the file descriptor, which is readable when there are events; None if closed."""
        return self._inotify.fileno() if self._inotify is not None else None

    def close(self) -> None:
        """Release the kernel's watches, of which a user may have few."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def register(self, trail: Trail) -> dict[str, int]:
        """Ask the kernel to watch the directories of a trail; for any thread.

        Return their numbers, for ``keep``. A directory is left out if it is missing or unreadable,
        or if the user has too many watches.
        """
        # The loop may close it meanwhile. A closed instance raises ValueError.
        instance = self._inotify
        if instance is None:
            return {}
        numbers: dict[str, int] = {}
        parents = {os.path.dirname(name) for name in trail.names}
        for folder in trail.folders:
            mask = inotify.ITSELF | (inotify.ENTRIES if folder in parents else 0)
            with suppress(OSError, ValueError):
                numbers[folder] = instance.add(folder, mask)
        return numbers

    def keep(self, numbers: Mapping[str, int]) -> None:
        """Remember the numbers of registered directories."""
        for folder, number in numbers.items():
            if self._numbers.get(folder) != number:
                self._drop(folder)
            self._numbers[folder] = number
            self._paths.setdefault(number, set()).add(folder)

    def release(self, needed: Collection[str]) -> None:
        """Stop watching all other directories."""
        for folder in self._numbers.keys() - needed:
            self._drop(folder)

    def _drop(self, folder: str) -> None:
        number = self._numbers.pop(folder, None)
        if number is None:
            return
        self._paths[number].discard(folder)
        if not self._paths[number]:
            del self._paths[number]
            if self._inotify is not None:
                self._inotify.remove(number)

    def events(self) -> Iterator[tuple[str, FolderEvent]]:
        """Yield the events that are there, each with the path of its directory; never wait.

        The path is empty if events were lost.
        """
        for event in self._inotify.read() if self._inotify is not None else ():
            if event.mask & inotify.OVERFLOW:
                yield "", event
            for folder in tuple(self._paths.get(event.watch, ())):
                yield folder, event
                if event.mask & inotify.IGNORED:
                    self._drop(folder)
