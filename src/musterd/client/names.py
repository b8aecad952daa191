"""Names as typed by people and as in the paths of the API."""

import string

from musterd.errors import UsageError
from musterd.rr.names import ROOT, check_written, fold, name_from_text

_PLAIN = frozenset((string.ascii_letters + string.digits + "_*-").encode())


def wire_name(text: str) -> bytes:
    r"""Return the wire form of an absolute name, with or without its final dot.

    Non-ASCII labels are encoded by IDNA 2008; ``\.`` and ``\DDD`` are escapes. Raises UsageError.
    """
    try:
        check_written(text)
        return name_from_text(text if text.isascii() else _ascii(text))
    except ValueError as error:
        raise UsageError(f"{error}; expected for example web.lab.internal") from None


def _ascii(text: str) -> str:
    from musterd.rr.unicode import ascii_name  # noqa: PLC0415 - slow, and rarely needed

    return ascii_name(text)


def within(name: bytes, zone: str) -> bool:
    """Return whether a wire name is in a zone."""
    folded, apex, at = fold(name), fold(name_from_text(zone)), 0
    while len(folded) - at > len(apex):
        at += 1 + folded[at]
    return folded[at:] == apex


def owner_part(name: bytes, zone: str) -> str:
    """Return a wire name as in a path: relative to its zone, "@" at the apex.

    It is absolute, with a final dot, if it would end in the name of the zone without one.
    """
    apex = name_from_text(zone)
    if len(name) == len(apex):
        return "@"
    relative = name[: -len(apex)] + ROOT
    if apex != ROOT and within(relative, zone):
        return f"{path_name(name)}."
    return path_name(relative)


def zone_part(zone: str) -> str:
    """Return the name of a zone as in a path. Raises UsageError."""
    return path_name(wire_name(zone))


def path_name(wire: bytes) -> str:
    r"""Return a wire name without its final dot; all but letters, digits, ``_*-`` as ``\DDD``."""
    labels, at = [], 0
    while wire[at]:
        label = wire[at + 1 : at + 1 + wire[at]]
        labels.append("".join(chr(byte) if byte in _PLAIN else f"\\{byte:03}" for byte in label))
        at += 1 + wire[at]
    return ".".join(labels) or "."


def absolute(owner: str, zone: str) -> str:
    """Return the absolute name of an owner, as in a path or relative, without the final dot."""
    if owner == "@":
        return zone
    if owner.endswith("."):
        return owner.removesuffix(".")
    return owner if zone == "." else f"{owner}.{zone}"
