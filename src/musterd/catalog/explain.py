"""Why a name is answered as it is: each RRset that is given, with where it came from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from musterd.catalog.merge import Candidate, choose, fill
from musterd.catalog.rows import ROW, SOURCE_OCTETS, key_text
from musterd.catalog.zone import Zone
from musterd.rr.rrset import RRset, unpack


@dataclass(frozen=True, slots=True)
class Contribution:
    """An RRset that one key of one source gives.

    rrset: as it would be answered alone, or what the source itself leaves out of it; time: of the
    key's last change, epoch seconds;
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
    given = [
        _contribution(zone, owner, one, reason)
        for one, reason in found
        if rtype is None or one.rtype == rtype
    ]
    return [*given, *_left_out(zone, owner, given)]


def _contribution(zone: Zone, owner: bytes, one: Candidate, hidden: str) -> Contribution:
    revision, time, key = zone.serial, zone.changed, ""
    if one.key:
        table = zone.tables[one.key[:SOURCE_OCTETS]]
        _, revision, time = ROW.unpack_from(table.rows[one.key])
        key = key_text(one.key)
    refused = "" if hidden else zone.refused.get((owner, one.rtype), "")
    rrset = unpack(fill(one.packed, one.rtype, one.source))
    return Contribution(one.source.name, key, revision, time, one.rtype, rrset, hidden, refused)


def _left_out(zone: Zone, owner: bytes, given: Sequence[Contribution]) -> Iterator[Contribution]:
    """What sources leave out of RRsets that they give."""
    whole = {(one.source, one.rtype): one for one in given}
    for table in zone.tables.values():
        for rtype, weight, rdata, reason in [
            *table.left_out(owner),
            *table.withheld.get(owner, ()),
        ]:
            one = whole.get((table.name, rtype))
            if one is not None:
                rrset = one.rrset._replace(records=((weight, rdata),))
                yield replace(one, rrset=rrset, hidden=reason, refused="")
