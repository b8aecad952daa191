"""Follows the changes of a settings file.

Only the content counts: a file that was touched, or replaced by an equal one, has not changed.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from musterd.errors import SettingsError
from musterd.file_state import is_regular
from musterd.file_watch import FileWatch, WatchedFiles
from musterd.settings.describe import field_kind
from musterd.settings.load import NO_FILE, parse, read
from musterd.settings.model import Section, Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Content:
    """The content of the file, or the reason why it can't be read, and the resulting settings."""

    content: bytes | tuple[str, ...]
    outcome: Settings | SettingsError

    @property
    def is_cut(self) -> bool:
        """True if the last line of the content has no end."""
        return isinstance(self.content, bytes) and self.content[-1:] not in {b"", b"\n", b"\r"}

    @property
    def is_blank(self) -> bool:
        """True if the content has no settings."""
        return isinstance(self.content, bytes) and not self.content.strip()


class Watcher:
    """A settings file, its settings, and their changes."""

    def __init__(
        self, path: Path | None, environ: Mapping[str, str], files: FileWatch | None = None
    ) -> None:
        """Read the file now. Raises SettingsError.

        path: None if all settings come from the environment; files: must run as long as
        ``changes`` does.
        """
        self.files = files or FileWatch()
        self._path = path
        self._environ = environ
        self._forced = False
        self._watch: WatchedFiles | None = None
        content = b"" if path is None else read(path)
        self.settings = parse(content, path or NO_FILE, environ)
        """The last valid settings."""
        self._seen = _Content(content, self.settings)

    @classmethod
    async def start(cls, path: Path | None, environ: Mapping[str, str]) -> Self:
        """Read the file as soon as no writer has it open. Raises SettingsError."""
        files = FileWatch()
        running = asyncio.create_task(files.run())
        watch = files.watch()
        try:
            await watch.follow([str(path)] if path else [])
            await watch.read(lambda: None, lambda _: False)
        finally:
            watch.close()
            running.cancel()
            await asyncio.wait([running])
        return cls(path, environ, files)

    def poke(self) -> None:
        """Read the file now and yield the outcome even if nothing has changed, as for SIGHUP.

        All files of the ``FileWatch`` are then read without waiting for them to be quiet.
        """
        self._forced = True
        self.files.hurry()
        if self._watch is not None:
            self._watch.wake()

    async def changes(self) -> AsyncGenerator[Settings | SettingsError]:
        """Yield new settings, or their problems, after each change and poke; never end.

        ``settings`` are already the new ones when they are yielded; on an error they stay.
        """
        self._watch = watch = self.files.watch()
        try:
            await watch.follow([str(self._path)] if self._path else [])
            if self._seen.is_cut:
                self._report_cut()
            while True:
                seen = await watch.read(self._load, self._is_doubtful)
                forced, self._forced = self._forced, False
                if seen.content != self._seen.content or forced:
                    if seen.is_cut and not self._seen.is_cut:
                        self._report_cut()
                    self._seen = seen
                    if isinstance(seen.outcome, Settings):
                        self.settings = seen.outcome
                    yield seen.outcome
                await watch.changed()
        finally:
            self._watch = None
            watch.close()

    def _report_cut(self) -> None:
        log.warning("configuration read although its last line has no end", file=str(self._path))

    def _load(self) -> _Content:
        """Read the file again. A pipe was read to its end at the start."""
        if self._path is None or not is_regular(str(self._path)):
            return self._seen
        try:
            content = read(self._path)
        except SettingsError as error:
            return _Content(error.problems, error)
        if content == self._seen.content:
            return self._seen
        if not content.strip() and not self._seen.is_blank:
            return _Content(content, _emptied(self._path))
        try:
            return _Content(content, parse(content, self._path, self._environ))
        except SettingsError as error:
            return _Content(content, error)

    def _is_doubtful(self, seen: _Content) -> bool:
        """Return whether the file looks cut off, compared with the settings in use."""
        new, old = seen.outcome, self.settings
        if isinstance(new, SettingsError):
            return seen.is_blank
        return (
            (seen.is_cut and not self._seen.is_cut)
            or not old.model_fields_set <= new.model_fields_set
            or not {zone.name for zone in old.zones} <= {zone.name for zone in new.zones}
            or not {s.name for s in old.sources.each()} <= {s.name for s in new.sources.each()}
        )


def _emptied(path: Path) -> SettingsError:
    """Return the error for a file that lost all its settings, which is probably a mistake."""
    return SettingsError(
        f"{path}: is empty, so the settings stay as they were; for the defaults, write a comment"
    )


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
