"""Rows: the records of one key, as bytes; one object for each key, however many records it has.

::

    generation u32 | revision i64 | time f64 | n x record
    record: length u8 | owner | type u16 | length u32 | packed RRset

An owner of length 0, which no wire name has, stands for the owner of the record before.

Integers are big-endian. The owner is a wire name with its case kept, the RRset is packed as its
source gave it. ``generation`` counts the full lists of the source; a row of an older generation
was not in the last list.

The key of a row begins with the number of its source, so that a zone's index needs one object to
name both: ``source u32 | kind u8 | key``, where ``kind`` is one of the ``KEY_*`` below.
"""

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from musterd.rr.names import name_to_text, split_name
from musterd.rr.rrset import Record, has_policy
from musterd.rr.types import CNAME, type_text
from musterd.sources.changes import WithheldRecord

KEY_TEXT = b"\0"
"""The source's own key, UTF-8."""
KEY_RRSET = b"\1"
"""Folded owner, type u16: the key of a bulk record."""
KEY_ADDRESS = b"\2"
"""Apex, folded owner, address: the key of a PTR record that is made from an address."""
SOURCE_BYTES = 4

ROW = struct.Struct("!Iqd")
RECORD = struct.Struct("!HI")
TYPE = struct.Struct("!H")
GENERATION_BYTES = 4
_BULK_RRSET_AT = ROW.size + 1 + RECORD.size - (SOURCE_BYTES + len(KEY_RRSET) + TYPE.size)
"""Offset of the RRset in a bulk row, without the length of its key."""
LENGTH = tuple(bytes([n]) for n in range(256))
_CNAME = TYPE.pack(CNAME)

_new = tuple.__new__


class Head(NamedTuple):
    """Revision and time (epoch seconds) of a key."""

    revision: int
    time: float


class Rows:
    """The rows of one source, by key."""

    def __init__(self, name: str, number: int) -> None:
        """Create an empty store; ``number`` must be unique for the life of the process."""
        self.name = name
        self.number = number.to_bytes(SOURCE_BYTES, "big")
        self.data: dict[bytes, bytes] = {}
        self.withheld: dict[bytes, tuple[WithheldRecord, ...]] = {}
        """Records that the source has at a folded owner name but does not give."""
        self._last: tuple[bytes, dict[bytes, list[tuple[int, bytes]]]] = b"", {}

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self.data)

    def records_at(self, key: bytes, owner: bytes) -> Sequence[tuple[int, bytes]]:
        """Return type and packed RRset of the records of a key at a folded owner name."""
        # The index of a zone that is being replaced may name a row that no longer exists.
        row = self.data.get(key)
        return self.by_owner(row).get(owner, ()) if row is not None else ()

    def by_owner(self, row: bytes) -> dict[bytes, list[tuple[int, bytes]]]:
        """Return type and packed RRset of the records of a row, by folded owner name."""
        # A row with many owners is decoded once, not once for each owner.
        last, found = self._last
        if last is not row:
            found = {}
            for owner, rtype, packed in decode(row):
                found.setdefault(owner.lower(), []).append((rtype, packed))
            self._last = row, found
        return found

    def head(self, key: bytes) -> Head:
        """Return revision and time of a key."""
        _, revision, time = ROW.unpack_from(self.data[key])
        return Head(revision, time)


def encode(head: bytes, records: Iterable[Record]) -> bytes:
    """Return the row of some records; the head is packed already."""
    parts = [head]
    last = b""
    for owner, rtype, packed in records:
        size = RECORD.pack(rtype, len(packed))
        if owner == last:
            parts += b"\0", size, packed
        else:
            parts += LENGTH[len(owner)], owner, size, packed
            last = owner
    return b"".join(parts)


def decode(row: bytes) -> list[Record]:
    """Decode the records of a row."""
    records: list[Record] = []
    at, owner = ROW.size, b""
    while at < len(row):
        length = row[at]
        at += 1
        if length:
            owner = row[at : at + length]
            at += length
        rtype, length = RECORD.unpack_from(row, at)
        at += RECORD.size
        # Twice as fast as the constructor, in a hot loop.
        records.append(_new(Record, (owner, rtype, row[at : at + length])))
        at += length
    return records


def is_independent(key: bytes, row: bytes) -> bool:
    """Return whether a bulk row affects no other type at its owner name.

    A CNAME and a policy do.
    """
    return not (key.endswith(_CNAME) or has_policy(row, len(key) + _BULK_RRSET_AT))


def text_key(key: str) -> bytes:
    """Return the key of a row, without its source, for a source's own key."""
    return KEY_TEXT + key.encode("utf-8", "surrogateescape")


def address_key(apex: bytes, owner: bytes, address: bytes) -> bytes:
    """Return the key of a row, without its source, for an address; a name can be in two zones."""
    return b"".join((KEY_ADDRESS, apex, owner, address))


def key_text(key: bytes) -> str:
    """Return a key of a row, with its source, as text for people."""
    kind, own = key[SOURCE_BYTES : SOURCE_BYTES + 1], key[SOURCE_BYTES + 1 :]
    if kind == KEY_ADDRESS:
        _, rest = split_name(own)
        owner, address = split_name(rest)
        return f"{name_to_text(owner)} {ipaddress.ip_address(address)}"
    if kind == KEY_RRSET:
        return f"{name_to_text(own[: -TYPE.size])} {type_text(TYPE.unpack(own[-TYPE.size :])[0])}"
    return own.decode("utf-8", "surrogateescape")
