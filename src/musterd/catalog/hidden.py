"""Records that are never answered, because a delegation, a DNAME or a deeper zone is."""

from collections.abc import Callable, Container, Iterable, Mapping
from functools import cache, partial
from typing import Final

import structlog

from musterd.catalog.zone import Zone, deepest
from musterd.rr.names import fold, is_wildcard, name_to_text, suffixes
from musterd.rr.rrset import unpack_records
from musterd.rr.types import AAAA, DNAME, DS, NS, A, type_text

MAX_HIDDEN: Final = 1000
"""Maximum hidden RRsets of a zone that are kept; all are counted."""
MAX_LOGGED: Final = 20
"""Maximum hidden RRsets that are logged at once."""

log = structlog.get_logger()

Targets = Callable[[bytes | None], Container[bytes]]
"""Returns the folded names of the servers to which an owner name, or if None any, is delegated."""


def hidden_by(
    owner: bytes, rtype: int, apex: bytes, cuts: Container[tuple[bytes, int]], targets: Targets
) -> str:
    """Return why records of a type at a folded owner name are never answered; "" if they are.

    cuts: owner names in the zone with their types NS or DNAME.
    """
    if owner != apex and is_wildcard(owner) and rtype in (NS, DNAME):
        return f"{type_text(rtype)} at a wildcard applies to no name (RFC 4592 section 4)"
    for above in reversed([name for name in suffixes(owner) if len(name) >= len(apex)]):
        if above != owner and (above, DNAME) in cuts:
            return f"{name_to_text(above)} has a DNAME, which redirects every name below it"
        if above == apex or (above, NS) not in cuts:
            continue
        # The servers of other delegations are glue as well (RFC 9471 section 2.3).
        if rtype in (A, AAAA) and (owner in targets(above) or owner in targets(None)):
            return ""
        if above == owner and rtype in (NS, DS):
            return ""
        where = "at it" if above == owner else "below it"
        return (
            f"{name_to_text(above)} is delegated by NS records, so {where} only the addresses of "
            "name servers are answered"
        )
    return ""


def hidden_in(zone: Zone, owner: bytes, rtype: int) -> str:
    """Return why records of a type at a folded owner name of a zone are never answered."""
    if not zone.cuts:
        return ""
    return hidden_by(owner, rtype, zone.apex, zone.cuts, partial(servers, zone))


def _hidden_of(
    zone: Zone, found: Iterable[tuple[bytes, int]], zones: Mapping[bytes, Zone]
) -> dict[tuple[bytes, int], str]:
    """Return the RRsets of a zone that are never answered, with the reasons."""
    targets = cache(partial(servers, zone))
    reasons: dict[tuple[bytes, int], str] = {}
    for owner, rtype in found:
        reason = hidden_by(owner, rtype, zone.apex, zone.cuts, targets) if zone.cuts else ""
        if reason := reason or _elsewhere(zone, owner, zones):
            reasons[owner, rtype] = reason
    return reasons


def _elsewhere(zone: Zone, owner: bytes, zones: Mapping[bytes, Zone]) -> str:
    """Return why an owner name of a zone is not answered from it; "" if it is."""
    found = deepest(zones, owner)
    if found is None or found.apex == zone.apex:
        return ""
    return f"it is in zone {found.text}, which does not list its source"


def report_hidden(
    zone: Zone, total: int, found: Iterable[tuple[bytes, int]], zones: Mapping[bytes, Zone]
) -> None:
    """Replace the hidden RRsets of a zone, and log the new ones."""
    before = zone.hidden
    # The zone may have changed since they were found.
    zone.hidden = _hidden_of(zone, found, zones)
    zone.hidden_total = total
    new = [place for place, reason in zone.hidden.items() if before.get(place) != reason]
    for owner, rtype in new[:MAX_LOGGED]:
        rrset = f"{name_to_text(owner)} {type_text(rtype)}"
        log.warning("an RRset is never answered", rrset=rrset, reason=zone.hidden[owner, rtype])
    if len(new) > MAX_LOGGED:
        log.warning("more RRsets are never answered", zone=zone.text, number=len(new) - MAX_LOGGED)


def servers(zone: Zone, cut: bytes | None) -> set[bytes]:
    """Return the folded names in the NS records of all sources at a cut, or at any if None."""
    every = [zone.apex, *(owner for owner, rtype in zone.cuts if rtype == NS)]
    return {
        fold(wire)
        for owner in (every if cut is None else [cut])
        for candidate in zone.candidates(owner)
        if candidate.rtype == NS
        for _, wire in unpack_records(candidate.packed)
    }
