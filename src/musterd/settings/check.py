"""Checks between one part of a configuration and another.

They read the raw tables and pass over what is of a wrong type, which others report, so that one
look shows every fault of a file.
"""

import difflib
import ipaddress
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from musterd.settings.describe import field_kind
from musterd.settings.locate import Loc
from musterd.settings.model import REGISTRY, Sources, SourceSettings

Fault = tuple[Loc, str]
"""Where, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class _Named:
    """The raw table of a zone or a source that has a name."""

    loc: Loc
    name: str
    raw: dict[str, Any]
    zones: tuple[tuple[Loc, str], ...] = ()


def cross(raw: dict[str, Any]) -> Iterator[Fault]:
    """Every fault between the parts of a raw configuration."""
    zones = list(_named(raw, ("zones",)))
    sources = [s for kind in Sources.model_fields for s in _sources(raw, kind)]
    yield from _twice("zone", zones, _fold)
    yield from _twice("source", sources, str)
    yield from _listeners(raw)
    yield from _undeclared(zones, sources)
    yield from _api(_table(raw.get("api")))
    yield from _store(raw)
    yield from _reserved(sources)
    for source in sources:
        if "endpoints" in source.raw:
            yield from login(source.loc, source.raw)
    by_name = {source.name: source for source in sources}
    for zone in zones:
        yield from _zone_sources(zone, by_name, kept=_keeps(raw))


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _fold(name: str) -> str:
    return name.removesuffix(".").lower()


def _named(raw: dict[str, Any], loc: tuple[str, ...]) -> Iterator[_Named]:
    for name in loc[:-1]:
        raw = _table(raw.get(name))
    for index, item in enumerate(_list(raw.get(loc[-1]))):
        if isinstance(_table(item).get("name"), str):
            yield _Named((*loc, index), item["name"], item)


def _sources(raw: dict[str, Any], kind: str) -> Iterator[_Named]:
    item = field_kind(Sources.model_fields[kind]).item
    model = item.model if item else None
    keys = model.zone_keys if model and issubclass(model, SourceSettings) else ()
    for source in _named(raw, ("sources", kind)):
        zones = tuple(found for key in keys for found in _texts(source, key))
        yield _Named(source.loc, source.name, source.raw, zones)


def _texts(named: _Named, key: str) -> Iterator[tuple[Loc, str]]:
    """The texts of a key that holds one or a list of them."""
    held = named.raw.get(key)
    if isinstance(held, str):
        yield (*named.loc, key), held
    for index, text in enumerate(_list(held)):
        if isinstance(text, str):
            yield (*named.loc, key, index), text


def _twice(noun: str, named: list[_Named], same: Callable[[str], str]) -> Iterator[Fault]:
    seen: set[str] = set()
    for one in named:
        if same(one.name) in seen:
            yield (*one.loc, "name"), f'{noun} "{one.name}" is declared twice'
        seen.add(same(one.name))


def _listeners(raw: dict[str, Any]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, text in enumerate(_list(_table(raw.get("dns")).get("listen"))):
        if isinstance(text, str) and not text.endswith(":0"):
            if text in seen:
                yield ("dns", "listen", index), f'"{text}" is listed twice'
            seen.add(text)


def _undeclared(zones: list[_Named], sources: list[_Named]) -> Iterator[Fault]:
    declared = {_fold(zone.name) for zone in zones}
    for source in sources:
        for loc, zone in source.zones:
            if _fold(zone) not in declared:
                yield loc, f'zone "{zone}" is not declared; add a [[zones]] with this name'


def _api(api: dict[str, Any]) -> Iterator[Fault]:
    """A token is as good as a password: it must not be readable on its way."""
    cert, key = api.get("tls_cert"), api.get("tls_key")
    if bool(cert) != bool(key):
        there, missing = ("tls_cert", "tls_key") if cert else ("tls_key", "tls_cert")
        yield ("api", there), f"needs {missing} too"
    listen = api.get("listen")
    if isinstance(listen, str) and listen and not cert and api.get("allow_plain") is not True:
        host = listen.rpartition(":")[0].removeprefix("[").removesuffix("]")
        with suppress(ValueError):
            if not ipaddress.ip_address(host).is_loopback:
                plain = f"tokens would cross the network in plain text to {listen}"
                yield ("api", "listen"), f"{plain}; set tls_cert and tls_key, or allow_plain = true"


def _store(raw: dict[str, Any]) -> Iterator[Fault]:
    store, api = _table(raw.get("store")), _table(raw.get("api"))
    yield from login(("store",), store)
    if not store.get("url"):
        for name in ("ca", "cert", "key", "user", "password", "password_file"):
            if store.get(name):
                yield ("store", name), "is for an etcd; set url to one, or remove it"
        return
    given = api.get("first_token") or api.get("first_token_file")
    if not given and not _has_dir(raw) and api.get("listen") != "":
        why = 'with [state] dir = "" the first token has no place'
        yield ("store", "url"), f"{why}; set [api] first_token or first_token_file"


def login(loc: Loc, table: dict[str, Any]) -> Iterator[Fault]:
    """The faults between the keys of an ``EtcdLogin``."""
    for one, others in (
        ("cert", ("key",)),
        ("key", ("cert",)),
        ("user", ("password", "password_file")),
        ("password", ("user",)),
        ("password_file", ("user",)),
    ):
        if table.get(one) and not any(map(table.get, others)):
            yield (*loc, one), f"needs {' or '.join(others)} too"
    if table.get("password") and table.get("password_file"):
        yield (*loc, "password_file"), "is given beside password; leave one out"


def _has_dir(raw: dict[str, Any]) -> bool:
    return _table(raw.get("state")).get("dir") != ""


def _keeps(raw: dict[str, Any]) -> bool:
    return _has_dir(raw) or bool(_table(raw.get("store")).get("url"))


def _reserved(sources: list[_Named]) -> Iterator[Fault]:
    for source in sources:
        if source.name == REGISTRY:
            yield (*source.loc, "name"), f'"{REGISTRY}" is that of the registry; take another'


def _zone_sources(zone: _Named, by_name: dict[str, _Named], *, kept: bool) -> Iterator[Fault]:
    seen: set[str] = set()
    for loc, name in _texts(zone, "sources"):
        if name in seen:
            yield loc, f'source "{name}" is listed twice'
        elif name == REGISTRY:
            if not kept:
                yield loc, f'there is no {REGISTRY}, as [state] dir is ""; set it, or [store] url'
        elif name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            yield loc, f'no source is named "{name}"{hint}'
        elif _fold(zone.name) not in {_fold(served) for _, served in by_name[name].zones}:
            yield loc, f'source "{name}" does not serve zone "{zone.name}"'
        seen.add(name)
