"""Reads a settings file and the environment, and reports all errors at once."""

import json
import re
import sys
import tomllib
from ast import literal_eval
from codecs import BOM_UTF8
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from musterd.errors import SettingsError
from musterd.settings.check import Fault, cross
from musterd.settings.complete import complete
from musterd.settings.describe import FieldKind, dotted, found, kind_at, suggest
from musterd.settings.environ import etcd_files, overlay
from musterd.settings.files import unusable
from musterd.settings.locate import Loc, Locator
from musterd.settings.model import Settings
from musterd.settings.own_files import overwritten

MAX_FILE = 16 * 2**20
"""Bytes of a settings file."""

_NAMES: Final = re.compile(r"(?<=^Cannot declare )\(.+\)|(?<= namespace )\(.+\)")
"""The names of a key in a message of ``tomllib``."""

NO_FILE: Final = Path("environment")
"""Stands for the file in messages if there is none; paths are relative to the current directory."""


def load(path: Path | None, environ: Mapping[str, str], *, with_files: bool = False) -> Settings:
    """Read a settings file, if there is one; ``environ`` overrides it.

    with_files: also check that a server could use the files that it names. Raises SettingsError
    with all errors, each with file and line, or variable, and key.
    """
    content = b"" if path is None else read(path)
    return parse(content, path or NO_FILE, environ, with_files=with_files)


def read(path: Path) -> bytes:
    """Return the content of a settings file. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        remedy = "; the user that runs musterd must be able to read it"
        remedy = remedy if isinstance(error, PermissionError) else ""
        raise SettingsError(f"{path}: can't be read: {error.strerror}{remedy}") from error
    if len(content) > MAX_FILE:
        raise SettingsError(f"{path}: is larger than {MAX_FILE} bytes")
    # Some editors begin a file with a byte order mark.
    return content.removeprefix(BOM_UTF8)


def parse(
    content: bytes, path: Path, environ: Mapping[str, str], *, with_files: bool = False
) -> Settings:
    """Create settings from the content of a file. Paths are relative to its directory.

    Raises SettingsError as ``load`` does.
    """
    text, raw = _toml(content, path)
    given, problems = overlay(Settings, environ)
    for loc, (_, value) in given.items():
        _put(raw, loc, value)
    files = etcd_files(raw, environ)
    for loc, (_, file) in files.items():
        _put(raw, loc, file)
    given |= files
    added = complete(raw)
    faults = list(cross(raw))
    settings = None
    try:
        settings = Settings.model_validate(raw, context={"base": path.absolute().parent})
    except ValidationError as error:
        errors = error.errors()
        within = {details["loc"][:-1] for details in errors}
        # A list with invalid items is also reported as too short.
        faults += [
            _fault(details)
            for details in errors
            if details["type"] != "too_short" or details["loc"] not in within
        ]
    if settings is not None:
        faults += overwritten(settings, None if path is NO_FILE else path)
        faults += unusable(settings) if with_files else ()
    faults = [(_origin(loc, added), message) for loc, message in faults]
    problems = [*_located(faults, path, text, given), *problems]
    if settings is None or problems:
        raise SettingsError(*problems)
    return settings


def _toml(content: bytes, path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}:{line}: is not UTF-8") from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(_syntax(str(error), text, path)) from error
    except RecursionError as error:
        raise SettingsError(f"{path}: arrays or tables are nested too deeply") from error


def _syntax(message: str, text: str, path: Path) -> str:
    """Return the message of ``tomllib`` with the line in front, as in our messages."""
    at = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if at is None:
        return f"{path}: is not TOML: {message}"
    reason = _NAMES.sub(lambda names: _key(names.group()), message[: at.start()])
    line = at.group(1) or text.rstrip("\n").count("\n") + 1
    column = f" (column {at.group(2)})" if at.group(2) else " (the file ends here)"
    return f"{path}:{line}: is not TOML: {reason}{column}"


def _key(names: str) -> str:
    """Return the names of a key, which ``tomllib`` shows as a tuple, in TOML's form."""
    parts = literal_eval(names)
    return ".".join(p if re.fullmatch("[A-Za-z0-9_-]+", p) else json.dumps(p) for p in parts)


def _put(raw: dict[str, Any], loc: Loc, value: object) -> None:
    """Set a value in nested tables, unless one of them is not a table, which is reported later."""
    table: object = raw
    for part in loc[:-1]:
        if isinstance(table, list) and isinstance(part, int):
            table = table[part]
        elif isinstance(table, dict):
            table = table.setdefault(part, {})
        else:
            return
    if isinstance(table, dict):
        table[loc[-1]] = value


def _fault(details: ErrorDetails) -> Fault:
    loc: Loc = details["loc"]
    if details["type"] == "extra_forbidden":
        above = kind_at(Settings, loc[:-1])
        known = above.model.model_fields if above and above.model else ()
        return loc, f"unknown key, {suggest(loc[-1], known)}"
    kind = kind_at(Settings, loc) or FieldKind(object)
    if details["type"] == "missing":
        return loc, f"missing, expected {kind.expects}"
    cause = (details.get("ctx") or {}).get("error")
    expected = str(cause) if isinstance(cause, ValueError) else f"expected {kind.expects}"
    return loc, f"got {found(details['input'], secret=kind.secret)}, {expected}"


def _origin(loc: Loc, added: Mapping[Loc, Loc]) -> Loc:
    """Return the location in the file of an error in a source that ``complete`` has added."""
    return next((origin for source, origin in added.items() if loc[: len(source)] == source), loc)


def _located(
    faults: list[Fault], path: Path, text: str, given: Mapping[Loc, tuple[str, object]]
) -> list[str]:
    """Return the errors of the file in its order, then the errors of the environment."""
    if not faults:
        return []
    locator = Locator(text)
    lines: list[tuple[int, str]] = []
    for loc, message in faults:
        name = next((given[loc[:n]][0] for n in range(len(loc), 0, -1) if loc[:n] in given), None)
        line = sys.maxsize if name else locator.line(loc)
        where = name or f"{path}:{line}"
        lines.append((line, f"{where}: {dotted(loc)}: {message}"))
    return [problem for _, problem in sorted(lines, key=lambda item: item[0])]
