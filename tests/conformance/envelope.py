"""Reads a query as far as a server must: header, question, framing of records, OPT.

It is independent of musterd's parser, and reads less than dnspython, which also parses the rdata of
records that a query doesn't need.
"""

import struct
from dataclasses import dataclass, field
from enum import Enum

HEADER = 12
OPT, COOKIE = 41, 10
_MAX_NAME = 255


class Fate(Enum):
    """Checks of a message before the lookup."""

    SILENCE = "no reply: too short, or a reply itself"
    NOTIMP = "an opcode other than QUERY"
    FORMERR = "malformed"
    QUERY = "a query"


@dataclass
class Envelope:
    """The part of a message that was read."""

    fate: Fate
    labels: tuple[bytes, ...] = ()
    rtype: int = 0
    rclass: int = 0
    asked: bool = False
    question_end: int = HEADER
    edns: tuple[int, int, int] | None = None
    """(UDP size, version, flags)"""
    options: list[tuple[int, bytes]] = field(default_factory=list)

    def cookies(self) -> list[bytes]:
        """Return the data of its COOKIE options."""
        return [data for code, data in self.options if code == COOKIE]


class _BadError(Exception):
    """The message is malformed."""


def read(wire: bytes) -> Envelope:
    """Read a message without raising."""
    if len(wire) < HEADER or wire[2] & 0x80:
        return Envelope(Fate.SILENCE)
    if wire[2] & 0x78:
        return Envelope(Fate.NOTIMP)
    envelope = Envelope(Fate.QUERY)
    try:
        _read_all(wire, envelope)
    except (_BadError, struct.error):
        return Envelope(Fate.FORMERR)
    return envelope


def _read_all(wire: bytes, envelope: Envelope) -> None:
    questions, *counts = struct.unpack_from("!HHHH", wire, 4)
    at = HEADER
    if questions > 1:
        raise _BadError
    if questions:
        envelope.labels, at = _question_name(wire, at)
        envelope.rtype, envelope.rclass = struct.unpack_from("!HH", wire, at)
        envelope.asked, at = True, at + 4
        envelope.question_end = at
    for section, count in enumerate(counts):
        for _ in range(count):
            at = _record(wire, at, section, envelope)
    if at != len(wire) or not (questions or envelope.cookies()):
        raise _BadError


def _question_name(wire: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """Return an uncompressed name and its end; the first name has nothing to point to."""
    labels = []
    start = at
    while True:
        length = wire[at] if at < len(wire) else 64
        if length == 0:
            break
        if length > 63 or at + 1 + length >= len(wire):
            raise _BadError
        labels.append(wire[at + 1 : at + 1 + length])
        at += 1 + length
    if at + 1 - start > _MAX_NAME:
        raise _BadError
    return tuple(labels), at + 1


def _record(wire: bytes, at: int, section: int, envelope: Envelope) -> int:
    start = at
    at = _skip_name(wire, at)
    fixed: tuple[int, int, int, int] = struct.unpack_from("!HHIH", wire, at)
    rtype, size, version_flags, length = fixed
    data = wire[at + 10 : at + 10 + length]
    if len(data) != length:
        raise _BadError
    if rtype == OPT:
        if section < 2 or envelope.edns is not None or wire[start] != 0:
            raise _BadError
        version = version_flags >> 16 & 255
        envelope.edns = size, version, version_flags & 0xFFFF
        if version == 0:
            _options(data, envelope)
    return at + 10 + length


def _skip_name(wire: bytes, at: int) -> int:
    """Return the end of a name, whose pointer must lead backward (RFC 9267 section 2).

    The pointer's target is not read: a server doesn't need the names in a query's records.
    """
    start = at
    while True:
        if at >= len(wire):
            raise _BadError
        length = wire[at]
        if length >= 192:
            to = struct.unpack_from("!H", wire, at)[0] & 0x3FFF
            if not HEADER <= to < start:
                raise _BadError
            return at + 2
        at += length + 1
        if length > 63 or at - start > _MAX_NAME:
            raise _BadError
        if length == 0:
            return at


def _options(data: bytes, envelope: Envelope) -> None:
    while data:
        if len(data) < 4:
            raise _BadError
        code, length = struct.unpack_from("!HH", data)
        if len(data) < 4 + length:
            raise _BadError
        envelope.options.append((code, data[4 : 4 + length]))
        data = data[4 + length :]
