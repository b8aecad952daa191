"""Writes a settings file with every key, its default and its meaning, made from the models."""

import json
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from musterd.settings.describe import Kind, field_kind
from musterd.settings.model import TTL_MOST, Settings

_HEAD = """\
# A musterd configuration: every key with its default. Only what differs needs to be written.
# A key above the first [[zones]] can be set from the environment too, where it wins:
# MUSTERD_DNS__WORKERS=2, MUSTERD_DNS__LISTEN="127.0.0.1:53,[::1]:53". A relative path starts
# from the directory of this file. A changed file is read again; what needs a restart says so.
"""
_COLUMN = 36
_WIDTH = 100
_ZONE = "muster.local"


def example() -> str:
    """A complete, commented settings file in TOML, which loads."""
    return "\n".join([_HEAD, *_section(Settings, "", array=False)])


def _section(model: type[BaseModel], path: str, *, array: bool) -> Iterator[str]:
    keys = [(n, f) for n, f in model.model_fields.items() if not _holds_sections(field_kind(f))]
    if keys:
        fixed = getattr(model, "fixed", False)
        restart = " A change needs a restart." if fixed else ""
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


def _holds_sections(kind: Kind) -> bool:
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


def _details(kind: Kind) -> Iterator[str]:
    """Its choices, range, unit, what 0 means, and whether it can be reloaded."""
    unit, *notes = kind.notes if kind.extra.get("unit") else ("", *kind.notes)
    limits = "" if kind.limits == f"0 to {TTL_MOST}" else kind.limits
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
