"""Domain names in wire form and as text, and reverse names.

A *wire name* is a sequence of length-prefixed labels that ends in a zero byte, uncompressed, at
most 255 bytes (RFC 1035 section 3.1).
"""

import re
from typing import Final

NAME_OCTETS: Final = 255
"""Maximum bytes of a wire name (RFC 1035 section 2.3.4)."""
LABEL_OCTETS: Final = 63
"""Maximum bytes of a label (RFC 1035 section 2.3.4)."""
ROOT: Final = b"\0"
IN_ADDR: Final = b"\x07in-addr\x04arpa\0"
IP6: Final = b"\x03ip6\x04arpa\0"
_IPV4, _IPV6 = 4, 16
"""Bytes of an address."""
_DECIMAL = tuple(bytes([len(str(n))]) + str(n).encode() for n in range(256))
_NIBBLES = tuple(b"\x01%x\x01%x" % (n & 15, n >> 4) for n in range(256))
_ESCAPE = re.compile(rb"\\([0-9]{3}|[^0-9])|([^\\.])|(\.)")
_SPECIAL = frozenset(b'.\\"();@$')


def name_from_text(text: str) -> bytes:
    r"""Parse a wire name from ASCII text, which is absolute with or without its final dot.

    ``\.`` and ``\DDD`` are escapes (RFC 1035 section 5.1). Raises ValueError with the reason.
    """
    if text == ".":
        return ROOT
    try:
        octets = text.encode("ascii")
    except UnicodeEncodeError:
        raise ValueError(f'"{text}" is no name: it is not ASCII') from None
    wire = b"".join(bytes([len(label)]) + label for label in _labels(octets, text)) + ROOT
    if len(wire) > NAME_OCTETS:
        raise ValueError(f'"{text}" is no name: it has {len(wire)} octets, at most {NAME_OCTETS}')
    return wire


def _labels(octets: bytes, text: str) -> list[bytes]:
    labels = [bytearray()]
    at = 0
    while at < len(octets):
        found = _ESCAPE.match(octets, at)
        if found is None:
            raise ValueError(f'"{text}" is no name: a "\\" escapes nothing')
        at = found.end()
        escaped, plain, dot = found.groups()
        if dot:
            labels.append(bytearray())
        elif escaped and escaped.isdigit():
            if int(escaped) > 255:  # noqa: PLR2004
                raise ValueError(f'"{text}" is no name: \\{int(escaped)} is no octet')
            labels[-1].append(int(escaped))
        else:
            labels[-1] += escaped or plain
    if len(labels) > 1 and not labels[-1]:
        labels.pop()
    for label in labels:
        if not 0 < len(label) <= LABEL_OCTETS:
            raise ValueError(f'"{text}" is no name: a label has {len(label)} octets, not 1 to 63')
    return [bytes(label) for label in labels]


def name_to_text(wire: bytes) -> str:
    """Return a wire name as text with its final dot, escaped. Raises ValueError."""
    if wire == ROOT:
        return "."
    check_name(wire)
    text, at = "", 0
    while wire[at]:
        label = wire[at + 1 : at + 1 + wire[at]]
        text += "".join(map(_octet_text, label)) + "."
        at += 1 + wire[at]
    return text


def _octet_text(octet: int) -> str:
    if octet in _SPECIAL:
        return "\\" + chr(octet)
    return chr(octet) if 0x20 < octet < 0x7F else f"\\{octet:03}"  # noqa: PLR2004


def check_name(wire: bytes) -> None:
    """Raise ValueError unless the bytes are a wire name."""
    if split_name(wire)[1]:
        raise ValueError(f"{wire[:NAME_OCTETS]!r} is no wire name: something follows it")


def split_name(octets: bytes) -> tuple[bytes, bytes]:
    """Return the wire name at the start of bytes, and the rest. Raises ValueError."""
    at = 0
    while at < len(octets) and 0 < octets[at] <= LABEL_OCTETS:
        at += 1 + octets[at]
    if at >= min(len(octets), NAME_OCTETS) or octets[at]:
        raise ValueError(f"{octets[:NAME_OCTETS]!r} is no wire name")
    return octets[: at + 1], octets[at + 1 :]


def fold(wire: bytes) -> bytes:
    """Return a wire name in lower case, as names are compared (RFC 4343).

    Length bytes are below 64, so they are not letters and stay.
    """
    return wire.lower()


def is_wildcard(wire: bytes) -> bool:
    """Return whether the first label is ``*`` (RFC 4592 section 2.1.1)."""
    return wire.startswith(b"\x01*")


def reverse_name(address: bytes) -> bytes:
    """Return the wire name of an address (4 or 16 octets) under in-addr.arpa or ip6.arpa.

    RFC 1035 section 3.5, RFC 3596 section 2.5. Raises ValueError.
    """
    if len(address) == _IPV4:
        return b"".join(map(_DECIMAL.__getitem__, reversed(address))) + IN_ADDR
    if len(address) == _IPV6:
        return b"".join(map(_NIBBLES.__getitem__, reversed(address))) + IP6
    raise ValueError(f"{len(address)} octets are no address: expected 4 or 16")
