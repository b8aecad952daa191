"""Checks between different parts of the settings.

They read the raw tables and skip values of a wrong type, which are reported elsewhere, so that all
errors of a file are reported at once.
"""

import difflib
import ipaddress
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from musterd.rr.names import fold, name_from_text
from musterd.settings.describe import field_kind
from musterd.settings.environ import is_plain
from musterd.settings.kinds import is_address
from musterd.settings.locate import Loc
from musterd.settings.model import REGISTRY, Settings, Sources, SourceSettings

Fault = tuple[Loc, str]
"""Location and description of an error."""


@dataclass(frozen=True, slots=True)
class _Named:
    """The raw table of a zone or source that has a name."""

    loc: Loc
    name: str
    raw: dict[str, Any]
    zones: tuple[tuple[Loc, str], ...] = ()


def cross(raw: dict[str, Any]) -> Iterator[Fault]:
    """Yield all errors between different parts of raw settings."""
    zones = list(_named(raw, ("zones",)))
    sources = [s for kind in Sources.model_fields for s in _sources(raw, kind)]
    yield from _twice("zone", zones, _fold)
    yield from _twice("source", sources, str)
    yield from _listeners(raw)
    yield from _undeclared(zones, sources)
    yield from _wildcards(raw)
    yield from _api(_table(raw.get("api")))
    yield from _store(raw)
    yield from _reserved(sources)
    for source in sources:
        if "endpoints" in source.raw:
            yield from login(source.loc, source.raw)
            yield from _wildcard_queries(source)
    by_name = {source.name: source for source in sources}
    for zone in zones:
        yield from _zone_sources(zone, by_name, kept=_keeps(raw))


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _fold(name: str) -> bytes:
    """Return a name in the form in which names are compared, the text itself if it is invalid."""
    try:
        return fold(name_from_text(name))
    except ValueError:
        return name.encode()


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
    """Yield the texts of a key whose value is a text or a list of texts."""
    held = named.raw.get(key)
    if isinstance(held, str):
        yield (*named.loc, key), held
    for index, text in enumerate(_list(held)):
        if isinstance(text, str):
            yield (*named.loc, key, index), text


def _twice(noun: str, named: list[_Named], same: Callable[[str], Hashable]) -> Iterator[Fault]:
    seen: set[Hashable] = set()
    for table in named:
        if same(table.name) in seen:
            remedy = "; give one of them another name" if noun == "source" else ""
            yield (*table.loc, "name"), f'{noun} "{table.name}" is declared twice{remedy}'
        seen.add(same(table.name))


@dataclass(frozen=True, slots=True)
class _Listener:
    """An address that a section listens on; given: it is not a default."""

    loc: Loc
    text: str
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    given: bool

    def overlaps(self, other: "_Listener") -> bool:
        """Return whether the system refuses one of two addresses."""
        if self.port != other.port or self.ip.version != other.ip.version:
            return False
        # The sockets of [dns] share their port.
        is_dns = self.loc[0] == other.loc[0] == "dns"
        any_address = self.ip.is_unspecified or other.ip.is_unspecified
        return self.ip == other.ip or (any_address and not is_dns)


def _listeners(raw: dict[str, Any]) -> Iterator[Fault]:
    """Check that no two listeners have the same address; port 0 is any free port."""
    seen: list[_Listener] = []
    for new in _addresses(raw):
        old = next((old for old in seen if old.overlaps(new)), None)
        seen.append(new)
        if old is None:
            continue
        if old.loc[0] == new.loc[0]:
            yield new.loc, f'"{new.text}" is listed twice'
            continue
        at, other = (new, old) if new.given or not old.given else (old, new)
        off = "" if at.loc[0] == "dns" else ', or "" for none'
        why = f'"{at.text}" is in use by [{other.loc[0]}] listen'
        same = "" if at.text == other.text else f', which is "{other.text}"'
        yield at.loc, f"{why}{same}; set another port{off}"


def _addresses(raw: dict[str, Any]) -> Iterator[_Listener]:
    """Yield the valid addresses of all sections, defaults included."""
    for section in ("dns", "metrics", "api"):
        if section == "api" and not _keeps(raw):
            continue
        table = _table(raw.get(section))
        held = table.get("listen", _default_listen(section))
        several = isinstance(held, list | tuple)
        for index, text in enumerate(held if several else [held]):
            if not isinstance(text, str) or not is_address(text) or text.endswith(":0"):
                continue
            host, _, port = text.rpartition(":")
            ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
            loc: Loc = (section, "listen", index) if several else (section, "listen")
            yield _Listener(loc, text, ip, int(port), "listen" in table)


def _default_listen(section: str) -> object:
    model = field_kind(Settings.model_fields[section]).model
    return model.model_fields["listen"].default if model else None


def _undeclared(zones: list[_Named], sources: list[_Named]) -> Iterator[Fault]:
    declared = {_fold(zone.name) for zone in zones}
    for source in sources:
        for loc, zone in source.zones:
            if _fold(zone) not in declared:
                yield loc, f'zone "{zone}" is not declared; add it to [[zones]]'


def _wildcards(raw: dict[str, Any]) -> Iterator[Fault]:
    """Check lists of names in which a wildcard would match nothing."""
    for section, key in (
        ("query_log", "names"),
        ("dnstap", "names"),
        ("api", "hosts"),
        ("metrics", "hosts"),
    ):
        for index, text in enumerate(_list(_table(raw.get(section)).get(key))):
            if isinstance(text, str) and (text == "*" or text.startswith("*.")):
                below = text[2:] or "."
                remedy = f'write "{below}", which includes all names below it'
                remedy = remedy if key == "names" else "list each name"
                yield (section, key, index), f'"{text}" is not a pattern here; {remedy}'


def _api(api: dict[str, Any]) -> Iterator[Fault]:
    """Check TLS: tokens are secret, so they must not be sent in plain text."""
    cert, key = api.get("tls_cert"), api.get("tls_key")
    if bool(cert) != bool(key):
        there, missing = ("tls_cert", "tls_key") if cert else ("tls_key", "tls_cert")
        yield ("api", there), f"also needs {missing}"
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
                yield ("store", name), "applies only to etcd; set url, or remove this key"
        return
    given = api.get("first_token") or api.get("first_token_file")
    if not given and not _has_dir(raw) and api.get("listen") != "":
        why = 'with [state] dir = "", the first token cannot be stored'
        yield ("store", "url"), f"{why}; set [api] first_token or first_token_file"


def login(loc: Loc, table: dict[str, Any]) -> Iterator[Fault]:
    """Yield errors between the keys of an ``EtcdLogin``."""
    for name, others in (
        ("cert", ("key",)),
        ("key", ("cert",)),
        ("user", ("password", "password_file")),
        ("password", ("user",)),
        ("password_file", ("user",)),
    ):
        if table.get(name) and not any(map(table.get, others)):
            yield (*loc, name), f"also needs {' or '.join(others)}"
    for name in ("ca", "cert"):
        if table.get(name) and is_plain(table):
            why = "conflicts with http://, which turns TLS off"
            yield (*loc, name), f"{why}; use https://, or remove this key"
    if table.get("password") and table.get("password_file"):
        yield (*loc, "password_file"), "conflicts with password; remove one of them"


def _wildcard_queries(source: _Named) -> Iterator[Fault]:
    if source.raw.get("wildcard_queries") and source.raw.get("layout", "skydns") != "skydns":
        why = 'applies only to layout = "skydns"; remove this key'
        yield (*source.loc, "wildcard_queries"), why


def _has_dir(raw: dict[str, Any]) -> bool:
    return _table(raw.get("state")).get("dir") != ""


def _keeps(raw: dict[str, Any]) -> bool:
    return _has_dir(raw) or bool(_table(raw.get("store")).get("url"))


def _reserved(sources: list[_Named]) -> Iterator[Fault]:
    for source in sources:
        if source.name == REGISTRY:
            yield (
                (*source.loc, "name"),
                f'"{REGISTRY}" is reserved for the registry; choose another name',
            )


def _zone_sources(zone: _Named, by_name: dict[str, _Named], *, kept: bool) -> Iterator[Fault]:
    seen: set[str] = set()
    for loc, name in _texts(zone, "sources"):
        if name in seen:
            yield loc, f'source "{name}" is listed twice'
        elif name == REGISTRY:
            if not kept:
                yield loc, f'no {REGISTRY}, because [state] dir is ""; set it, or [store] url'
        elif name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            yield loc, f'unknown source "{name}"{hint}'
        elif _fold(zone.name) not in {_fold(served) for _, served in by_name[name].zones}:
            yield loc, f'source "{name}" does not serve zone "{zone.name}"'
        seen.add(name)
