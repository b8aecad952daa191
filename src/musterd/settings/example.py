"""Writes a settings file with the default and description of every key."""

import json
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from musterd.settings.describe import FieldKind, field_kind
from musterd.settings.model import MAX_TTL, Settings

_HEAD = """\
# A musterd configuration with the default of every key. Write only the keys that you change.
# Environment variables override the keys, for example MUSTERD_DNS__WORKERS=2 or
# MUSTERD_DNS__LISTEN="127.0.0.1:53,[::1]:53", or in JSON, MUSTERD_ZONES='[{"name": "a.test"}]'.
# Paths are relative to the directory of this file. Times are in seconds, or a text such as "5m".
# musterd reloads the file when it changes, except where a comment says that a key needs a restart.
"""
_COLUMN = 36
_WIDTH = 100
_ZONE = "lab.internal"


def example() -> str:
    """Return a complete, commented and valid settings file."""
    return "\n".join([_HEAD, *_section(Settings, "", array=False)])


def _section(model: type[BaseModel], path: str, *, array: bool) -> Iterator[str]:
    keys = [(n, f) for n, f in model.model_fields.items() if not _holds_sections(field_kind(f))]
    if keys:
        fixed = getattr(model, "fixed", False)
        restart = " Changes need a restart." if fixed else ""
        yield from (f"# {line}{restart}" for line in (model.__doc__ or "").splitlines()[:1])
        yield f"[[{path}]]" if array else f"[{path}]"
        yield from (_key(name, field) for name, field in keys)
        yield ""
    for name, field in model.model_fields.items():
        kind = field_kind(field)
        inner = kind.model or (kind.item.model if kind.item else None)
        if inner:
            below = f"{path}.{name}" if path else name
            yield from _section(inner, below, array=kind.item is not None)


def _holds_sections(kind: FieldKind) -> bool:
    return kind.model is not None or (kind.item is not None and kind.item.model is not None)


def _key(name: str, field: FieldInfo) -> str:
    kind = field_kind(field)
    about = "; ".join([field.description or "", *_details(kind)])
    derived = kind.extra.get("derived")
    value = kind.extra.get("example") if field.is_required() else field.default
    if derived is not None:
        value = derived.format(zone=_ZONE) if isinstance(derived, str) else derived
    line = f"{'# ' if derived is not None else ''}{name} = {_toml(value)}"
    beside = f"{line:<{_COLUMN}}# {about}"
    return beside if len(beside) <= _WIDTH else f"# {about}:\n{line}"


def _details(kind: FieldKind) -> Iterator[str]:
    """Yield the choices, range, unit and meaning of 0, and whether the key needs a restart."""
    unit, *notes = kind.notes if kind.extra.get("unit") else ("", *kind.notes)
    limits = "" if kind.limits == f"0 to {MAX_TTL}" else kind.limits
    if kind.choices:
        yield ", ".join(kind.choices)
    yield from filter(None, [f"{limits} {unit}".strip()])
    yield from notes
    if kind.extra.get("reload") is False:
        yield "needs a restart"


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)
