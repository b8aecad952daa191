"""Checks that no log is written to a file that musterd uses for something else."""

import os
import re
import stat
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from musterd._core import read_zone
from musterd.file_state import is_regular
from musterd.rr.names import fold, name_from_text
from musterd.settings.check import Fault
from musterd.settings.describe import dotted
from musterd.settings.files import named
from musterd.settings.locate import Loc
from musterd.settings.model import Settings

_STATE: Final = ("store.db*", "*.snapshot", "serials.json", "token")
"""Patterns of the files in ``[state] dir``."""
_LOGGED: Final = re.compile(rb"\{|\d{4}-\d\d-\d\dT")
"""Start of a file that has only lines of a log."""


def overwritten(settings: Settings, path: Path | None) -> Iterator[Fault]:
    """Yield each log whose file is another file of these settings, under any name.

    path: the settings file, None if there is none.
    """
    log, query_log = settings.log.file, settings.query_log.file
    if not settings.query_log.enabled:
        query_log = None
    for loc, file in ((("log", "file"), log), (("query_log", "file"), query_log)):
        if file is not None and (use := _use(file, settings, path)):
            yield loc, f"{file}: is {use}; choose another file"
    if log is not None and query_log is not None and _is_same(log, query_log):
        yield ("query_log", "file"), f"{query_log}: is also [log] file; choose another file"


def _use(file: Path, settings: Settings, path: Path | None) -> str:
    """Return the use that musterd has for a file; empty if it has none."""
    if path is not None and _is_same(file, path):
        return "the configuration file"
    token: tuple[Loc, Path | None] = (("api", "first_token_file"), settings.api.first_token_file)
    for loc, other in (*named(settings), token):
        if other is not None and _is_same(file, other):
            return f"also {_shown(loc)}"
    if settings.state.dir is not None and _is_state(file, settings.state.dir):
        return "a file of [state] dir"
    return _including(file, settings)


def _shown(loc: Loc) -> str:
    """Return the name of a key that names a file."""
    return "a zone file" if loc[:2] == ("sources", "zonefile") else dotted(loc)


def _is_same(file: Path, other: Path) -> bool:
    """Return whether two paths are one file, or will be when it is created."""
    try:
        first, second = file.stat(), other.stat()
    except (OSError, ValueError):
        return os.path.realpath(file) == os.path.realpath(other)
    # Writers do not disturb each other in a terminal or in /dev/null.
    return os.path.samestat(first, second) and not stat.S_ISCHR(first.st_mode)


def _is_state(file: Path, folder: Path) -> bool:
    """Return whether a file is one of those that musterd keeps in a directory, or a link to it."""
    real = Path(os.path.realpath(file))
    if real.parent == Path(os.path.realpath(folder)) and _is_state_name(real.name):
        return True
    try:
        names = [name for name in os.listdir(folder) if _is_state_name(name)]
    except OSError:
        return False
    return any(_is_same(file, folder / name) for name in names)


def _is_state_name(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in _STATE)


def _including(file: Path, settings: Settings) -> str:
    """Return a description of the zone file that includes a file; empty if none does."""
    try:
        if not is_regular(str(file)):
            return ""
        with file.open("rb") as opened:
            start = opened.read(16)
    except OSError:
        return ""
    # Zone files may be large. They are read only if the file is not just a log.
    if not start or _LOGGED.match(start):
        return ""
    for source in settings.sources.zonefile:
        try:
            if not is_regular(str(source.path)):
                continue
            origin = fold(name_from_text(source.zone))
            found = read_zone(str(source.path), origin, 0).files
        except OSError:
            continue
        if any(_is_same(file, Path(included)) for included in found):
            return f"included by {source.path}"
    return ""
