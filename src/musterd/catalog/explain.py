"""Explanation of an answer: each RRset at a name, with its origin."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from musterd.catalog.hidden import hidden_in
from musterd.catalog.merge import Candidate, choose
from musterd.catalog.rows import SOURCE_BYTES, key_text
from musterd.catalog.zone import Zone
from musterd.rr.rrset import RRset, fill, unpack


@dataclass(frozen=True, slots=True)
class Contribution:
    """An RRset that one key of one source gives.

    rrset: as it would be answered alone, or the part that the source withholds; time: of the key's
    last change, epoch seconds; hidden: why it is not answered, empty if it is; refused: why the
    core did not take it.
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
    """Return every RRset at a folded owner name, the answered ones first."""
    visible, shadowed = choose(zone.candidates(owner), union=zone.union, apex=owner == zone.apex)
    found = [
        (candidate, hidden_in(zone, owner, candidate.rtype))
        for chosen in visible.values()
        for candidate in chosen
    ]
    found.sort(key=lambda pair: bool(pair[1]))
    given = [
        _contribution(zone, owner, candidate, reason)
        for candidate, reason in [*found, *shadowed]
        if rtype is None or candidate.rtype == rtype
    ]
    return [*given, *_withheld(zone, owner, given)]


def _contribution(zone: Zone, owner: bytes, candidate: Candidate, hidden: str) -> Contribution:
    source, rtype = candidate.source, candidate.rtype
    revision, time, key = zone.serial.value, zone.serial.changed, ""
    if candidate.key:
        revision, time = zone.sources[candidate.key[:SOURCE_BYTES]].head(candidate.key)
        key = key_text(candidate.key)
    refused = "" if hidden else zone.refused.get((owner, rtype), "")
    rrset = unpack(fill(candidate.packed, rtype, source.ttl, source.policy))
    return Contribution(source.name, key, revision, time, rtype, rrset, hidden, refused)


def _withheld(zone: Zone, owner: bytes, given: Sequence[Contribution]) -> Iterator[Contribution]:
    """Return the records that sources have but withhold."""
    whole = {(each.source, each.rtype): each for each in given}
    for rows in zone.sources.values():
        for rtype, weight, rdata, reason in rows.withheld.get(owner, ()):
            rrset = RRset(zone.settings.ttl, ((weight, rdata),))
            contribution = whole.get((rows.name, rtype))
            if contribution is None:
                # Nothing of this type is left.
                yield Contribution(rows.name, "", 0, 0.0, rtype, rrset, reason, "")
            else:
                rrset = contribution.rrset._replace(records=rrset.records)
                yield replace(contribution, rrset=rrset, hidden=reason, refused="")
