"""Describes the expected and the actual value of a key, for error messages."""

import difflib
import json
import re
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from musterd.settings.kinds import Expected
from musterd.settings.locate import Loc

_MAX_SHOWN = 60
"""Characters of a value that an error message repeats."""


class FieldKind:
    """The values that a key or an array item may have."""

    def __init__(self, annotation: Any, metadata: Iterable[Any] = (), extra: Any = None) -> None:
        """Unwrap ``Annotated`` and ``None``. extra: the arguments of ``kinds.key``."""
        self.metadata = list(metadata)
        self.extra: dict[str, Any] = extra if isinstance(extra, dict) else {}
        while get_origin(annotation) in (Annotated, Union, types.UnionType):
            if get_origin(annotation) is Annotated:
                annotation, *more = get_args(annotation)
                self.metadata += more
            else:
                annotation = next(a for a in get_args(annotation) if a is not type(None))
        self.type = annotation

    @property
    def model(self) -> type[BaseModel] | None:
        """The section, if the value is one."""
        is_model = isinstance(self.type, type) and issubclass(self.type, BaseModel)
        return self.type if is_model else None

    @property
    def item(self) -> "FieldKind | None":
        """The values of the items, if the value is a list."""
        return FieldKind(get_args(self.type)[0]) if get_origin(self.type) is tuple else None

    @property
    def expects(self) -> str:
        """For example ``a whole number from 0 to 64 (0: one per core)``."""
        for note in self._all(Expected):
            return str(note.text)
        if self.item:
            return self._list()
        if self.choices:
            return _either(self.choices)
        if self.model:
            return "a table"
        return self._scalar()

    @property
    def secret(self) -> bool:
        """True if a value must not be shown."""
        mine = any(note.secret for note in self._all(Expected))
        return mine or (self.item is not None and self.item.secret)

    @property
    def choices(self) -> list[str]:
        """The possible words in TOML's form; empty if any value is possible."""
        words = get_args(self.type) if get_origin(self.type) is Literal else ()
        return [json.dumps(word) for word in words]

    @property
    def limits(self) -> str:
        """For example ``0 to 64``; empty without limits."""
        low = next((m.ge for m in self._all(Ge)), None)
        high = next((m.le for m in self._all(Le)), None)
        return "" if low is None or high is None else f"{low} to {high}"

    @property
    def notes(self) -> list[str]:
        """The unit, and the meaning of 0."""
        zero = self.extra.get("zero")
        return [n for n in (self.extra.get("unit"), f"0: {zero}" if zero else "") if n]

    def _list(self) -> str:
        minimum = next((m.min_length for m in self._all(MinLen)), 0)
        maximum = next((m.max_length for m in self._all(MaxLen)), None)
        size = f"{minimum} to {maximum}" if minimum else f"at most {maximum}"
        item = self.item.expects if self.item else ""
        return f"a list of {size}, each {item}"

    def _scalar(self) -> str:
        if self.type is bool:
            return "true or false"
        if self.type is str:
            return "a text in quotes"
        number = "a whole number" if self.type is int else "a number"
        limits = self.limits
        notes = ", ".join(self.notes).replace("seconds", 'seconds, or a text such as "5m"', 1)
        return number + (f" from {limits}" if limits else "") + (f" ({notes})" if notes else "")

    def _all(self, kind: type) -> Iterator[Any]:
        return (m for m in self.metadata if isinstance(m, kind))


def field_kind(field: FieldInfo) -> FieldKind:
    """Return the values that a field of a section may have."""
    return FieldKind(field.annotation, field.metadata, field.json_schema_extra)


def kind_at(model: type[BaseModel], loc: Loc) -> FieldKind | None:
    """Return the values that are possible at a location, or None if there is no such key."""
    kind: FieldKind | None = FieldKind(model)
    for part in loc:
        if kind is None:
            return None
        if isinstance(part, int):
            kind = kind.item
        else:
            field = kind.model.model_fields.get(part) if kind.model else None
            kind = field_kind(field) if field else None
    return kind


def dotted(loc: Loc) -> str:
    """Return a location as text: ``zones[0].soa.mname``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def found(value: object, *, secret: bool) -> str:
    """Return a value in TOML's form, shortened; of a secret only its size."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if secret:
        return f"a secret of {len(str(value))} characters"
    plain = not isinstance(value, bool | str)
    text = str(value) if plain else json.dumps(value, ensure_ascii=False)
    # A URL may contain credentials where none are expected.
    text = re.sub(r"//[^/@]*@", "//…@", text)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def suggest(wrong: object, known: Iterable[str]) -> str:
    """Return a hint such as ``did you mean "listen"?``, or else all known names."""
    names = sorted(known)
    near = difflib.get_close_matches(str(wrong), names, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"expected {_either(names)}" if names else "none is expected here"


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
