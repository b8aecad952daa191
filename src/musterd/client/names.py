"""Names as people write them, and as the paths of the API hold them."""

import re
import string
from collections.abc import Iterable

from musterd.errors import UsageError
from musterd.rr.names import ROOT, fold, name_from_text

_PLAIN = frozenset((string.ascii_letters + string.digits + "_*-").encode())
_DOTS = re.compile(r"(?<!\\)[.\u3002\uff0e\uff61]")
"""What parts the labels of a name that is not ASCII (RFC 3490 section 3.1)."""
_DEVIANT = frozenset("ß\u03c2\u200c\u200d")
"""What the two versions of IDNA read differently (RFC 5894 section 7.2)."""


def wire_name(text: str) -> bytes:
    r"""The wire name of an absolute name, with or without its final dot.

    What is not ASCII is written by IDNA; ``\.`` and ``\DDD`` are escapes. Raises UsageError.
    """
    try:
        return name_from_text(text if text.isascii() else _ascii(text))
    except ValueError as error:
        raise UsageError(f"{error}; write it as web.muster.local") from None


def _ascii(text: str) -> str:
    return ".".join(label if label.isascii() else _a_label(label) for label in _DOTS.split(text))


def _a_label(label: str) -> str:
    if _DEVIANT & set(label):
        a_label = "xn--" + label.lower().encode("punycode").decode()
        raise UsageError(
            f'"{label}" means one name to some programs and another to others; '
            f'if it is to have "{label}" itself, write {a_label}'
        )
    if "\\" in label:
        raise UsageError(f'"{label}" has an escape beside what is not ASCII; write it as xn--...')
    try:
        return label.encode("idna").decode()
    except UnicodeError as error:
        raise UsageError(f'"{label}" has no form in ASCII: {error}; write it as xn--...') from None


def longest(name: bytes, zones: Iterable[str]) -> str | None:
    """The zone, of those given, that a wire name is in; the longest of several."""
    found, octets = None, 0
    for zone in zones:
        apex = fold(name_from_text(zone))
        if len(apex) > octets and _within(fold(name), apex):
            found, octets = zone, len(apex)
    return found


def _within(name: bytes, apex: bytes) -> bool:
    """Whether a folded name is the apex or under it: cut at a label, not inside one."""
    at = 0
    while len(name) - at > len(apex):
        at += 1 + name[at]
    return name[at:] == apex


def owner_part(name: bytes, zone: str) -> str:
    """A wire name relative to its zone, as a path has it: "@" at the apex."""
    apex = name_from_text(zone)
    return path_name(name[: len(name) - len(apex)] + ROOT) if len(name) > len(apex) else "@"


def zone_part(zone: str) -> str:
    """A zone's name as a path has it. Raises UsageError."""
    return path_name(wire_name(zone))


def path_name(wire: bytes) -> str:
    r"""A wire name without its final dot; all but letters, digits, ``_*-`` as ``\DDD``."""
    labels, at = [], 0
    while wire[at]:
        label = wire[at + 1 : at + 1 + wire[at]]
        labels.append("".join(chr(o) if o in _PLAIN else f"\\{o:03}" for o in label))
        at += 1 + wire[at]
    return ".".join(labels) or "."


def absolute(owner: str, zone: str) -> str:
    """The name of an owner that is relative to its zone, without the final dot."""
    if owner == "@":
        return zone
    return owner if zone == "." else f"{owner}.{zone}"
