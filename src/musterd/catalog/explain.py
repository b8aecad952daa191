"""Why a name is answered as it is: each RRset that is given, with where it came from."""

from dataclasses import dataclass

from musterd.catalog.merge import Given, choose, fill
from musterd.catalog.rows import ROW, SOURCE_OCTETS, key_text
from musterd.catalog.zone import Zone
from musterd.model import RRset, unpack


@dataclass(frozen=True, slots=True)
class Contribution:
    """An RRset that one key of one source gives.

    rrset: as it would be answered alone; time: of the key's last change, epoch seconds;
    hidden: why it is not answered, empty if it is; refused: why the core did not take it.
    """

    source: str
    key: str
    revision: int
    time: float
    rtype: int
    rrset: RRset
    hidden: str
    refused: str


def explain(zone: Zone, owner: bytes, rtype: int | None = None) -> list[Contribution]:
    """All that is given at a folded owner name, what is answered first."""
    visible, hidden = choose(zone.given(owner), union=zone.union, apex=owner == zone.apex)
    found = [(one, "") for given in visible.values() for one in given] + list(hidden)
    return [
        _contribution(zone, owner, one, reason)
        for one, reason in found
        if rtype is None or one.rtype == rtype
    ]


def _contribution(zone: Zone, owner: bytes, one: Given, hidden: str) -> Contribution:
    revision, time, key = zone.serial, zone.changed, ""
    if one.key:
        table = zone.tables[one.key[:SOURCE_OCTETS]]
        _, revision, time = ROW.unpack_from(table.rows[one.key])
        key = key_text(one.key)
    refused = "" if hidden else zone.refused.get((owner, one.rtype), "")
    rrset = unpack(fill(one.packed, one.rtype, one.source))
    return Contribution(one.source.name, key, revision, time, one.rtype, rrset, hidden, refused)
