"""Records that are never answered, because a delegation or a DNAME above them is."""

from collections.abc import Callable, Container

from musterd.catalog.zone import Zone
from musterd.rr.names import fold, name_to_text, suffixes
from musterd.rr.rrset import unpack_records
from musterd.rr.types import AAAA, DNAME, DS, NS, A

Targets = Callable[[bytes], Container[bytes]]
"""Returns the folded names of the servers to which an owner name is delegated."""


def hidden_by(
    owner: bytes, rtype: int, apex: bytes, cuts: Container[tuple[bytes, int]], targets: Targets
) -> str:
    """Return why records of a type at a folded owner name are never answered; "" if they are.

    cuts: owner names in the zone with their types NS or DNAME.
    """
    for above in reversed([name for name in suffixes(owner) if len(name) >= len(apex)]):
        if above != owner and (above, DNAME) in cuts:
            return f"{name_to_text(above)} has a DNAME, which redirects every name below it"
        if above == apex or (above, NS) not in cuts:
            continue
        if rtype in (A, AAAA) and owner in targets(above):
            return ""
        if above == owner and rtype in (NS, DS):
            return ""
        where = "at it" if above == owner else "below it"
        return (
            f"{name_to_text(above)} is delegated by NS records, so {where} only the addresses of "
            "these name servers are answered"
        )
    return ""


def hidden_in(zone: Zone, owner: bytes, rtype: int) -> str:
    """Return why records of a type at a folded owner name of a zone are never answered."""
    if not zone.cuts:
        return ""
    return hidden_by(owner, rtype, zone.apex, zone.cuts, lambda cut: servers(zone, cut))


def servers(zone: Zone, owner: bytes) -> set[bytes]:
    """Return the folded names in the NS records of all sources at an owner name."""
    return {
        fold(wire)
        for candidate in zone.candidates(owner)
        if candidate.rtype == NS
        for _, wire in unpack_records(candidate.packed)
    }
