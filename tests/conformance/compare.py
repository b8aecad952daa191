"""Compares the replies of servers in the fields that matter to clients.

Order, case, size and compression are ignored, and so is what RFC 1034 leaves to the server: NS of
its own apex beside an answer, and additional records that a client doesn't need.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Record = tuple[bytes, int, int, bytes]
"""Owner in lower case wire form, type, TTL, rdata in canonical form."""
Records = frozenset[Record]

FIELDS = ("rcode", "aa", "flags", "answer", "soa", "referral", "edns", "nsid")
_HEADER_FLAGS = dns.flags.RD | dns.flags.RA | dns.flags.AD | dns.flags.CD | 0x0040


@dataclass(frozen=True, slots=True)
class View:
    """The fields of a reply that are compared."""

    size: int
    rcode: int
    aa: bool
    tc: bool
    flags: int
    answer: Records
    soa: Records
    referral: Records
    additional: Records
    edns: tuple[int, int] | None
    nsid: bytes | None


def view(wire: bytes | None, apexes: frozenset[bytes]) -> View | None:
    """Return the compared fields of a reply, None if it is missing or malformed.

    apexes: the zones' names in lower case wire form.
    """
    if wire is None:
        return None
    try:
        message = dns.message.from_wire(wire, ignore_trailing=False)
    except (dns.exception.DNSException, ValueError):
        return None
    authority = _records(message.authority)
    return View(
        size=len(wire),
        rcode=int(message.rcode()),
        aa=bool(message.flags & dns.flags.AA),
        tc=bool(message.flags & dns.flags.TC),
        flags=message.flags & _HEADER_FLAGS,
        answer=_records(message.answer),
        soa=frozenset(item for item in authority if item[1] == dns.rdatatype.SOA),
        referral=frozenset(
            item for item in authority if item[1] != dns.rdatatype.SOA and item[0] not in apexes
        ),
        additional=_records(message.additional),
        edns=(message.edns, message.ednsflags & 0xFFFF) if message.edns >= 0 else None,
        nsid=_nsid(message),
    )


def _nsid(message: dns.message.Message) -> bytes | None:
    found = [option.to_wire() for option in message.options if option.otype == dns.edns.NSID]
    return found[0] if found else None


def _records(section: list[dns.rrset.RRset]) -> Records:
    return frozenset(
        (rrset.name.to_digestable(), int(rrset.rdtype), rrset.ttl, rdata.to_digestable())
        for rrset in section
        for rdata in rrset
    )


def differences(mine: View | None, peers: Mapping[str, View | None], limit: int) -> list[str]:
    """Return the fields in which mine differs from the majority of the peers.

    Without a majority, mine must agree with one of the peers.
    """
    views = [peer for peer in peers.values() if peer is not None]
    if mine is None:
        return ["reply"] if len(views) > 1 else []
    wrong = [
        field
        for field in FIELDS
        if not _agrees(getattr(mine, field), [getattr(peer, field) for peer in views])
    ]
    if not _additional_agrees(mine, views, limit):
        wrong.append("additional")
    return wrong


def _agrees(mine: object, others: list[object]) -> bool:
    """Return whether mine is the most common value, or one of several most common ones."""
    votes = Counter(others)
    highest = max(votes.values(), default=0)
    return votes[mine] == highest > 0


def _additional_agrees(mine: View, views: list[View], limit: int) -> bool:
    """Return whether mine has only records of peers, and those of all peers as far as they fit."""
    if not views:
        return True
    others = [peer.additional for peer in views]
    missing = frozenset.intersection(*others) - mine.additional
    room = limit - mine.size
    fits = missing and min(_sizes(missing)) <= room
    return not fits and mine.additional <= frozenset.union(*others)


def _sizes(records: Records) -> list[int]:
    """Return the size in bytes of each RRset, with a compressed owner."""
    sizes: Counter[tuple[bytes, int]] = Counter()
    for owner, rtype, _, rdata in records:
        sizes[owner, rtype] += 12 + len(rdata)
    return list(sizes.values())


def same_status(mine: View, full: View) -> bool:
    """Return whether my reply has the response code and AA of my full reply.

    If aliases don't fit, the last name is not looked up, so its response code is not known.
    """
    unknown = mine.tc and mine.rcode == dns.rcode.NOERROR and mine.answer < full.answer
    return mine.aa == full.aa and (unknown or mine.rcode == full.rcode)


def truncated_differences(
    mine: View | None, peers: Mapping[str, View | None], full: View | None, limit: int
) -> list[str]:
    """Return the fields in which mine is wrong, for a question that some server truncated.

    full: my reply over TCP. TC must be set if and only if the full answer doesn't fit, and a
    truncated answer must be part of the full one (RFC 2181 section 9).
    """
    views = [peer for peer in peers.values() if peer is not None]
    if mine is None or full is None:
        return ["reply"]
    wrong = [
        field
        for field in ("aa", "flags", "edns")
        if not _agrees(getattr(mine, field), [getattr(peer, field) for peer in views])
    ]
    if not same_status(mine, full):
        wrong.append("rcode")
    # A missing additional record needs no TC, but missing glue does (RFC 9471 section 3.1).
    whole = mine.answer == full.answer and mine.soa == full.soa and mine.referral == full.referral
    needless = full.size <= limit or (whole and not mine.referral)
    if (mine.tc and needless) or not (mine.tc or whole):
        wrong.append("tc")
    parts = ((mine.answer, full.answer), (mine.referral, full.referral), (mine.soa, full.soa))
    if mine.size > limit or not all(part <= all_ for part, all_ in parts):
        wrong.append("part")
    return wrong
