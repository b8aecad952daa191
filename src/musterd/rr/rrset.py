"""Packed RRsets: the only module that knows their byte offsets.

A *packed* RRset is the form in which the core takes it. All integers are big-endian::

    ttl u32 | expires u64 | policy u8 | k u8 | count u16 | count x (weight u16 | length u16 | rdata)

See ``_core.pyi`` for the fields. A source may leave the TTL (``TTL_UNSET``) and the policy
(``POLICY_UNSET``) open; the catalog fills them in. The upper bits of its policy byte say whether
its addresses give PTR records; the catalog removes them.
"""

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from musterd.rr.types import ADDRESSED

TTL_UNSET: Final = 0xFFFF_FFFF
"""The TTL of a record that has none; a real one is at most 2**31 - 1 (RFC 2181 section 8)."""
POLICY_UNSET: Final = 0
"""The policy byte of a record that has no policy of its own."""
POLICY_OWN_ALL: Final = 15
"""The policy byte of a record whose own policy is ``all``, which is 0 in the core."""
ALL: Final = b"\0\0"
"""The policy ``all`` as the core takes it, and the policy bytes of a record without its own."""
MAX_RECORDS: Final = 0xFFFF
"""Maximum records of an RRset that the core takes; a message holds fewer."""

_HEAD = struct.Struct("!IQBBH")
_RECORD = struct.Struct("!HH")
_SINGLE = struct.Struct("!IQBBHHH")
_SINGLE_TAIL = struct.Struct("!QBBHHH")
_EXPIRES_AT: Final = 4
_POLICY_AT: Final = 12
_COUNT_AT: Final = 14
_RECORDS_AT: Final = _HEAD.size
_TTL_UNSET_HIGH: Final = 0xFF
"""First byte of ``TTL_UNSET``; that of a real TTL is at most 0x7f."""
_NEVER: Final = bytes(8)
_POLICY: Final = 0x0F
"""The policy in the policy byte."""
_PTR: Final = {None: 0, True: 0x10, False: 0x20}
_PTR_OF: Final = {0x10: True, 0x20: False}
_PTR_BITS: Final = 0x30
_SOA_SERIAL: Final = slice(-20, -16)
"""The serial in a SOA RRset of one record: rdata ends in five u32, the first is the serial."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The choice of addresses for one client: one of the core's ``POLICY_*``, and its count."""

    kind: int
    k: int = 0

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """Parse ``all``, ``one``, ``rotate``, ``sticky`` or ``subset:3``. Raises ValueError."""
        word, colon, count = text.partition(":")
        if word in _POLICIES[:4] and not colon:
            return cls(_POLICIES.index(word))
        if word == "subset" and re.fullmatch("[0-9]{1,3}", count) and 0 < int(count) < 256:  # noqa: PLR2004
            return cls(4, int(count))
        raise ValueError(f'"{text}" is no policy: expected all, one, rotate, sticky or subset:K')

    def __str__(self) -> str:
        """Return the text that the settings use."""
        return _POLICIES[self.kind] + (f":{self.k}" if self.k else "")

    @property
    def packed(self) -> bytes:
        """The policy and k bytes, as the core takes them."""
        return bytes((self.kind, self.k))


_POLICIES: Final = ("all", "one", "rotate", "sticky", "subset")


class Record(NamedTuple):
    """The RRset that a key gives at one owner name: a wire name, a type, a packed RRset."""

    owner: bytes
    rtype: int
    packed: bytes


class RRset(NamedTuple):
    """An unpacked RRset.

    ttl: seconds, None if unset; expires: ns of the boot-time clock, 0 for never; policy: its own,
    None if it has none; records: (weight, rdata in wire form); ptr: whether its addresses give PTR
    records, None if it leaves that to the source.
    """

    ttl: int | None
    records: tuple[tuple[int, bytes], ...]
    expires: int = 0
    policy: Policy | None = None
    ptr: bool | None = None


def pack(
    ttl: int | None,
    records: Sequence[tuple[int, bytes]],
    *,
    expires: int = 0,
    policy: Policy | None = None,
    ptr: bool | None = None,
) -> bytes:
    """Pack an RRset of a source; the arguments are the parts of ``RRset``.

    Raises ValueError if a part does not fit its field.
    """
    kind, k = (POLICY_UNSET, 0) if policy is None else (policy.kind or POLICY_OWN_ALL, policy.k)
    try:
        kind |= _PTR[ptr]
        head = _HEAD.pack(TTL_UNSET if ttl is None else ttl, expires, kind, k, len(records))
        return head + _pack_records(records)
    except struct.error as error:
        raise ValueError(f"an RRset of {len(records)} records can't be packed: {error}") from None


def pack_single(ttl: int, rdata: bytes, weight: int = 1) -> bytes:
    """Pack an RRset of one record without expiry and policy; faster than ``pack``.

    Raises struct.error if a part does not fit its field.
    """
    return _SINGLE.pack(ttl, 0, 0, 0, 1, weight, len(rdata)) + rdata


def pack_single_ttl(ttl: bytes, rdata: bytes, weight: int) -> bytes:
    """Pack an RRset of one record; the TTL is 4 bytes."""
    return ttl + _SINGLE_TAIL.pack(0, 0, 0, 1, weight, len(rdata)) + rdata


def _pack_records(records: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join([_RECORD.pack(weight, len(rdata)) + rdata for weight, rdata in records])


def unpack(packed: bytes) -> RRset:
    """Return the parts of a packed RRset of a source. Raises ValueError if it is malformed."""
    if len(packed) < _RECORDS_AT:
        raise ValueError(f"an RRset has {len(packed)} bytes: expected at least {_RECORDS_AT}")
    ttl, expires, kind, k, number = _HEAD.unpack_from(packed)
    records = unpack_records(packed)
    if len(records) != number or not number:
        raise ValueError(f"an RRset of {number} records holds {len(records)}")
    policy, own = None, kind & _POLICY
    if own != POLICY_UNSET:
        policy = Policy(0 if own == POLICY_OWN_ALL else own, k)
    return RRset(None if ttl == TTL_UNSET else ttl, tuple(records), expires, policy, ptr_of(packed))


def unpack_records(packed: bytes) -> list[tuple[int, bytes]]:
    """Return the (weight, rdata) pairs of a packed RRset. Raises ValueError if it is cut off."""
    records, at = [], _RECORDS_AT
    while at < len(packed):
        if at + _RECORD.size > len(packed):
            raise ValueError("the last record of an RRset is cut off")
        weight, length = _RECORD.unpack_from(packed, at)
        at += _RECORD.size + length
        if at > len(packed):
            raise ValueError("the last record of an RRset is cut off")
        records.append((weight, packed[at - length : at]))
    return records


def count(packed: bytes) -> int:
    """Return the number of records of a packed RRset."""
    return packed[_COUNT_AT] << 8 | packed[_COUNT_AT + 1]


def ttl_bytes(packed: bytes) -> bytes:
    """Return the TTL of a packed RRset as 4 bytes, which sort as the TTLs do."""
    return packed[:_EXPIRES_AT]


def has_policy(packed: bytes, at: int = 0) -> bool:
    """Return whether the RRset of a source at an offset has a policy of its own."""
    return packed[at + _POLICY_AT] & _POLICY != POLICY_UNSET


def policy_of(packed: bytes) -> bytes:
    """Return the policy and k of an RRset, as the core takes them; ``ALL`` if it has none."""
    own = packed[_POLICY_AT] & _POLICY
    return ALL if own == POLICY_OWN_ALL else bytes((own, packed[_POLICY_AT + 1]))


def ptr_of(packed: bytes) -> bool | None:
    """Return whether the addresses of a source's RRset give PTR records, None if it is open."""
    return _PTR_OF.get(packed[_POLICY_AT] & _PTR_BITS)


def first_weight(packed: bytes) -> int:
    """Return the weight of the first record of a packed RRset."""
    return packed[_RECORDS_AT] << 8 | packed[_RECORDS_AT + 1]


def with_policy(packed: bytes, policy: bytes) -> bytes:
    """Return a packed RRset with other policy and k bytes."""
    return packed[:_POLICY_AT] + policy + packed[_COUNT_AT:]


def soa_serial(packed: bytes) -> int:
    """Return the serial of a packed SOA RRset (RFC 1035 section 3.3.13)."""
    return int.from_bytes(packed[_SOA_SERIAL], "big")


def fill(packed: bytes, rtype: int, ttl: bytes, policy: bytes) -> bytes:
    """Fill in what a source left open, so that the core can take the packed RRset.

    ttl, policy: the defaults of the source, 4 and 2 bytes.
    """
    if packed[0] == _TTL_UNSET_HIGH:
        packed = ttl + packed[_EXPIRES_AT:]
    own = packed[_POLICY_AT]
    if own > _POLICY:
        own &= _POLICY
        packed = with_policy(packed, bytes((own, packed[_POLICY_AT + 1])))
    if own == POLICY_OWN_ALL:
        return with_policy(packed, ALL)
    if own == POLICY_UNSET and policy != ALL and rtype in ADDRESSED:
        return with_policy(packed, policy)
    return packed


def unite(rrsets: Sequence[bytes], comparable: Callable[[bytes], bytes]) -> bytes:
    """Unite filled RRsets of one owner name and type.

    The result has the lowest TTL, the earliest expiry, the policy of the first, and of records
    whose rdata is equal after ``comparable`` the first.
    """
    records: dict[bytes, tuple[int, bytes]] = {}
    for packed in rrsets:
        for weight, rdata in unpack_records(packed):
            records.setdefault(comparable(rdata), (weight, rdata))
    ttl = min(map(ttl_bytes, rrsets))
    # Answering an expired record is worse than answering none until its source reports the rest.
    expiries = [packed[_EXPIRES_AT:_POLICY_AT] for packed in rrsets]
    expires = min((expiry for expiry in expiries if expiry != _NEVER), default=_NEVER)
    policy = rrsets[0][_POLICY_AT:_COUNT_AT]
    united = list(records.values())[:MAX_RECORDS]
    return ttl + expires + policy + len(united).to_bytes(2, "big") + _pack_records(united)
