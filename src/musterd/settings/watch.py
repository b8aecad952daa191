"""Follows the changes of a settings file, however they are made.

A mounted ConfigMap is changed by swapping a link above the file, an editor renames a new file over
the old, a script writes in place: so every directory on the way to the file is watched, and only
its content counts.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from musterd.errors import SettingsError
from musterd.settings.describe import field_kind
from musterd.settings.load import parse, read
from musterd.settings.model import Section, Settings

POLL = 5.0
"""Seconds after which the content is compared even if no change was told, as over NFS."""
SETTLE = 0.05
"""Seconds for which a changed content must stay the same, so that half a write isn't taken."""
SETTLE_MOST = 100
"""The most looks at a content that doesn't settle."""
LINKS_MOST = 40
"""The most symbolic links on the way to the file, as the kernel's limit."""


class Watcher:
    """A settings file, what it says, and how that changes."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        """Read the file for the first time. Raises SettingsError."""
        self._path = path
        self._environ = environ
        self._seen = _peek(path)
        self._forced = False
        self._stop = asyncio.Event()
        self.settings = self._outcome()
        """The last that were right."""

    def poke(self) -> None:
        """Read the file now, as SIGHUP asks; the outcome is told even if nothing changed."""
        self._forced = True
        self._stop.set()

    async def changes(self) -> AsyncGenerator[Settings | SettingsError]:
        """Give new settings, or what is wrong with them, upon each change and poke; never ends.

        ``settings`` are the new ones already when they are given, and stay on an error.
        """
        while True:
            folders = await asyncio.to_thread(_folders, self._path)
            with _notify(folders) as notify:
                # Watched first and looked at then: a change in between is not lost.
                while folders == await asyncio.to_thread(_folders, self._path):
                    outcome = await self._look()
                    if outcome is not None:
                        yield outcome
                    await self._event(notify)

    async def _event(self, notify: RustNotify | None) -> None:
        """Wait for a change in a folder, a poke, or the poll."""
        if notify is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), POLL)
        elif not self._forced:
            limits = int(1000 * SETTLE), int(1000 * SETTLE), int(1000 * POLL)
            waiting = asyncio.ensure_future(asyncio.to_thread(notify.watch, *limits, self._stop))
            try:
                await asyncio.shield(waiting)
            except asyncio.CancelledError:
                self._stop.set()
                await waiting
                raise
        self._stop.clear()

    async def _look(self) -> Settings | SettingsError | None:
        """The outcome of reading the file, or None where it is the one that is known."""
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
        for _ in range(SETTLE_MOST):
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
        return parse(self._seen, self._path, self._environ)


def refused(old: Section, new: Section, above: str = "") -> list[str]:
    """The keys that differ but can't be reloaded, as ``dns.workers``."""
    names: list[str] = []
    for name, field in type(old).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, Section):
            names += refused(before, after, f"{above}{name}.")
        elif before != after and (old.fixed or field_kind(field).extra.get("reload") is False):
            names.append(above + name)
    return names


@contextmanager
def _notify(folders: frozenset[Path]) -> Iterator[RustNotify | None]:
    """Watch folders, from here on; None where the system can't."""
    try:
        notify = RustNotify([str(folder) for folder in folders], False, False, 0, False, True)
    except (OSError, WatchfilesRustInternalError):
        # A folder went meanwhile, or the system's watches are all in use.
        yield None
        return
    with notify:
        yield notify


def _peek(path: Path) -> bytes | SettingsError:
    try:
        return read(path)
    except SettingsError as error:
        return error


def _same(one: bytes | SettingsError, other: bytes | SettingsError) -> bool:
    if isinstance(one, bytes) or isinstance(other, bytes):
        return one == other
    return one.problems == other.problems


def _folders(path: Path) -> frozenset[Path]:
    """Every directory in which a change of a link, or of the file, changes what is read."""
    steps, here = list(path.absolute().parts[1:]), Path(path.absolute().anchor)
    folders: set[Path] = set()
    links = 0
    while steps:
        step = here / steps.pop(0)
        target = _link(step) if links < LINKS_MOST else None
        if target is not None:
            links += 1
            folders.add(here)
            steps = [*target.parts, *steps]
        elif steps or os.path.isdir(step):
            here = Path(os.path.normpath(step))
    return frozenset(_existing(folder) for folder in {*folders, here})


def _link(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None


def _existing(folder: Path) -> Path:
    while not os.path.isdir(folder):
        folder = folder.parent
    return folder
