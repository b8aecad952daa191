"""How the systems that musterd replaces lay out records in etcd, and which names their keys have.

In all of them a key is a prefix and the labels of a name, the last first: ``/skydns/local/muster/
web`` is web.muster.local. That without the prefix is a *path* here: ``local/muster/web``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from musterd.rr.names import IN_ADDR, IP6, MAX_LABEL_BYTES, MAX_NAME_BYTES
from musterd.rr.types import MX, NS, TXT, A

PATH_OCTETS: Final = MAX_NAME_BYTES - 2
"""The most octets of a path: its name has an octet before the first label and one at the end."""
_PLAIN = rb"[!-,\-0-@\[-~]{1,63}"
"""A label as such keys have it: printable, in lower case, without dots."""
_LABEL = re.compile(_PLAIN)
_ANY = re.compile(rb"[!-.0-~]+(?:/[!-.0-~]+)*/?")
_LENGTHS = tuple(bytes([octets]) for octets in range(MAX_LABEL_BYTES + 1))


@dataclass(frozen=True, slots=True)
class Layout:
    """What one of these systems does its own way."""

    prefix: str
    """Below which its keys are, unless set otherwise."""
    slash: bool = False
    """Whether a key ends in a slash."""
    typed: bool = False
    """Whether a value says which type its record has."""
    status: str = ""
    """Where it says which addresses are up, below the prefix."""
    apex: Mapping[int, bytes] = field(default_factory=dict)
    """Type -> below which path, under that of a zone, the records of the apex are."""
    whole: bool = False
    """Whether an apex without such records has those of the whole zone."""


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

    path: of its name; head: what it is sorted and found by (see ``Keys``); odd: whether the key is
    not written as its path is.
    """

    path: bytes
    head: bytes
    odd: bool


class Family(NamedTuple):
    """The names below one path. start: of their paths; name: of the path, in wire form."""

    start: bytes
    name: bytes
    above: Sequence[bytes]


class Keys:
    """The keys below one prefix, of names in some zones.

    Heads are in the order that etcd has the keys in, and a name's own before those below it. That
    of a key as it should be is ``path 0 0``; that of another way to write it ``path 0 1 key 0``.
    """

    def __init__(self, layout: Layout, prefix: str, zones: Iterable[bytes]) -> None:
        """``zones``: folded wire names."""
        self.prefix = prefix.encode() + b"/"
        self.zones = {path_of(apex): apex for apex in zones}
        """Path -> wire name."""
        self._end = b"/" if layout.slash else b""
        self._plain = re.compile(rb"%b(?:/%b)*%b" % (_PLAIN, _PLAIN, self._end))
        self.plain = self._end + b"\0\0"
        """Follows the path in the head of a key as it should be."""
        self._places = tuple({b"/" + place for place in layout.apex.values()})
        self._family: Family | None = None
        self._parent = b""
        """Of the last key that ``child`` read, and what it found of that."""
        self._top = b""
        self._above: tuple[bytes, list[bytes]] = b"", []

    def read(self, raw: bytes) -> ServiceKey | None:
        """What a key says, None where it is of no name in the zones.

        Raises ValueError where it is of none that DNS can have. Upper case is folded, a slash at
        the end counts for nothing, and a part with dots stands for several labels.
        """
        rest = raw[len(self.prefix) :]
        plain = self._plain.fullmatch(rest) is not None
        path = (rest[: -len(self._end)] if self._end else rest) if plain else _straight(rest)
        if self.top(path) is None:
            return None
        if not plain:
            _check(rest, path)
        if len(path) > PATH_OCTETS:
            raise ValueError(f"its name has {len(path) + 2} octets, at most {MAX_NAME_BYTES}")
        return ServiceKey(path, rest + b"\0\0", odd=False) if plain else self.odd(path, raw)

    def child(self, raw: bytes) -> tuple[bytes, bytes, Sequence[bytes]] | None:
        """What a key says that is as it should be and nothing special: path, wire name, ``above``.

        As ``read`` does, for one whose neighbours have the same parent. None where that must be
        asked.
        """
        at = raw.rfind(b"/")
        if raw[:at] != self._parent:
            self._parent = raw[:at]
            self._family = self._family_of(raw[len(self.prefix) : at])
        family, label = self._family, raw[at + 1 :]
        if family is None or not _LABEL.fullmatch(label):
            return None
        path = family.start + label
        if len(path) > PATH_OCTETS or path in self.zones:
            return None
        return path, _LENGTHS[len(label)] + label + family.name, family.above

    def _family_of(self, parent: bytes) -> Family | None:
        """What the names below a path have in common, None where some may be special."""
        if self._end or not self._plain.fullmatch(parent) or self.top(parent) is None:
            return None
        start = parent + b"/"
        if is_reverse(start) or any(
            place[: place.rindex(b"/") + 1] in start for place in self._places
        ):
            return None
        return Family(start, name_of(parent), self.above(start))

    def odd(self, path: bytes, raw: bytes) -> ServiceKey:
        """A key that belongs to a path in its own way."""
        return ServiceKey(path, b"".join((path, self._end, b"\0\1", raw, b"\0")), odd=True)

    def bound(self, raw: bytes) -> bytes:
        """What is above the heads of the keys up to one, and not above those after it."""
        return raw[len(self.prefix) :] + b"\0\2"

    def own(self, path: bytes) -> tuple[bytes, bytes]:
        """The heads of a path itself: not below the first, and below the second."""
        return path + self._end + b"\0", path + self._end + b"\1"

    def below(self, path: bytes) -> tuple[bytes, bytes]:
        """The same of the paths below it; and of itself, where keys end in a slash."""
        return path + b"/", path + b"0"

    @property
    def below_has_own(self) -> bool:
        """Whether those below a path have its own among them."""
        return bool(self._end)

    def raw(self, item: bytes) -> bytes:
        """The key in etcd of what begins with a head."""
        at = item.index(b"\0")
        if item[at + 1]:
            return item[at + 2 : item.index(b"\0", at + 2)]
        return self.prefix + item[:at]

    def split(self, item: bytes) -> tuple[bytes, int]:
        """The path of what begins with a head, and where that ends."""
        at = item.index(b"\0")
        path = item[: at - 1] if self._end else item[:at]
        return path, at + 2 if not item[at + 1] else item.index(b"\0", at + 2) + 1

    def text(self, path: bytes) -> str:
        """The key of a path in etcd, for people."""
        return (self.prefix + path + self._end).decode()

    def text_below(self, path: bytes) -> str:
        """What stands for all keys at and below a path; no key that has a name ends so."""
        return (self.prefix + path).decode() + "/..."

    def top(self, path: bytes) -> bytes | None:
        """The path of the highest of the zones that a path is in."""
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
        """The paths above a path, up to that of the highest zone."""
        at = path.rfind(b"/")
        parent, found = self._above
        if path[:at] == parent:
            # As that of its neighbour mostly is.
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
        """The zones that have records for their apex at or below a path."""
        found = []
        for place in self._places:
            at = path.find(place)
            if at >= 0 and path[:at] in self.zones:
                found.append(path[:at])
        return found


def _straight(rest: bytes) -> bytes:
    """The path of a key that is not written as it should be."""
    parts = rest.lower().removesuffix(b"/").split(b"/")
    return b"/".join(label for part in parts for label in reversed(part.split(b".")))


def _check(rest: bytes, path: bytes) -> None:
    if not _ANY.fullmatch(rest):
        raise ValueError("its name has an empty label, or octets that are no printable ASCII")
    wrong = next(
        (label for label in path.split(b"/") if not 0 < len(label) <= MAX_LABEL_BYTES), None
    )
    if wrong is not None:
        raise ValueError(f"its name has a label of {len(wrong)} octets, expected 1 to 63")


def path_of(name: bytes) -> bytes:
    """The path of a wire name, folded."""
    labels, at = [], 0
    while name[at]:
        labels.append(name[at + 1 : at + 1 + name[at]])
        at += 1 + name[at]
    return b"/".join(reversed(labels)).lower()


def name_of(path: bytes) -> bytes:
    """The wire name of a path."""
    parent, _, label = path.rpartition(b"/")
    return _LENGTHS[len(label)] + label + _parent_name(parent)


@lru_cache(1024)
def _parent_name(path: bytes) -> bytes:
    """That of a path that others share, nothing being the root."""
    labels = path.split(b"/") if path else []
    return b"".join([_LENGTHS[len(label)] + label for label in reversed(labels)]) + b"\0"


def is_reverse(path: bytes) -> bool:
    """Whether a path is of a name that says whose an address is."""
    return path.startswith(_REVERSE)


_REVERSE = path_of(IN_ADDR) + b"/", path_of(IP6) + b"/"
