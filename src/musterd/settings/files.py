"""Checks that the files that settings name can be read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from musterd.settings.check import Fault
from musterd.settings.locate import Loc
from musterd.settings.model import Settings

_LOGIN: Final = ("ca", "cert", "key", "password_file")
"""Keys of a connection to etcd that name files."""


def unreadable(settings: Settings) -> Iterator[Fault]:
    """Yield each file that a server with these settings could not read."""
    for loc, path in named(settings):
        reason = _reason(path)
        if reason:
            yield loc, f"{path}: can't be read: {reason}"
    query_log = settings.query_log.file if settings.query_log.enabled else None
    for section, file in (("log", settings.log.file), ("query_log", query_log)):
        if file is not None and not file.parent.is_dir():
            yield (section, "file"), f"{file}: can't be opened: its directory does not exist"
        elif file is not None and file.is_dir():
            yield (section, "file"), f"{file}: can't be opened: it is a directory"
    wrong = _no_socket(settings.dnstap.socket)
    if wrong:
        yield ("dnstap", "socket"), f"{settings.dnstap.socket}: {wrong}"


def _no_socket(path: Path | None) -> str:
    """Return why a path can't be the socket of a reader, which may create it later."""
    if path is None:
        return ""
    if not path.parent.is_dir():
        return "its directory does not exist"
    return "it is not a socket" if path.exists() and not path.is_socket() else ""


def named(settings: Settings) -> Iterator[tuple[Loc, Path]]:
    """Yield the files that a server with these settings reads."""
    found: list[tuple[Loc, Path | None]] = [
        (("api", "tls_cert"), settings.api.tls_cert),
        (("api", "tls_key"), settings.api.tls_key),
    ]
    found += [(("store", name), getattr(settings.store, name)) for name in _LOGIN]
    for index, source in enumerate(settings.sources.zonefile):
        found.append((("sources", "zonefile", index, "path"), source.path))
    for index, etcd in enumerate(settings.sources.etcd):
        found += [(("sources", "etcd", index, name), getattr(etcd, name)) for name in _LOGIN]
    yield from ((loc, path) for loc, path in found if path is not None)


def _reason(path: Path) -> str:
    """Return why a file can't be read; empty if it can."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return "it is a directory"
        # A pipe could be read only once.
        if stat.S_ISREG(mode):
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except (OSError, ValueError) as error:
        return (isinstance(error, OSError) and error.strerror) or str(error)
    return ""
