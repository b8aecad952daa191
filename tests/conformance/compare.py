"""What of a reply matters, and where two servers differ in it.

Order and case do not; sizes, compression and what RFC 1034 leaves to the server's taste neither:
NS of the own apex beside an answer, and additional records beyond those that a client needs.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset

Record = tuple[bytes, int, int, bytes]
"""Owner in lower case wire form, type, TTL, rdata in canonical form."""
Records = frozenset[Record]

FIELDS = ("rcode", "aa", "flags", "answer", "soa", "referral", "edns", "nsid")
_HEADER_FLAGS = dns.flags.RD | dns.flags.RA | dns.flags.AD | dns.flags.CD | 0x0040


@dataclass(frozen=True, slots=True)
class View:
    """One reply, in the fields that are compared."""

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
    """A reply as it is compared; None where there was none or it can't be parsed.

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
    """The fields in which mine is not what most peers say.

    A field in which the peers are all of different opinions is named too, unless mine agrees with
    one of them.
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
    """Whether mine is the most common of the others, or one of them where none is."""
    votes = Counter(others)
    most = max(votes.values(), default=0)
    return votes[mine] == most > 0


def _additional_agrees(mine: View, views: list[View], limit: int) -> bool:
    """Whether mine has nothing that no peer has, and what all have as far as it fits."""
    if not views:
        return True
    others = [peer.additional for peer in views]
    missing = frozenset.intersection(*others) - mine.additional
    room = limit - mine.size
    fits = missing and min(_sizes(missing)) <= room
    return not fits and mine.additional <= frozenset.union(*others)


def _sizes(records: Records) -> list[int]:
    """Octets that each RRset among these takes, its owner compressed."""
    sizes: Counter[tuple[bytes, int]] = Counter()
    for owner, rtype, _, rdata in records:
        sizes[owner, rtype] += 12 + len(rdata)
    return list(sizes.values())


def truncated_differences(
    mine: View | None, peers: Mapping[str, View | None], full: View | None, limit: int
) -> list[str]:
    """The fields in which mine is wrong where somebody truncated.

    full: what mine is over TCP. TC is right where the full answer does not fit and only there; what
    is in a truncated answer is part of the full one (RFC 2181 section 9).
    """
    views = [peer for peer in peers.values() if peer is not None]
    if mine is None or full is None:
        return ["reply"]
    wrong = [
        field
        for field in ("rcode", "aa", "flags", "edns")
        if not _agrees(getattr(mine, field), [getattr(peer, field) for peer in views])
    ]
    # A missing additional record is no truncation, but missing glue is (RFC 9471 section 3.1).
    whole = mine.answer == full.answer and mine.soa == full.soa and mine.referral == full.referral
    needless = full.size <= limit or (whole and not mine.referral)
    if (mine.tc and needless) or not (mine.tc or whole):
        wrong.append("tc")
    parts = ((mine.answer, full.answer), (mine.referral, full.referral), (mine.soa, full.soa))
    if mine.size > limit or not all(part <= all_ for part, all_ in parts):
        wrong.append("part")
    return wrong
