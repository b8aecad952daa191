"""Layouts of records in etcd, and the names of their keys.

In all layouts a key is a prefix and the labels of a name, the last label first:
``/skydns/internal/lab/web`` is web.lab.internal. A key without its prefix is a *path*:
``internal/lab/web``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from musterd.rr.names import IN_ADDR, IP6, MAX_LABEL_BYTES, MAX_NAME_BYTES
from musterd.rr.types import MX, NS, TXT, A

MAX_PATH_BYTES: Final = MAX_NAME_BYTES - 2
"""Maximum bytes of a path: its name has a byte before the first label and one at the end."""
_PLAIN = rb"[!-,\-0-@\[-~]{1,63}"
"""A label of a regular key: printable, in lower case, without dots."""
_LABEL = re.compile(_PLAIN)
_ANY = re.compile(rb"[!-.0-~]+(?:/[!-.0-~]+)*/?")
_LENGTHS = tuple(bytes([length]) for length in range(MAX_LABEL_BYTES + 1))


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of the keys of a system."""

    prefix: str
    """Default prefix of its keys."""
    slash: bool = False
    """True if a key ends in a slash."""
    typed: bool = False
    """True if a value names the type of its record."""
    status: str = ""
    """Path of the statuses of addresses below the prefix, if there are any."""
    apex: Mapping[int, bytes] = field(default_factory=dict)
    """Type -> path below the path of a zone, with the records of the apex."""
    whole: bool = False
    """True if an apex without such records has the records of the whole zone."""


LAYOUTS: Final = {
    "skydns": Layout("/skydns", apex={A: b"dns/apex", NS: b"dns/ns"}, whole=True),
    "hades": Layout(
        "/hades",
        typed=True,
        status="monitor/status",
        apex={A: b"dns/dns-ip", NS: b"dns/ns", TXT: b"txt", MX: b"mail"},
    ),
    "containerdns": Layout(
        "/containerdns",
        slash=True,
        typed=True,
        status="monitor/status",
        apex={A: b"dns/dns-ip", NS: b"dns/ns", TXT: b"txt", MX: b"mail"},
    ),
}


class ServiceKey(NamedTuple):
    """A key of a record.

    path: of its name; head: its sort key (see ``KeyCodec``); irregular: True if the key is not
    written as its path is.
    """

    path: bytes
    head: bytes
    irregular: bool


class Family(NamedTuple):
    """The names below one path. start: prefix of their paths; name: the path as a wire name."""

    start: bytes
    name: bytes
    above: Sequence[bytes]


class KeyCodec:
    """Translates between keys below a prefix, paths and heads, for names in some zones.

    Heads sort as the keys do in etcd, and the head of a name before those below it. The head of a
    regular key is ``path 0 0``, that of an irregular key ``path 0 1 key 0``.
    """

    def __init__(self, layout: Layout, prefix: str, zones: Iterable[bytes]) -> None:
        """Create a codec. zones: folded wire names."""
        self.prefix = prefix.encode() + b"/"
        self.zones = {path_of(apex): apex for apex in zones}
        """Path -> wire name."""
        self.layout = layout
        self._end = b"/" if layout.slash else b""
        self._plain = re.compile(rb"%b(?:/%b)*%b" % (_PLAIN, _PLAIN, self._end))
        self.plain = self._end + b"\0\0"
        """Suffix of the path in the head of a regular key."""
        self._places = tuple({b"/" + place for place in layout.apex.values()})
        self._family: Family | None = None
        self._parent = b""
        """Parent of the last key that ``child`` read, with its ``Family``."""
        self._top = b""
        self._above: tuple[bytes, list[bytes]] = b"", []

    def read(self, raw: bytes) -> ServiceKey | None:
        """Parse a key; None if its name is outside the zones.

        Raises ValueError if DNS can't have its name. Upper case is folded, a trailing slash is
        ignored, and a part with dots stands for several labels. What follows a whole reverse name
        only tells its keys apart.
        """
        rest = raw[len(self.prefix) :]
        plain = self._plain.fullmatch(rest) is not None
        path = (rest[: -len(self._end)] if self._end else rest) if plain else _straight(rest)
        if self.top(path) is None:
            return None
        if not plain:
            _check(rest, path)
        if len(path) > MAX_PATH_BYTES:
            raise ValueError(f"its name has {len(path) + 2} bytes, at most {MAX_NAME_BYTES}")
        below = _BELOW_ADDRESS.match(path)
        if below is not None and self.top(below[1]) is not None:
            return self.irregular(below[1], raw)
        return (
            ServiceKey(path, rest + b"\0\0", irregular=False)
            if plain
            else self.irregular(path, raw)
        )

    def child(self, raw: bytes) -> tuple[bytes, bytes, Sequence[bytes]] | None:
        """Return path, wire name and ``above`` of a regular key; None if ``read`` is needed.

        A faster ``read`` for keys whose neighbours have the same parent.
        """
        at = raw.rfind(b"/")
        if raw[:at] != self._parent:
            self._parent = raw[:at]
            self._family = self._family_of(raw[len(self.prefix) : at])
        family, label = self._family, raw[at + 1 :]
        if family is None or not _LABEL.fullmatch(label):
            return None
        path = family.start + label
        if len(path) > MAX_PATH_BYTES or path in self.zones:
            return None
        return path, _LENGTHS[len(label)] + label + family.name, family.above

    def _family_of(self, parent: bytes) -> Family | None:
        """Return the ``Family`` of a path; None if a name below it may be special."""
        if self._end or not self._plain.fullmatch(parent) or self.top(parent) is None:
            return None
        start = parent + b"/"
        if is_reverse(start) or any(
            place[: place.rindex(b"/") + 1] in start for place in self._places
        ):
            return None
        return Family(start, name_of(parent), self.above(start))

    def irregular(self, path: bytes, raw: bytes) -> ServiceKey:
        """Return an irregular key of a path."""
        return ServiceKey(path, b"".join((path, self._end, b"\0\1", raw, b"\0")), irregular=True)

    def bound(self, raw: bytes) -> bytes:
        """Return a bound above the heads of all keys up to this one, and below those after it."""
        return raw[len(self.prefix) :] + b"\0\2"

    def own(self, path: bytes) -> tuple[bytes, bytes]:
        """Return the bounds of the heads of a path itself."""
        return path + self._end + b"\0", path + self._end + b"\1"

    def below(self, path: bytes) -> tuple[bytes, bytes]:
        """Return the bounds of the heads below a path; and of itself, if keys end in a slash."""
        return path + b"/", path + b"0"

    @property
    def below_has_own(self) -> bool:
        """True if the heads below a path include its own."""
        return bool(self._end)

    def raw(self, item: bytes) -> bytes:
        """Return the key in etcd of an item."""
        at = item.index(b"\0")
        if item[at + 1]:
            return item[at + 2 : item.index(b"\0", at + 2)]
        return self.prefix + item[:at]

    def split(self, item: bytes) -> tuple[bytes, int]:
        """Return the path of an item, and the end of its head."""
        at = item.index(b"\0")
        path = item[: at - 1] if self._end else item[:at]
        return path, at + 2 if not item[at + 1] else item.index(b"\0", at + 2) + 1

    def text(self, path: bytes) -> str:
        """Return the key of a path in etcd, as text."""
        return (self.prefix + path + self._end).decode()

    def text_below(self, path: bytes) -> str:
        """Return a text for all keys at and below a path; no key with a name ends like this."""
        return (self.prefix + path).decode() + "/..."

    def top(self, path: bytes) -> bytes | None:
        """Return the path of the highest zone that contains a path."""
        last = self._top
        if last and path.startswith(last) and path[len(last) : len(last) + 1] in b"/":
            return last
        at = 0
        while at >= 0:
            at = path.find(b"/", at + 1)
            top = path if at < 0 else path[:at]
            if top in self.zones:
                self._top = top
                return top
        return None

    def above(self, path: bytes) -> Sequence[bytes]:
        """Return the paths above a path, up to the path of the highest zone."""
        at = path.rfind(b"/")
        parent, found = self._above
        if path[:at] == parent:
            # Neighbours usually share their parent.
            return found
        found = []
        least = len(self.top(path) or path)
        self._above = path[:at], found
        while at >= least:
            path = path[:at]
            found.append(path)
            at = path.rfind(b"/")
        return found

    def apexes(self, path: bytes) -> list[bytes]:
        """Return the zones whose apex has records at or below a path."""
        found = []
        for place in self._places:
            at = path.find(place)
            if at >= 0 and path[:at] in self.zones:
                found.append(path[:at])
        return found


def _straight(rest: bytes) -> bytes:
    """Return the path of an irregular key."""
    parts = rest.lower().removesuffix(b"/").split(b"/")
    return b"/".join(label for part in parts for label in reversed(part.split(b".")))


def _check(rest: bytes, path: bytes) -> None:
    if not _ANY.fullmatch(rest):
        raise ValueError("its name has an empty label, or bytes that are not printable ASCII")
    wrong = next(
        (label for label in path.split(b"/") if not 0 < len(label) <= MAX_LABEL_BYTES), None
    )
    if wrong is not None:
        raise ValueError(f"its name has a label of {len(wrong)} bytes, expected 1 to 63")


def path_of(name: bytes) -> bytes:
    """Return the path of a wire name, folded."""
    labels, at = [], 0
    while name[at]:
        labels.append(name[at + 1 : at + 1 + name[at]])
        at += 1 + name[at]
    return b"/".join(reversed(labels)).lower()


def name_of(path: bytes) -> bytes:
    """Return the wire name of a path."""
    parent, _, label = path.rpartition(b"/")
    return _LENGTHS[len(label)] + label + _parent_name(parent)


@lru_cache(1024)
def _parent_name(path: bytes) -> bytes:
    """Return the wire name of a parent path; empty for the root."""
    labels = path.split(b"/") if path else []
    return b"".join([_LENGTHS[len(label)] + label for label in reversed(labels)]) + b"\0"


def is_reverse(path: bytes) -> bool:
    """Return whether a path is a reverse name."""
    return path.startswith(_REVERSE)


_BELOW_ADDRESS = re.compile(
    rb"(arpa/in-addr(?:/[0-9]{1,3}){4}|arpa/ip6(?:/[0-9a-f]){32})/", re.DOTALL
)
_REVERSE = path_of(IN_ADDR) + b"/", path_of(IP6) + b"/"
