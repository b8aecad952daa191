"""Merging: which of the RRsets that sources give at one owner name are answered."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from musterd._core import fold_rdata
from musterd.rr.rrset import fill, first_weight, has_policy, policy_of, unite, with_policy
from musterd.rr.types import ADDRESSED, CNAME, DNAME, KEY, NSEC, RRSIG, SOA

SINGLE = frozenset({CNAME, DNAME, SOA})
"""Types of which an owner name has one record (RFC 2181 section 10.1, RFC 6672 section 2.4)."""
BESIDE_CNAME = frozenset({KEY, NSEC, RRSIG})
"""Types that may exist beside a CNAME (RFC 2181 section 10.1, RFC 4034)."""


SHARED: Final = 0
"""Weight of a PTR record whose name has several addresses; names with one come before it."""
MADE_PTR: Final = "(ptr)"
"""Source name of the PTR records made from addresses; no source in the settings can have it."""


class Defaults(NamedTuple):
    """The defaults of one source in one zone, for records that leave them open."""

    rank: int
    """Position of the source in the zone, 0 first."""
    name: str
    ttl: bytes
    """4 bytes, seconds."""
    policy: bytes
    """Policy and k, 2 bytes."""
    ptr: bool = False
    """True if its addresses give PTR records."""


class Candidate(NamedTuple):
    """An RRset that one key of one source gives at an owner name."""

    source: Defaults
    key: bytes
    rtype: int
    packed: bytes


class Shadowed(NamedTuple):
    """An RRset that is not answered, and the reason."""

    candidate: Candidate
    reason: str


def precedence(candidate: Candidate) -> tuple[int, bytes]:
    """Return the sort key of a candidate: rank, then key; the order of arrival is irrelevant."""
    return candidate.source.rank, candidate.key


def choose(
    candidates: Iterable[Candidate], *, union: bool, apex: bool
) -> tuple[dict[int, list[Candidate]], list[Shadowed]]:
    """Return the candidates that are answered, by type and in order of precedence, and the others.

    union: all sources together give the records of a type, instead of the first that has the type.
    apex: the owner is that of a zone, which can't have a CNAME (RFC 1912 section 2.4).
    """
    ordered = sorted(candidates, key=precedence)
    rest, shadowed = _without_conflicts(ordered, apex=apex)
    if any(map(_is_preferred, rest)):
        shadowed += (Shadowed(each, _LESS_SPECIFIC) for each in rest if _is_less_specific(each))
        rest = [each for each in rest if not _is_less_specific(each)]
    visible: dict[int, list[Candidate]] = {}
    for candidate in rest:
        chosen = visible.setdefault(candidate.rtype, [])
        reason = _shadowed_by(candidate, chosen[0], union=union) if chosen else ""
        if reason:
            shadowed.append(Shadowed(candidate, reason))
        else:
            chosen.append(candidate)
    return visible, shadowed


_LESS_SPECIFIC: Final = "another name has this address alone"


def _is_preferred(candidate: Candidate) -> bool:
    """Return whether it is a PTR record made from the only address of a name."""
    return candidate.source.name == MADE_PTR and first_weight(candidate.packed) != SHARED


def _is_less_specific(candidate: Candidate) -> bool:
    """Return whether it is a PTR record made from one of several addresses of a name."""
    return candidate.source.name == MADE_PTR and first_weight(candidate.packed) == SHARED


def _shadowed_by(candidate: Candidate, first: Candidate, *, union: bool) -> str:
    if candidate.rtype in SINGLE:
        return f"only one is allowed, and {first.source.name} gives it"
    if not union and candidate.source.rank != first.source.rank:
        return f"{first.source.name} comes first"
    return ""


def _without_conflicts(
    ordered: Sequence[Candidate], *, apex: bool
) -> tuple[list[Candidate], list[Shadowed]]:
    """Keep either the CNAME or the other data (RFC 1034 section 3.6.2): the first source decides.

    If that source has both, the CNAME is dropped: the rest can be answered without it.
    """
    rivals = [candidate for candidate in ordered if candidate.rtype not in BESIDE_CNAME]
    if all(candidate.rtype != CNAME for candidate in rivals):
        return list(ordered), []
    first = rivals[0].source
    types = {candidate.rtype for candidate in rivals if candidate.source.rank == first.rank}
    alias = not apex and types == {CNAME}
    if alias:
        reason = f"{first.name} has a CNAME, which stands alone"
    elif apex:
        reason = "the apex of a zone can't have a CNAME"
    else:
        reason = f"{first.name} has other records, and a CNAME stands alone"
    kept: list[Candidate] = []
    shadowed: list[Shadowed] = []
    for candidate in ordered:
        if candidate.rtype in BESIDE_CNAME or (candidate.rtype == CNAME) == alias:
            kept.append(candidate)
        else:
            shadowed.append(Shadowed(candidate, reason))
    return kept, shadowed


def join(visible: dict[int, list[Candidate]]) -> dict[int, bytes]:
    """Return the packed RRsets for the core, from the visible candidates of one owner name.

    A policy belongs to the owner name: if one of its records has one, it applies to all.
    """
    own = b""
    for candidates in visible.values():
        for candidate in candidates:
            if not own and has_policy(candidate.packed):
                own = policy_of(candidate.packed)
    return {rtype: _join_type(rtype, candidates, own) for rtype, candidates in visible.items()}


def _join_type(rtype: int, candidates: Sequence[Candidate], own: bytes) -> bytes:
    filled = [fill(c.packed, rtype, c.source.ttl, c.source.policy) for c in candidates]
    packed = filled[0] if len(filled) == 1 else unite(filled, partial(fold_rdata, rtype))
    return with_policy(packed, own) if own and rtype in ADDRESSED else packed
