"""Rows: all that one key gives, as bytes; one object a key, whatever the number of records.

::

    generation u32 | revision i64 | time f64 | n x record
    record: length u8 | owner | type u16 | length u32 | packed RRset

An owner of length 0, which no wire name has, is that of the record before.

Integers are big-endian. The owner is a wire name with its case kept, the RRset is packed as its
source gave it. ``generation`` counts the full lists of the source; a row of an older one was not
in the last.

The key of a row begins with the number of its source, so that a zone's index needs one object to
name both: ``source u32 | kind u8 | key``, where ``kind`` is one of the ``KEY_*`` below.
"""

import ipaddress
import struct
from collections.abc import Iterable, Iterator

from musterd.rr.names import name_to_text, split_name
from musterd.rr.rrset import Record
from musterd.rr.types import type_text

KEY_TEXT = b"\0"
"""The source's own key, UTF-8."""
KEY_RRSET = b"\1"
"""Folded owner, type u16: the key of a record that comes in bulk."""
KEY_ADDRESS = b"\2"
"""Apex, folded owner, address: the key of a PTR record that is made of an address."""
SOURCE_OCTETS = 4

ROW = struct.Struct("!Iqd")
RECORD = struct.Struct("!HI")
TYPE = struct.Struct("!H")
GENERATION_OCTETS = 4
OCTET = tuple(bytes([n]) for n in range(256))


def encode(records: Iterable[Record]) -> bytes:
    """The part of a row after its head."""
    parts: list[bytes] = []
    last = b""
    for owner, rtype, packed in records:
        if owner != last:
            last = owner
            parts += OCTET[len(owner)], owner
        else:
            parts.append(b"\0")
        parts += RECORD.pack(rtype, len(packed)), packed
    return b"".join(parts)


def decode(row: bytes) -> Iterator[Record]:
    """The records of a row."""
    at, owner = ROW.size, b""
    while at < len(row):
        length = row[at]
        at += 1 + length
        if length:
            owner = row[at - length : at]
        rtype, length = RECORD.unpack_from(row, at)
        at += RECORD.size + length
        yield Record(owner, rtype, row[at - length : at])


def text_key(key: str) -> bytes:
    """The key of a row without its source, from a source's own."""
    return KEY_TEXT + key.encode("utf-8", "surrogateescape")


def rrset_key(owner: bytes, rtype: int) -> bytes:
    """The key of a row without its source, from an owner name and a type."""
    return KEY_RRSET + owner.lower() + TYPE.pack(rtype)


def address_key(apex: bytes, owner: bytes, address: bytes) -> bytes:
    """The key of a row without its source, from an address; a name can be in two zones."""
    return b"".join((KEY_ADDRESS, apex, owner, address))


def key_text(key: bytes) -> str:
    """A key of a row, with its source, as text for people."""
    kind, own = key[SOURCE_OCTETS : SOURCE_OCTETS + 1], key[SOURCE_OCTETS + 1 :]
    if kind == KEY_ADDRESS:
        _, rest = split_name(own)
        owner, address = split_name(rest)
        return f"{name_to_text(owner)} {ipaddress.ip_address(address)}"
    if kind == KEY_RRSET:
        return f"{name_to_text(own[: -TYPE.size])} {type_text(TYPE.unpack(own[-TYPE.size :])[0])}"
    return own.decode("utf-8", "surrogateescape")
