"""Domain names in wire form and as text, and reverse names.

A *wire name* is a sequence of length-prefixed labels that ends in a zero byte, uncompressed, at
most 255 bytes (RFC 1035 section 3.1).
"""

import re
from collections.abc import Iterator
from typing import Final

from musterd._core import name_from_text, name_to_text
from musterd.display import excerpt

MAX_NAME_BYTES: Final = 255
"""Maximum bytes of a wire name (RFC 1035 section 2.3.4)."""
MAX_LABEL_BYTES: Final = 63
"""Maximum bytes of a label (RFC 1035 section 2.3.4)."""
ROOT: Final = b"\0"
IN_ADDR: Final = b"\x07in-addr\x04arpa\0"
IP6: Final = b"\x03ip6\x04arpa\0"
_IPV4, _IPV6 = 4, 16
"""Bytes of an address."""
_DECIMAL = tuple(bytes([len(str(n))]) + str(n).encode() for n in range(256))
_NIBBLES = tuple(b"\x01%x\x01%x" % (n & 15, n >> 4) for n in range(256))

ESCAPE: Final = r"\\(?:[01][0-9]{2}|2[0-4][0-9]|25[0-5]|[ -/:-@\[-`{-~])"
r"""Regular expression of an escape: ``\DDD``, or a backslash before what needs it.

RFC 1035 section 5.1 permits one before each letter, but people then mean a backslash.
"""
_UNAMBIGUOUS: Final = re.compile(rf"(?:{ESCAPE}|[^\\\x00-\x20\x7f])*+", re.DOTALL)

__all__ = [
    "ESCAPE",
    "IN_ADDR",
    "IP6",
    "MAX_LABEL_BYTES",
    "MAX_NAME_BYTES",
    "ROOT",
    "check_name",
    "check_written",
    "fold",
    "is_wildcard",
    "name_from_text",
    "name_to_text",
    "reverse_name",
    "split_name",
    "suffixes",
]


def check_name(wire: bytes) -> None:
    """Raise ValueError unless the bytes are a wire name."""
    if split_name(wire)[1]:
        raise ValueError(f"{wire[:MAX_NAME_BYTES]!r} is not a valid wire name: more data follows")


def check_written(text: str) -> None:
    r"""Raise ValueError if a text may mean another name to people than to a parser.

    That is a space, a control character, or a backslash before a letter.
    """
    found = _UNAMBIGUOUS.match(text)
    rest = text[found.end() if found else 0 :]
    if rest.startswith("\\"):
        raise ValueError(
            f'"{excerpt(text)}" is not a valid name: {excerpt(rest[:2])} is not an escape: write '
            "\\\\ for a backslash, \\DDD for a byte"
        )
    if rest:
        code = f"\\{ord(rest[0]):03}"
        what = "a space" if rest[0] == " " else f"the character {excerpt(rest[0])}"
        raise ValueError(f'"{excerpt(text)}" is not a valid name: write {what} in it as {code}')


def split_name(data: bytes) -> tuple[bytes, bytes]:
    """Return the wire name at the start of bytes, and the rest. Raises ValueError."""
    at = 0
    while at < len(data) and 0 < data[at] <= MAX_LABEL_BYTES:
        at += 1 + data[at]
    if at >= min(len(data), MAX_NAME_BYTES) or data[at]:
        raise ValueError(f"{data[:MAX_NAME_BYTES]!r} is not a valid wire name")
    return data[: at + 1], data[at + 1 :]


def suffixes(wire: bytes) -> Iterator[bytes]:
    """Yield a wire name, and each name above it up to the root."""
    at = 0
    while wire[at]:
        yield wire[at:]
        at += 1 + wire[at]
    yield ROOT


def fold(wire: bytes) -> bytes:
    """Return a wire name in lower case, as names are compared (RFC 4343).

    Length bytes are below 64, so they are not letters and stay.
    """
    return wire.lower()


def is_wildcard(wire: bytes) -> bool:
    """Return whether the first label is ``*`` (RFC 4592 section 2.1.1)."""
    return wire.startswith(b"\x01*")


def reverse_name(address: bytes) -> bytes:
    """Return the wire name of an address (4 or 16 bytes) under in-addr.arpa or ip6.arpa.

    RFC 1035 section 3.5, RFC 3596 section 2.5. Raises ValueError.
    """
    if len(address) == _IPV4:
        return b"".join(map(_DECIMAL.__getitem__, reversed(address))) + IN_ADDR
    if len(address) == _IPV6:
        return b"".join(map(_NIBBLES.__getitem__, reversed(address))) + IP6
    raise ValueError(f"an address has 4 or 16 bytes, got {len(address)}")
