"""Resolution: the RRsets to answer at an owner name."""

from collections.abc import Sequence
from typing import Final

from musterd.catalog.merge import MADE_PTR, Candidate, choose, join
from musterd.catalog.zone import Zone
from musterd.rr.rrset import fill, has_policy, soa_serial
from musterd.rr.types import CNAME, SOA

RRsets = dict[int, bytes]
"""Packed RRsets of one owner name, by type."""
NO_RRSETS: Final[RRsets] = {}


def resolve(zone: Zone, owner: bytes, candidates: Sequence[Candidate] | None = None) -> RRsets:
    """Return the RRsets to answer at a folded owner name. Nothing else computes them.

    candidates: all of the zone at the name, if the caller knows them already; or new ones, if they
    affect no other RRset there.
    """
    if candidates is None:
        candidates = zone.candidates(owner)
    if zone.cuts and zone.has_made_ptr:
        candidates = _answerable(zone, owner, candidates)
    if not candidates:
        return {}
    if len(candidates) == 1:
        # The common case, without a loop: loading a large zone is as fast as this is.
        ((source, _, rtype, packed),) = candidates
        return {rtype: fill(packed, rtype, source.ttl, source.policy)}
    rrsets: RRsets = {}
    for source, _, rtype, packed in candidates:
        if rtype in rrsets or rtype == CNAME or has_policy(packed):
            # They affect each other.
            return join(choose(candidates, union=zone.union, apex=owner == zone.apex)[0])
        rrsets[rtype] = fill(packed, rtype, source.ttl, source.policy)
    return rrsets


def _answerable(zone: Zone, owner: bytes, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Omit the PTR records made from addresses where no PTR record is ever answered."""
    others = [candidate for candidate in candidates if candidate.source.name != MADE_PTR]
    if len(others) == len(candidates) or not zone.is_cut_off(owner):
        return candidates
    return others


def answered_serial(zone: Zone) -> int:
    """Return the serial of the SOA that is answered: a source's, if a source gives the SOA."""
    if zone.apex not in zone.names:
        return zone.serial.answered
    return soa_serial(resolve(zone, zone.apex)[SOA])
