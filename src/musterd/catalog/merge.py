"""Which of the records that sources give at one owner name are answered, and what hides others."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from musterd.rr.rrset import HEAD_OCTETS, POLICY_OWN_ALL, POLICY_UNSET, pack_records, unpack_records
from musterd.rr.types import ADDRESSED, CNAME, DNAME, KEY, MX, NS, NSEC, PTR, RRSIG, SOA, SRV

SINGLE = frozenset({CNAME, DNAME, SOA})
"""Types of which an owner name has one record (RFC 2181 section 10.1, RFC 6672 section 2.4)."""
BESIDE_CNAME = frozenset({KEY, NSEC, RRSIG})
"""Types that may stand beside a CNAME (RFC 2181 section 10.1, RFC 4034)."""

RECORDS_MOST = 0xFFFF
"""Records of one RRset that the core takes; a message holds fewer."""
TTL_HIGH = 0xFF
"""First octet of ``TTL_UNSET``; that of a real TTL is at most 0x7f."""
POLICY_AT = 12
"""Where a packed RRset has its policy and k."""
_NAME_AT = {NS: 0, CNAME: 0, PTR: 0, DNAME: 0, MX: 2, SRV: 6}
"""Where rdata ends that is more than a name, by type: names are equal in any case."""


class Defaults(NamedTuple):
    """What the records of one source have in one zone where they say nothing themselves."""

    rank: int
    """Place of the source in the zone, 0 first."""
    name: str
    ttl: bytes
    """4 octets, seconds."""
    policy: bytes
    """Policy and k, 2 octets."""


class Candidate(NamedTuple):
    """An RRset that one key of one source gives at the owner name in question."""

    source: Defaults
    key: bytes
    rtype: int
    packed: bytes


class Shadowed(NamedTuple):
    """An RRset that is not answered, and why."""

    given: Candidate
    reason: str


def fill(packed: bytes, rtype: int, source: Defaults) -> bytes:
    """A packed RRset of one source as the core takes it, with what it left open filled in."""
    if packed[0] == TTL_HIGH:
        packed = source.ttl + packed[4:]
    own = packed[POLICY_AT]
    if own == POLICY_OWN_ALL:
        return packed[:POLICY_AT] + b"\0\0" + packed[POLICY_AT + 2 :]
    if own == POLICY_UNSET and rtype in ADDRESSED and source.policy != b"\0\0":
        return packed[:POLICY_AT] + source.policy + packed[POLICY_AT + 2 :]
    return packed


def precedence(one: Candidate) -> tuple[int, bytes]:
    """Sorts what is given: by rank of the source, then by key, so that arrival does not count."""
    return one.source.rank, one.key


def choose(
    given: Iterable[Candidate], *, union: bool, apex: bool
) -> tuple[dict[int, list[Candidate]], list[Shadowed]]:
    """What is answered, by type and in order of precedence, and what is hidden.

    union: the records of all sources together, not those of the first that has the type.
    apex: the owner is that of a zone, where no CNAME can be (RFC 1912 section 2.4).
    """
    ordered = sorted(given, key=precedence)
    rest, hidden = _without_conflicts(ordered, apex=apex)
    visible: dict[int, list[Candidate]] = {}
    for one in rest:
        known = visible.setdefault(one.rtype, [])
        reason = _hidden_by(one, known[0], union=union) if known else ""
        if reason:
            hidden.append(Shadowed(one, reason))
        else:
            known.append(one)
    return visible, hidden


def _hidden_by(one: Candidate, first: Candidate, *, union: bool) -> str:
    if one.rtype in SINGLE:
        return f"there can be one, and {first.source.name} gives it"
    if not union and one.source.rank != first.source.rank:
        return f"{first.source.name} comes first"
    return ""


def _without_conflicts(
    ordered: Sequence[Candidate], *, apex: bool
) -> tuple[list[Candidate], list[Shadowed]]:
    """Leave either a CNAME or other data (RFC 1034 section 3.6.2): what the first source has.

    Where that source itself has both, the CNAME goes: the rest can be answered without it.
    """
    rivals = [one for one in ordered if one.rtype not in BESIDE_CNAME]
    if all(one.rtype != CNAME for one in rivals):
        return list(ordered), []
    first = [one for one in rivals if one.source.rank == rivals[0].source.rank]
    alias = not apex and all(one.rtype == CNAME for one in first)
    if alias:
        reason = f"{first[0].source.name} has a CNAME, which stands alone"
    elif apex:
        reason = "the apex of a zone can't have a CNAME"
    else:
        reason = f"{first[0].source.name} has other records, and a CNAME stands alone"
    keep: list[Candidate] = []
    hidden: list[Shadowed] = []
    for one in ordered:
        if one.rtype in BESIDE_CNAME or (one.rtype == CNAME) == alias:
            keep.append(one)
        else:
            hidden.append(Shadowed(one, reason))
    return keep, hidden


def join(visible: dict[int, list[Candidate]]) -> dict[int, bytes]:
    """The packed RRsets for the core, from what is answered at one owner name.

    A policy belongs to the owner name: one of its records that says it says it for all.
    """
    own = b""
    for given in visible.values():
        own = own or next((_own_policy(one.packed) for one in given if one.packed[POLICY_AT]), b"")
    return {rtype: _unite(rtype, given, own) for rtype, given in visible.items()}


def _own_policy(packed: bytes) -> bytes:
    octets = packed[POLICY_AT : POLICY_AT + 2]
    return b"\0\0" if octets[0] == POLICY_OWN_ALL else octets


def _unite(rtype: int, given: Sequence[Candidate], own: bytes) -> bytes:
    """One RRset of several: lowest TTL, earliest end, duplicates removed."""
    filled = [fill(one.packed, rtype, one.source) for one in given]
    packed = filled[0]
    if len(filled) > 1:
        packed = _join_records(rtype, filled)
    if own and rtype in ADDRESSED:
        packed = packed[:POLICY_AT] + own + packed[POLICY_AT + 2 :]
    return packed


def _join_records(rtype: int, filled: Sequence[bytes]) -> bytes:
    records: dict[bytes, tuple[int, bytes]] = {}
    for packed in filled:
        for weight, rdata in unpack_records(packed):
            records.setdefault(_comparable(rtype, rdata), (weight, rdata))
    ttl = min(packed[:4] for packed in filled)
    # The earliest end: to answer a record that has ended is worse than to answer none for as
    # long as it takes to hear of the rest.
    ends = [packed[4:POLICY_AT] for packed in filled if any(packed[4:POLICY_AT])]
    policy = filled[0][POLICY_AT : HEAD_OCTETS - 2]
    united = list(records.values())[:RECORDS_MOST]
    head = ttl + min(ends, default=bytes(8)) + policy + len(united).to_bytes(2, "big")
    return head + pack_records(united)


def _comparable(rtype: int, rdata: bytes) -> bytes:
    at = _NAME_AT.get(rtype)
    return rdata if at is None else rdata[:at] + rdata[at:].lower()
