r"""Names of zones and owners in store keys and as users write them.

In keys a name is folded and without its final dot, and all but ``a-z 0-9 _ - *`` of a label is
written ``\DDD``: so one name has one form, and "/" is never part of it. An owner is relative to
its zone, ``@`` at its apex.
"""

import re
from functools import lru_cache
from typing import Final

from musterd.display import excerpt
from musterd.rr.names import (
    MAX_NAME_BYTES,
    ROOT,
    check_written,
    fold,
    name_from_text,
    name_to_text,
)
from musterd.rr.types import CNAME, DNAME, NS
from musterd.rr.unicode import ascii_name

APEX: Final = "@"
MAX_TEXT: Final = 1100
"""Maximum characters of a name: 255 bytes, all escaped, with the dots and a margin."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_*-]{1,63}(?:\.[A-Za-z0-9_*-]{1,63})*")
"""Names without escapes: nearly all."""
_PLAIN_LABEL: Final = re.compile(r"[A-Za-z0-9_*-]*")
_ESCAPES: Final = [chr(o) if chr(o) in "abcdefghijklmnopqrstuvwxyz0123456789_*-" else f"\\{o:03}"
                   for o in range(256)]  # fmt: skip
_FINAL_DOT: Final = re.compile(r"(?:[^\\]|\\.)*\.", re.DOTALL)


@lru_cache(maxsize=1024)
def zone_text(apex: bytes) -> str:
    """Return the key form of the folded wire name of a zone."""
    return _text(apex) or "."


def owner_text(owner: bytes, apex: bytes) -> str:
    """Return the key form of a folded owner name in a zone."""
    return _text(owner[: len(owner) - len(apex)]) or APEX


def owner_wire(owner: str, zone: str) -> bytes:
    """Return the wire name of an owner and a zone in key form. Raises ValueError."""
    apex = zone_wire(zone)
    return apex if owner == APEX else _join(owner, apex)


@lru_cache(maxsize=1024)
def zone_wire(zone: str) -> bytes:
    """Return the wire name of a zone in key form. Raises ValueError."""
    return fold(name_from_text(zone))


@lru_cache(maxsize=1024)
def parse_zone(text: str) -> bytes:
    """Parse the name of a zone into its folded wire name. Raises ValueError."""
    return fold(_parse(_ascii(text), ROOT))


def parse_owner(text: str, apex: bytes) -> tuple[bytes, str]:
    """Parse an owner name into its folded wire name and its key form.

    A final dot makes it absolute, else it is relative to the zone; ``@`` is the apex; what is not
    ASCII is written by IDNA (RFC 5891). Raises ValueError, also if it is not in the zone, and if it
    is relative but ends in the name of the zone.
    """
    if text == APEX:
        return apex, APEX
    if _PLAIN.fullmatch(text):
        key, absolute = text.lower(), False
        owner = _plain_wire(key, apex)
    else:
        plain = _ascii(text)
        absolute = bool(_FINAL_DOT.fullmatch(plain))
        owner = fold(_parse(plain, ROOT if absolute else apex))
        if not within(owner, apex):
            raise ValueError(f'"{excerpt(text)}" is not in the zone {name_to_text(apex)}')
        key = owner_text(owner, apex)
    if not absolute and _repeats(key, zone_text(apex)):
        raise ValueError(
            f'"{excerpt(text)}" ends in the name of the zone, without a final dot: write '
            f"{excerpt(text)}. for that name, or {excerpt(name_to_text(owner), MAX_TEXT)} for the "
            "name below it"
        )
    return owner, key


def check_place(owner: str, rtype: int) -> None:
    """Raise ValueError if no record of a type is ever answered at an owner in key form."""
    if rtype == CNAME and owner == APEX:
        raise ValueError(
            "the apex of a zone can't have a CNAME, because it has SOA and NS records: register "
            "addresses, or an HTTPS or SVCB record"
        )
    if rtype in (NS, DNAME) and (owner == "*" or owner.startswith("*.")):
        what = "a delegation" if rtype == NS else "a DNAME"
        raise ValueError(f"{owner} is a wildcard, which can't be {what} (RFC 4592 section 4)")


def in_path(owner: str, zone: str) -> str:
    """Return an owner in key form as a path names it: absolute where ``parse_owner`` needs that."""
    return f"{owner}.{zone}." if _repeats(owner, zone) else owner


def _repeats(owner: str, zone: str) -> bool:
    """Return whether an owner ends in the name of its zone; both in key form."""
    # In key form, a name has one spelling, and each "." is between labels.
    return owner.endswith(zone) and (owner == zone or owner.endswith(f".{zone}"))


def parse_name(text: str) -> bytes:
    """Parse an absolute name into its folded wire name. Raises ValueError."""
    return parse_zone(text)


def within(name: bytes, apex: bytes) -> bool:
    """Return whether a folded wire name is in a zone."""
    if not name.endswith(apex):
        return False
    at, end = 0, len(name) - len(apex)
    while at < end:
        at += 1 + name[at]
    return at == end


def _text(labels: bytes) -> str:
    """Labels of a folded wire name, up to its end or the root."""
    parts: list[str] = []
    at = 0
    while at < len(labels) and labels[at]:
        end = at + 1 + labels[at]
        label = labels[at + 1 : end].decode("latin-1")
        parts.append(label if _PLAIN_LABEL.fullmatch(label) else _escaped(labels[at + 1 : end]))
        at = end
    return ".".join(parts)


def _escaped(label: bytes) -> str:
    return "".join(map(_ESCAPES.__getitem__, label))


def _join(owner: str, apex: bytes) -> bytes:
    """Return the wire name of a relative name in a zone."""
    if _PLAIN.fullmatch(owner):
        return _plain_wire(owner, apex)
    return _limited(name_from_text(owner)[:-1] + apex, owner)


def _plain_wire(owner: str, apex: bytes) -> bytes:
    """Return the wire name of a relative name without escapes in a zone."""
    if "." not in owner:
        return _limited(b"%c%b%b" % (len(owner), owner.encode(), apex), owner)
    parts = [b"%c%b" % (len(label), label.encode()) for label in owner.split(".")]
    return _limited(b"".join(parts) + apex, owner)


def _limited(wire: bytes, text: str) -> bytes:
    if len(wire) > MAX_NAME_BYTES:
        raise ValueError(
            f'"{excerpt(text)}" is too long: with its zone it has {len(wire)} bytes, at most 255'
        )
    return wire


def _ascii(text: str) -> str:
    """Return the ASCII form of a name that a user wrote. Raises ValueError."""
    if len(text) > MAX_TEXT:
        raise ValueError(f'"{excerpt(text)}" is too long: {len(text)} characters')
    check_written(text)
    return ascii_name(text)


def _parse(text: str, origin: bytes) -> bytes:
    """Return the wire name of an ASCII text; without a final dot it is under the origin."""
    wire = name_from_text(text)
    if origin == ROOT or text == ".":
        return wire
    return _limited(wire[:-1] + origin, text)
