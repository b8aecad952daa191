"""Follows the changes of a settings file.

Only the content counts: a file that was touched, or replaced by an equal one, has not changed.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Final

from musterd.errors import SettingsError
from musterd.file_watch import POLL, FileWatch, WatchedFiles
from musterd.settings.describe import field_kind
from musterd.settings.load import parse, read
from musterd.settings.model import Section, Settings

SETTLE: Final = 0.05
"""Seconds without a change after which a new content is used, so that half a write is not."""
NO_FILE: Final = Path("environment")
"""Stands for the file in messages if there is none; paths are relative to the current directory."""
MAX_SETTLE_READS: Final = 100
"""Reads of a content that keeps changing."""


class Watcher:
    """A settings file, its settings, and their changes."""

    def __init__(self, path: Path | None, environ: Mapping[str, str], poll: float = POLL) -> None:
        """Read the file. Raises SettingsError.

        path: None if all settings come from the environment; poll: seconds after which the content
        is compared even without an event.
        """
        self._path = path
        self._environ = environ
        self._seen = _peek(path)
        self._forced = False
        self._poll = poll
        self._watch: WatchedFiles | None = None
        self.settings = self._outcome()
        """The last valid settings."""

    def poke(self) -> None:
        """Read the file now and yield the outcome even if nothing has changed, as for SIGHUP."""
        self._forced = True
        if self._watch is not None:
            self._watch.wake()

    async def changes(self) -> AsyncGenerator[Settings | SettingsError]:
        """Yield new settings, or what is wrong with them, after each change and poke; never end.

        ``settings`` are already the new ones when they are yielded; on an error they stay.
        """
        files = FileWatch(self._poll)
        self._watch = watch = files.watch()
        watching = asyncio.create_task(files.run())
        try:
            while True:
                await watch.follow([] if self._path is None else [str(self._path)])
                outcome = await self._look()
                if outcome is not None:
                    yield outcome
                await watch.changed()
        finally:
            self._watch = None
            watching.cancel()
            await asyncio.wait([watching])

    async def _look(self) -> Settings | SettingsError | None:
        """Read the file. Return the outcome, or None if the content is the same."""
        forced, self._forced = self._forced, False
        seen = await self._settled()
        if _same(seen, self._seen) and not forced:
            return None
        self._seen = seen
        try:
            self.settings = await asyncio.to_thread(self._outcome)
        except SettingsError as error:
            return error
        return self.settings

    async def _settled(self) -> bytes | SettingsError:
        seen = await asyncio.to_thread(_peek, self._path)
        for _ in range(MAX_SETTLE_READS):
            if _same(seen, self._seen):
                break
            await asyncio.sleep(SETTLE)
            last, seen = seen, await asyncio.to_thread(_peek, self._path)
            if _same(last, seen):
                break
        return seen

    def _outcome(self) -> Settings:
        if isinstance(self._seen, SettingsError):
            raise self._seen
        return parse(self._seen, self._path or NO_FILE, self._environ)


def refused(old: Section, new: Section, above: str = "") -> list[str]:
    """Return the keys that differ but cannot be reloaded, such as ``dns.workers``."""
    names: list[str] = []
    for name, field in type(old).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, Section):
            names += refused(before, after, f"{above}{name}.")
        elif before != after and (old.fixed or field_kind(field).extra.get("reload") is False):
            names.append(above + name)
    return names


def _peek(path: Path | None) -> bytes | SettingsError:
    try:
        return b"" if path is None else read(path)
    except SettingsError as error:
        return error


def _same(old: bytes | SettingsError, new: bytes | SettingsError) -> bool:
    if isinstance(old, bytes) or isinstance(new, bytes):
        return old == new
    return old.problems == new.problems
