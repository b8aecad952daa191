"""Checks that a server could use the files that settings name. Nothing is created or changed."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from musterd._core import read_zone
from musterd.rr.names import fold, name_from_text
from musterd.settings.check import Fault
from musterd.settings.locate import Loc
from musterd.settings.model import Settings

_LOGIN: Final = ("ca", "cert", "key", "password_file")
"""Keys of a connection to etcd that name files."""
_KERNEL: Final = ("/proc", "/sys")
"""Directories whose files only the kernel creates."""


def unusable(settings: Settings) -> Iterator[Fault]:
    """Yield each file that a server with these settings could not read or write."""
    for loc, path in named(settings):
        reason = _reason(path)
        if reason:
            yield loc, f"{path}: can't be read: {reason}"
    for index, source in enumerate(settings.sources.zonefile):
        for why in _unloaded(source.path, source.zone):
            yield ("sources", "zonefile", index, "path"), why
    for section, file in _logs(settings):
        why = _unwritable(file)
        if why:
            yield (section, "file"), f"{file}: can't be opened: {why}"
    if settings.state.dir is not None:
        # The default belongs to the user of the service, who need not be the one of the check.
        is_default = "dir" not in settings.state.model_fields_set
        why = _no_folder(settings.state.dir, ignore_rights=is_default)
        if why:
            yield ("state", "dir"), f"{settings.state.dir}: {why}"
    wrong = _no_socket(settings.dnstap.socket)
    if wrong:
        yield ("dnstap", "socket"), f"{settings.dnstap.socket}: {wrong}"


def waits(settings: Settings) -> Iterator[str]:
    """Yield a warning for each log that is a pipe, as its reader may not run yet."""
    for section, file in _logs(settings):
        if file.is_fifo():
            effect = "waits until" if section == "log" else "starts only if"
            yield f"{section}.file: {file} is a pipe: musterd {effect} a reader has it open"


def _logs(settings: Settings) -> Iterator[tuple[str, Path]]:
    if settings.log.file is not None:
        yield "log", settings.log.file
    if settings.query_log.enabled and settings.query_log.file is not None:
        yield "query_log", settings.query_log.file


def _unloaded(path: Path, zone: str) -> Iterator[str]:
    """Yield why the records of a zone file would not be served at all."""
    if _reason(path):
        # Reported for all files together.
        return
    if not path.is_file():
        yield f"{path}: can't be read: not a regular file"
        return
    try:
        found = read_zone(str(path), fold(name_from_text(zone)), 0)
    except OSError as error:
        yield f"{path}: can't be read: {error.strerror or error}"
        return
    unread = tuple(f"$INCLUDE {name}: " for name in found.unread)
    served = found.rrsets or found.foreign
    problems = (
        found.problems if not served else [p for p in found.problems if p[2].startswith(unread)]
    )
    shown = problems if served else problems[:1]
    for file, line, why in shown:
        yield (
            f"{file}:{line}: {why}"
            if served
            else f"nothing in it can be served: {file}:{line}: {why}"
        )


def _unwritable(file: Path) -> str:
    """Return why a log can't be opened; empty if it can."""
    if file.is_dir():
        return "it is a directory"
    if file.exists():
        return _no_access(file, os.W_OK)
    if not file.parent.is_dir():
        return "its directory does not exist"
    return _no_new(file.parent)


def _no_folder(folder: Path, *, ignore_rights: bool) -> str:
    """Return why a directory can't be used or created; empty if it can."""
    if folder.is_dir():
        why = _no_access(folder, os.R_OK | os.W_OK | os.X_OK, ignore_rights=ignore_rights)
        return why and f"can't be written to: {why}"
    if os.path.lexists(folder):
        return "is not a directory"
    above = next(above for above in folder.absolute().parents if os.path.lexists(above))
    if not above.is_dir():
        return f"can't be created: {above} is not a directory"
    why = _no_new(above, ignore_rights=ignore_rights)
    return why and f"can't be created: {above}: {why}"


def _no_new(folder: Path, *, ignore_rights: bool = False) -> str:
    """Return why nothing can be created in a directory; empty if it can."""
    for kernel in _KERNEL:
        if os.path.ismount(kernel) and folder.stat().st_dev == os.stat(kernel).st_dev:
            return f"no file can be created in {kernel}"
    return _no_access(folder, os.W_OK | os.X_OK, ignore_rights=ignore_rights)


def _no_access(path: Path, mode: int, *, ignore_rights: bool = False) -> str:
    """Return why this user lacks access to a file or directory; empty if there is access."""
    if os.access(path, mode):
        return ""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return "its file system is read-only"
    return "" if ignore_rights else "permission denied; check it as the user that runs musterd"


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
