"""Intended differences between musterd and most peers, each with its reason.

Where the peers differ among themselves, musterd agrees with the majority unless a line applies.
A line covers some fields of the answers to some questions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import dns.flags
import dns.name
import dns.rdataclass
from dns.rcode import BADVERS, FORMERR, REFUSED
from dns.rdatatype import ANY, AXFR, CNAME, DNAME, HTTPS, IXFR, NSEC, OPT, RRSIG, SVCB, TKEY, TSIG

from tests.conformance.compare import Records, View
from tests.conformance.questions import Question
from tests.intended import Intended

CHAIN = 16
"""CNAME records that musterd follows; BIND follows 11, Knot 5, NSD more than 16."""
PEER_CHAIN = 5
"""CNAME records that every peer follows."""


@dataclass(frozen=True, slots=True)
class PeerCase:
    """A question and all replies to it."""

    question: Question
    mine: View
    peers: Mapping[str, View | None]
    apexes: frozenset[bytes]
    """Names of the zones, in lower case wire form."""
    addresses: Records
    """Every A and AAAA record of the zones."""


def _one_rrset(case: PeerCase) -> bool:
    """Return whether musterd answers ANY with a single RRset that a peer gives too."""
    kinds = {(owner, rtype) for owner, rtype, _, _ in case.mine.answer}
    known = frozenset().union(*(peer.answer for peer in case.peers.values() if peer))
    return case.question.rtype == ANY and len(kinds) == 1 and case.mine.answer <= known


def _ends_at_dname(case: PeerCase) -> bool:
    """Return whether ANY gives a DNAME with its CNAME, and BIND agrees."""
    bind = case.peers.get("bind")
    kinds = {rtype for _, rtype, _, _ in case.mine.answer}
    any_below = case.question.rtype == ANY and kinds == {DNAME, CNAME}
    return any_below and bind is not None and _essence(bind) == _essence(case.mine)


def _aliases(case: PeerCase) -> list[bytes]:
    """Return the targets of the CNAMEs in musterd's answer."""
    return [rdata for _, rtype, _, rdata in case.mine.answer if rtype == CNAME]


def _zone(name: bytes, apexes: frozenset[bytes]) -> bytes | None:
    """Return the nearest apex at or above a name in wire form."""
    labels = dns.name.from_wire(name, 0)[0].labels
    suffixes = (dns.name.Name(labels[depth:]).to_digestable() for depth in range(len(labels)))
    return next((suffix for suffix in suffixes if suffix in apexes), None)


def _crosses_zones(case: PeerCase) -> bool:
    """Return whether an alias leads to another of our zones and musterd agrees with NSD."""
    nsd = case.peers.get("nsd")
    names = [_qname(case.question), *_aliases(case)]
    zones = {_zone(name, case.apexes) for name in names}
    same = nsd is not None and _essence(nsd) == _essence(case.mine)
    return len(zones) > 1 and same


def _qname(question: Question) -> bytes:
    return dns.name.Name([*question.labels, b""]).to_digestable()


def _essence(view: View) -> tuple[object, ...]:
    return view.rcode, view.aa, view.answer, view.soa, view.referral


def _helpful(case: PeerCase) -> bool:
    """Return whether the extra additional records are addresses of the answer's targets."""
    known = frozenset().union(*(peer.additional for peer in case.peers.values() if peer))
    extra = case.mine.additional - known
    records = case.mine.answer | case.mine.referral
    named = b"".join(rdata for _, _, _, rdata in records)
    # A target "." is the owner itself (RFC 9460 section 2.5.2).
    named += b"".join(owner for owner, rtype, _, _ in records if rtype in {SVCB, HTTPS})
    return extra <= case.addresses and all(owner in named for owner, _, _, _ in extra)


_WHOLE = frozenset({"rcode", "aa", "answer", "soa", "referral", "additional", "tc", "part"})

INTENDED: tuple[Intended[PeerCase], ...] = (
    Intended(
        "any-one-rrset",
        frozenset({"answer", "additional", "tc", "part"}),
        _one_rrset,
        "ANY gives a single RRset of the name (RFC 8482 section 4.1); NSD and BIND give all",
    ),
    Intended(
        "any-below-dname",
        _WHOLE,
        _ends_at_dname,
        "ANY below a DNAME gives it with the CNAME, which is not followed, like ANY for a CNAME "
        "(RFC 8482 section 4.1), as by BIND; NSD and Knot follow it",
    ),
    Intended(
        "chain-limit",
        _WHOLE,
        lambda case: PEER_CHAIN < len(_aliases(case)) <= CHAIN,
        f"{CHAIN} CNAMEs are followed, the client follows the rest (RFC 1034 section 5.2.2 sets no "
        "limit); BIND fails after 11, Knot stops after 5, NSD has no such limit",
    ),
    Intended(
        "transfer-refused",
        _WHOLE,
        lambda case: case.question.rtype in {AXFR, IXFR} and case.mine.rcode == REFUSED,
        "zone transfer is not supported: REFUSED by policy (RFC 5936 section 2.2.1)",
    ),
    Intended(
        "meta-formerr",
        _WHOLE,
        lambda case: case.question.rtype in {OPT, TSIG, TKEY} and case.mine.rcode == FORMERR,
        "OPT, TSIG and TKEY are not valid in a question (RFC 6891 section 6.1.1, RFC 8945 section "
        "4.2, RFC 2930 section 2); BIND agrees, NSD and Knot look them up",
    ),
    Intended(
        "class-refused",
        _WHOLE,
        lambda case: case.question.rclass != dns.rdataclass.IN and case.mine.rcode == REFUSED,
        "only class IN has zones; each peer has a different code for other classes, and answers to "
        "class ANY are never authoritative (RFC 1034 section 4.3.2)",
    ),
    Intended(
        "unsigned-alias",
        frozenset({"answer", "soa", "rcode", "referral", "additional", "tc", "part"}),
        lambda case: bool(_aliases(case)) and case.question.rtype in {RRSIG, NSEC},
        "RRSIG and NSEC exist beside CNAME in signed zones only (RFC 4035 section 2.5), so the "
        "alias is followed, as by NSD",
    ),
    Intended(
        "alias-across-zones",
        _WHOLE,
        _crosses_zones,
        "an alias is followed into any of our zones (RFC 1034 section 4.3.2 step 3a), as by NSD; "
        "Knot and BIND stay in the zone",
    ),
    Intended(
        "additional-addresses",
        frozenset({"additional"}),
        _helpful,
        "the addresses of all targets are added as far as they fit, from all of our zones (RFC "
        "1034 section 4.3.2 step 6); the peers search a single zone, and not for every type",
    ),
    Intended(
        "cd-clear",
        frozenset({"flags"}),
        lambda case: case.mine.rcode == BADVERS and not case.mine.flags & dns.flags.CD,
        "CD is cleared in every answer (RFC 4035 section 3.1.6); NSD and BIND copy it with BADVERS",
    ),
)


def explain(case: PeerCase, fields: list[str]) -> tuple[list[Intended[PeerCase]], list[str]]:
    """Return the lines that explain the differences, and the fields left unexplained."""
    used = [line for line in INTENDED if line.fields & set(fields) and line.applies(case)]
    covered = {field for line in used for field in line.fields}
    return used, [field for field in fields if field not in covered]
