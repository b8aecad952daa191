"""Settings from the environment: ``MUSTERD_DNS__WORKERS=2`` sets ``dns.workers``.

Every scalar and every list has a variable, except inside arrays of tables. The items of a list of
texts are separated by commas. An array of tables, such as ``MUSTERD_ZONES``, is a list in JSON.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel

from musterd.settings.describe import FieldKind, field_kind
from musterd.settings.locate import Loc

PREFIX = "MUSTERD_"
CLIENT = frozenset({"MUSTERD_SERVER", "MUSTERD_TOKEN", "MUSTERD_TOKEN_FILE"})
"""Variables of the client, which are not settings."""

_ETCD_FILES = {"ca": "ETCD_CACERT", "cert": "ETCD_TLSPEM", "key": "ETCD_TLSKEY"}
"""Variables that other DNS servers on etcd use as well."""

# Kubernetes sets such variables for all services of a namespace. Those of a service named
# musterd or musterd-metrics are not mistyped keys.
_KUBERNETES = re.compile(
    r"MUSTERD_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?"
    r"|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


def variables(model: type[BaseModel]) -> dict[str, tuple[Loc, FieldKind]]:
    """Return all variables of a model, with the location that each sets and its values."""
    return dict(_walk(model, ()))


def _walk(model: type[BaseModel], above: Loc) -> Iterator[tuple[str, tuple[Loc, FieldKind]]]:
    for name, field in model.model_fields.items():
        kind, loc = field_kind(field), (*above, name)
        if kind.model:
            yield from _walk(kind.model, loc)
        else:
            yield PREFIX + "__".join(str(part) for part in loc).upper(), (loc, kind)


def overlay(
    model: type[BaseModel], environ: Mapping[str, str]
) -> tuple[dict[Loc, tuple[str, object]], list[str]]:
    """Return the settings of the environment, location -> (variable, value), and the problems."""
    known = variables(model)
    given: dict[Loc, tuple[str, object]] = {}
    problems: list[str] = []
    for name in sorted(environ):
        if name in known:
            loc, kind = known[name]
            try:
                given[loc] = (name, _value(kind, environ[name]))
            except ValueError as error:
                problems.append(f"{name}: {error}")
        elif name.startswith(PREFIX) and name not in CLIENT and not _of_kubernetes(name):
            problems.append(f"{name}: unknown variable{_hint(name, known)}")
    return given, problems


def _hint(name: str, known: Iterable[str]) -> str:
    """Return the nearest variable, or what to do if none is near."""
    # The prefix is equal in all of them.
    endings = [other.removeprefix(PREFIX) for other in known]
    near = difflib.get_close_matches(name.removeprefix(PREFIX), endings, n=1)
    if near:
        return f', did you mean "{PREFIX}{near[0]}"?'
    return "; remove it, or name a key as in MUSTERD_DNS__LISTEN (all keys: musterd config example)"


def etcd_files(raw: Mapping[str, object], environ: Mapping[str, str]) -> dict[Loc, tuple[str, str]]:
    """Return TLS files of etcd that only the environment sets: location -> (variable, value)."""
    found: dict[Loc, tuple[str, str]] = {}
    for loc, table in _etcds(raw):
        if is_plain(table):
            continue
        for name, variable in _ETCD_FILES.items():
            if name not in table and environ.get(variable):
                found[*loc, name] = variable, environ[variable]
    return found


def _etcds(raw: Mapping[str, object]) -> Iterator[tuple[Loc, Mapping[str, object]]]:
    """Yield the raw tables with the settings of an etcd."""
    store = raw.get("store")
    if isinstance(store, dict) and store.get("url"):
        yield ("store",), store
    sources = raw.get("sources")
    kept = sources.get("etcd") if isinstance(sources, dict) else None
    for index, table in enumerate(kept if isinstance(kept, list) else ()):
        if isinstance(table, dict):
            yield ("sources", "etcd", index), table


def is_plain(table: Mapping[str, object]) -> bool:
    """Return whether the endpoints in the raw settings of an etcd begin with ``http://``."""
    endpoints = table.get("endpoints")
    first = endpoints[:1] if isinstance(endpoints, list) else [table.get("url")]
    return any(isinstance(text, str) and text.startswith("http://") for text in first)


def _of_kubernetes(name: str) -> bool:
    return "__" not in name and _KUBERNETES.fullmatch(name) is not None


def _value(kind: FieldKind, text: str) -> object:
    """Convert a text to the type of a setting; return it unchanged if that is impossible.

    Raises ValueError if it should be JSON and is not.
    """
    if kind.item is not None and kind.item.model is not None:
        return _json(text)
    if kind.item is not None:
        return [part.strip() for part in text.split(",")] if text.strip() else []
    if kind.type is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind.type is int and re.fullmatch("-?[0-9]{1,18}", text):
        return int(text)
    if kind.type is float and re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text):
        return float(text)
    return text


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        # The text may hold a password, so it is not repeated.
        where = f"line {error.lineno}, column {error.colno}"
        example = '[{"name": "example.internal"}]'
        raise ValueError(
            f"is not JSON: {error.msg} ({where}); expected a list of tables, such as {example}"
        ) from None
