"""Occlusion: RRsets that are never answered, because of a delegation or a DNAME."""

from collections.abc import Sequence
from typing import Final

import structlog

from musterd.catalog.zone import Zone
from musterd.rr.names import name_to_text
from musterd.rr.types import DNAME, NS, type_text

MAX_OCCLUDED: Final = 1000
"""Maximum RRsets of a zone that are kept; all are counted."""
MAX_LOGGED: Final = 20
"""Maximum RRsets that are logged at once."""

Occluded = tuple[bytes, int, bytes, int]
"""Owner and type of an RRset, and those of the NS or DNAME because of which it is not answered."""

log = structlog.get_logger()


def occlusion_reason(owner: bytes, rtype: int, by: bytes, by_type: int) -> str:
    """Return the reason why an RRset is never answered."""
    name = name_to_text(by)
    if (owner, rtype) == (by, by_type):
        what = "delegates" if rtype == NS else "redirects"
        return f"{type_text(rtype)} at a wildcard {what} no name (RFC 4592 section 4)"
    if by_type == DNAME:
        return f"it is below the DNAME of {name}, which redirects all names below (RFC 6672)"
    if owner == by:
        return f"{name} is delegated: another server answers, except for NS and DS"
    return f"it is below the delegation of {name}: another server answers"


def report_occluded(zone: Zone, total: int, found: Sequence[Occluded]) -> None:
    """Replace the occluded RRsets of a zone, and log those that are new."""
    before = zone.occluded
    zone.occluded_total = total
    zone.occluded = {each[:2]: occlusion_reason(*each) for each in found}
    new = [each for each in zone.occluded.items() if before.get(each[0]) != each[1]]
    for (owner, rtype), reason in new[:MAX_LOGGED]:
        rrset = f"{name_to_text(owner)} {type_text(rtype)}"
        log.warning("an RRset is never answered", rrset=rrset, reason=reason)
    if len(new) > MAX_LOGGED:
        log.warning(
            "further RRsets are never answered", zone=zone.text, number=len(new) - MAX_LOGGED
        )
