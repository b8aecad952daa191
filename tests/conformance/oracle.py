"""An authoritative server's lookup, written for clarity over zones as dnspython reads them.

RFC 1034 section 4.3.2 with RFC 4592 wildcards, without DNSSEC and additional records. It shares no
code and no data structure with musterd, and is itself compared with the peers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import dns.name
import dns.rdataset
import dns.rdatatype
import dns.zone
from dns.rcode import NOERROR, NXDOMAIN, REFUSED

from tests.conformance.compare import Record, Records
from tests.conformance.peers import ZoneText

Labels = tuple[bytes, ...]
Node = dict[int, dns.rdataset.Rdataset]

CHAIN = 16
"""CNAME records that musterd follows; the peers: BIND 11, Knot 5, NSD more."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer must be; ``choices`` are the RRsets of which ANY gives one."""

    rcode: int
    aa: bool
    answer: Records = frozenset()
    soa: Records = frozenset()
    referral: Records = frozenset()
    choices: tuple[Records, ...] = ()
    whole: bool = True


class Oracle:
    """Answers questions from a few zones in memory."""

    def __init__(self, zones: Sequence[ZoneText]) -> None:
        self._zones: dict[Labels, dict[Labels, Node]] = {}
        for text in zones:
            zone = dns.zone.from_text(
                text.text, origin=text.origin, relativize=False, check_origin=False
            )
            nodes: dict[Labels, Node] = {}
            apex = _labels(dns.name.from_text(text.origin))
            for name, node in zone.nodes.items():
                labels = _labels(name)
                nodes.setdefault(labels, {}).update({int(s.rdtype): s for s in node.rdatasets})
                for depth in range(1, len(labels) - len(apex)):
                    nodes.setdefault(labels[depth:], {})
            self._zones[apex] = nodes

    def ask(self, qname: Labels, rtype: int, chain: int = CHAIN) -> Expected:
        """The expected answer to a name (any case, without root label) and type of class IN."""
        name = tuple(label.lower() for label in qname)
        answer: set[Record] = set()
        seen: set[Labels] = set()
        while True:
            apex = self._apex(name, rtype)
            if apex is None:
                return Expected(NOERROR if seen else REFUSED, bool(seen), frozenset(answer))
            nodes = self._zones[apex]
            cut = _cut(nodes, apex, name, rtype)
            if cut is not None:
                ns = _records(cut, nodes[cut][dns.rdatatype.NS])
                return Expected(NOERROR, bool(seen), frozenset(answer), referral=ns)
            node = _find(nodes, name)
            if node is None:
                soa = _soa(apex, nodes)
                return Expected(NXDOMAIN, aa=True, answer=frozenset(answer), soa=soa)
            alias = node.get(dns.rdatatype.CNAME)
            if alias is None or rtype in {dns.rdatatype.CNAME, dns.rdatatype.ANY}:
                return _final(name, rtype, node, answer, _soa(apex, nodes))
            answer |= _records(name, alias)
            seen.add(name)
            name = _labels(alias[0].target)
            if name in seen or len(seen) >= chain:
                return Expected(NOERROR, aa=True, answer=frozenset(answer), whole=name in seen)

    def addresses(self) -> Records:
        """Every A and AAAA record of the zones."""
        return frozenset(
            record
            for nodes in self._zones.values()
            for owner, node in nodes.items()
            for rtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
            if rtype in node
            for record in _records(owner, node[rtype])
        )

    def _apex(self, name: Labels, rtype: int) -> Labels | None:
        """The zone nearest above a name; for DS, the one above its own (RFC 4035 section 3.1.4)."""
        found = [name[i:] for i in range(len(name) + 1) if name[i:] in self._zones]
        if rtype == dns.rdatatype.DS and len(found) > 1 and found[0] == name:
            return found[1]
        return found[0] if found else None


def _labels(name: dns.name.Name) -> Labels:
    return tuple(label.lower() for label in name.labels[:-1])


def _records(owner: Labels, rdataset: dns.rdataset.Rdataset) -> Records:
    wire = dns.name.Name([*owner, b""]).to_digestable()
    return frozenset(
        (wire, int(rdataset.rdtype), rdataset.ttl, rdata.to_digestable()) for rdata in rdataset
    )


def _soa(apex: Labels, nodes: dict[Labels, Node]) -> Records:
    """The SOA of a negative answer, TTL the lower of its own and MINIMUM (RFC 2308 section 3)."""
    rdataset = nodes[apex][dns.rdatatype.SOA]
    ttl = min(rdataset.ttl, rdataset[0].minimum)
    records = _records(apex, rdataset)
    return frozenset((owner, rtype, ttl, data) for owner, rtype, _, data in records)


def _cut(nodes: dict[Labels, Node], apex: Labels, name: Labels, rtype: int) -> Labels | None:
    """The highest delegation at or above a name; DS at a cut is the parent's own."""
    for depth in range(len(name) - len(apex) - 1, -1, -1):
        above = name[depth:]
        own = depth == 0 and rtype == dns.rdatatype.DS
        if dns.rdatatype.NS in nodes.get(above, {}) and not own:
            return above
    return None


def _find(nodes: dict[Labels, Node], name: Labels) -> Node | None:
    """The node of a name, or of the wildcard that stands for it (RFC 4592 section 3.3.1)."""
    if name in nodes:
        return nodes[name]
    for depth in range(1, len(name) + 1):
        if name[depth:] in nodes:
            return nodes.get((b"*", *name[depth:]))
    return None


def _final(name: Labels, rtype: int, node: Node, answer: set[Record], soa: Records) -> Expected:
    """The answer at the end of the chain."""
    if rtype == dns.rdatatype.ANY and node:
        choices = tuple(_records(name, rdataset) for rdataset in node.values())
        return Expected(NOERROR, aa=True, answer=frozenset(answer), choices=choices)
    if rtype in node:
        found = frozenset(answer) | _records(name, node[rtype])
        return Expected(NOERROR, aa=True, answer=found)
    return Expected(NOERROR, aa=True, answer=frozenset(answer), soa=soa)
