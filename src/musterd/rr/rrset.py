"""Packed RRsets: the one place that knows their byte offsets.

A *packed* RRset is the form in which the core takes it (see ``_core.pyi``). A source may leave two
parts of it open, which the catalog fills in: the TTL (``TTL_UNSET``) and the policy
(``POLICY_UNSET``).
"""

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

TTL_UNSET: Final = 0xFFFF_FFFF
"""The TTL of a record that has none; no real one is above 2**31 - 1 (RFC 2181 section 8)."""
POLICY_UNSET: Final = 0
"""The policy octet of a record that has none of its own."""
POLICY_OWN_ALL: Final = 255
"""The policy octet of a record whose own policy is ``all``, which is 0 in the core."""
_HEAD = struct.Struct("!IQBBH")
_RECORD = struct.Struct("!HH")
HEAD_OCTETS: Final = _HEAD.size
"""Octets of a packed RRset before its first record."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which addresses one client gets: one of the core's ``POLICY_*``, and its count."""

    kind: int
    k: int = 0

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """From ``all``, ``one``, ``rotate``, ``sticky``, ``subset:3``. Raises ValueError."""
        word, colon, count = text.partition(":")
        if word in _POLICIES[:4] and not colon:
            return cls(_POLICIES.index(word))
        if word == "subset" and re.fullmatch("[0-9]{1,3}", count) and 0 < int(count) < 256:  # noqa: PLR2004
            return cls(4, int(count))
        raise ValueError(f'"{text}" is no policy: expected all, one, rotate, sticky or subset:K')

    def __str__(self) -> str:
        """As in the settings."""
        return _POLICIES[self.kind] + (f":{self.k}" if self.k else "")

    @property
    def octets(self) -> bytes:
        """As the core takes it: policy and k."""
        return bytes((self.kind, self.k))


_POLICIES: Final = ("all", "one", "rotate", "sticky", "subset")


class RRset(NamedTuple):
    """An RRset unpacked: the value of its parts, for those who look at few.

    ttl: seconds, None if unset; expires: ns of the boot-time clock, 0 for never; policy: its own,
    None if it has none; records: (weight, rdata in wire form).
    """

    ttl: int | None
    records: tuple[tuple[int, bytes], ...]
    expires: int = 0
    policy: Policy | None = None


def pack(
    ttl: int | None,
    records: Sequence[tuple[int, bytes]],
    *,
    expires: int = 0,
    policy: Policy | None = None,
) -> bytes:
    """A packed RRset of a source; the arguments are the parts of ``RRset``.

    Raises ValueError where a part does not fit its field.
    """
    kind, k = (POLICY_UNSET, 0) if policy is None else (policy.kind or POLICY_OWN_ALL, policy.k)
    try:
        head = _HEAD.pack(TTL_UNSET if ttl is None else ttl, expires, kind, k, len(records))
        return head + pack_records(records)
    except struct.error as error:
        raise ValueError(f"an RRset of {len(records)} records can't be packed: {error}") from None


def pack_records(records: Iterable[tuple[int, bytes]]) -> bytes:
    """The records of a packed RRset, from (weight, rdata) pairs."""
    return b"".join(_RECORD.pack(weight, len(rdata)) + rdata for weight, rdata in records)


def unpack(packed: bytes) -> RRset:
    """The parts of a packed RRset of a source. Raises ValueError if it is none."""
    if len(packed) < HEAD_OCTETS:
        raise ValueError(f"{len(packed)} octets are no RRset: its head has {HEAD_OCTETS}")
    ttl, expires, kind, k, count = _HEAD.unpack_from(packed)
    records = unpack_records(packed)
    if len(records) != count or not count:
        raise ValueError(f"an RRset of {count} records holds {len(records)}")
    policy = None
    if kind != POLICY_UNSET:
        policy = Policy(0 if kind == POLICY_OWN_ALL else kind, k)
    return RRset(None if ttl == TTL_UNSET else ttl, tuple(records), expires, policy)


def unpack_records(packed: bytes) -> list[tuple[int, bytes]]:
    """The (weight, rdata) pairs of a packed RRset. Raises ValueError where one is cut off."""
    records, at = [], HEAD_OCTETS
    while at < len(packed):
        if at + _RECORD.size > len(packed):
            raise ValueError("the last record of an RRset is cut off")
        weight, length = _RECORD.unpack_from(packed, at)
        at += _RECORD.size + length
        if at > len(packed):
            raise ValueError("the last record of an RRset is cut off")
        records.append((weight, packed[at - length : at]))
    return records


class Record(NamedTuple):
    """What a key gives at one owner name: a wire name, a type, and a packed RRset."""

    owner: bytes
    rtype: int
    packed: bytes
