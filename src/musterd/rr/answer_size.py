"""The size of an answer with all records of an RRset."""

from typing import Final

from musterd.rr.rrset import ALL, policy_of, unpack_records
from musterd.rr.types import CNAME, MX, NS, PTR

MAX_MESSAGE: Final = 0xFFFF
"""Maximum bytes of a message, over TCP (RFC 1035 section 4.2.2)."""
LARGE: Final = MAX_MESSAGE // 3
"""Bytes of a packed RRset that may fit no message: a record takes at most three times as many."""
_FIXED: Final = 12 + 4
"""Bytes of the header, and of the type and class of the question."""
_RECORD: Final = 12
"""Bytes of a record before its rdata, with the owner as a pointer."""
_POINTER: Final = 2
_NAME_AT: Final = {NS: 0, CNAME: 0, PTR: 0, MX: 2}
"""Types with a name that is compressed -> its offset in the rdata, where it is the last field."""


def too_large(owner: bytes, rtype: int, packed: bytes) -> str:
    """Return why no answer has all records of a filled RRset; empty if it has, or a policy selects.

    owner: a folded wire name.
    """
    if len(packed) <= LARGE or policy_of(packed) != ALL:
        return ""
    size = answer_size(owner, rtype, packed)
    if size <= MAX_MESSAGE:
        return ""
    return f"all records need {size} bytes, and a message has at most {MAX_MESSAGE}"


def answer_size(owner: bytes, rtype: int, packed: bytes) -> int:
    """Return the bytes of the answer with all records of an RRset to a question in lower case.

    owner: a folded wire name. Nothing else is in the answer: no EDNS, no additional records.
    """
    start = _NAME_AT.get(rtype)
    suffixes = set(_suffixes(owner))
    size = _FIXED + len(owner)
    for _, rdata in unpack_records(packed):
        size += _RECORD + len(rdata)
        if start is not None:
            # The longest suffix that the question has too, in the same case, is a pointer.
            shared = (name for name in _suffixes(rdata[start:]) if name in suffixes)
            size -= max(0, len(next(shared, b"")) - _POINTER)
    return size


def _suffixes(name: bytes) -> list[bytes]:
    """Return a wire name and the names above it, without the root."""
    found, at = [], 0
    while at < len(name) and name[at]:
        found.append(name[at:])
        at += 1 + name[at]
    return found
