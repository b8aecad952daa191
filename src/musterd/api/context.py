"""The parts of the server that routes use, and the state of one request."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any, Final, NamedTuple, Protocol

from fastapi import Depends
from starlette.requests import Request

from musterd.api.audit import Audit
from musterd.api.auth import need
from musterd.api.limits import ApiLimits
from musterd.api.problems import ProblemResponse
from musterd.api.request_metrics import RequestMetrics
from musterd.catalog import Catalog
from musterd.catalog.hidden import hidden_in
from musterd.catalog.strays import strays_at
from musterd.catalog.zone import Zone, deepest
from musterd.registry.directory import ServerDirectory
from musterd.registry.keys import RecordKey
from musterd.registry.leases import LeaseService
from musterd.registry.names import check_place, parse_owner, parse_zone, zone_text
from musterd.registry.preconditions import Preconditions
from musterd.registry.rdata import parse_type, type_text
from musterd.registry.record import RecordSpec
from musterd.registry.registry import Registry
from musterd.registry.strays import adopt
from musterd.registry.tokens import Token, Tokens
from musterd.rr.names import fold, name_to_text, suffixes
from musterd.rr.types import AAAA, DS, NS, A
from musterd.settings import REGISTRY, Api

CALL: Final = "musterd.call"
"""Key of the ``Call`` in the scope of a request."""
MAX_NAMED: Final = 100
"""Declared zones that the problem for an undeclared zone lists."""
_NO_ZONE: Final = "no-such-zone"


class CoreAnswers(Protocol):
    """The part of ``musterd._core.Core`` that the API uses."""

    def probe(self, query: bytes, client: str) -> bytes | None: ...  # noqa: D102
    def matching(self, question: bytes, most: int) -> list[bytes] | None: ...  # noqa: D102


@dataclass(slots=True)
class Context:
    """The parts of a running server that the API shows and changes.

    servers: that share the store, None where none can; listening: the addresses on which DNS is
    answered now; started: epoch seconds.
    """

    registry: Registry
    servers: ServerDirectory | None
    leases: LeaseService
    tokens: Tokens
    catalog: Catalog
    core: CoreAnswers
    settings: Callable[[], Api]
    listening: Callable[[], Sequence[str]]
    clock: Callable[[], float]
    started: float
    version: str
    limits: ApiLimits = field(default_factory=ApiLimits)
    requests: RequestMetrics = field(default_factory=RequestMetrics)
    certificate_problems: Callable[[], Sequence[str]] = tuple
    audit: Audit = field(default_factory=Audit, init=False)
    watchers: int = field(default=0, init=False)
    """Number of open watches."""

    def zone(self, text: str) -> Zone:
        """Return a declared zone by its name. Raises ProblemResponse."""
        return self.declared(_apex(text))

    def declared(self, apex: bytes) -> Zone:
        """Return a declared zone. Raises ProblemResponse."""
        zone = self.catalog.zones.get(apex)
        if zone is None:
            raise self.no_zone(zone_text(apex))
        return zone

    def known(self, text: str) -> bytes:
        """Return the apex of a zone that is declared or has registered records.

        Raises ProblemResponse.
        """
        apex = _apex(text)
        if apex not in self.catalog.zones and apex not in self.registry.applied.zones:
            raise self.no_zone(zone_text(apex))
        return apex

    def strays(self, owner: bytes, apex: bytes) -> tuple[RecordKey, ...]:
        """Return the keys of strays at a folded owner name of a zone."""
        return strays_at(self.catalog.zones, self.registry.applied.zones, owner, apex)

    def no_zone(self, name: str, former: str | None = None) -> ProblemResponse:
        """Return the problem for a name outside all declared zones.

        former: the zone under which such names were registered.
        """
        zones = sorted(zone_text(apex) for apex in islice(self.catalog.zones, MAX_NAMED))
        there = f"declared: {', '.join(zones[:20])}" if zones else "no zone is declared"
        more: dict[str, Any] = {"registered": former} if former else {}
        return ProblemResponse(
            404,
            f"{name} is not in a declared zone; {there}; declare zones with [[zones]]",
            _NO_ZONE,
            zones=zones,
            **more,
        )


class Target(NamedTuple):
    """The key, zone, owner and type that a path names; the id of the key may be empty.

    strays: keys of all records at the owner name that were registered under another zone; none
    unless the path names the most specific declared zone.
    """

    key: RecordKey
    apex: bytes
    owner: bytes
    rtype: int
    strays: tuple[RecordKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its token and the context."""

    token: Token
    context: Context

    def reads(self) -> None:
        """Raise ProblemResponse unless the token may read."""
        need(self.token, "read", has=self.token.reads)

    def admin(self) -> None:
        """Raise ProblemResponse unless the token has the scope admin."""
        need(self.token, "admin", has=self.token.admin)

    def writes_any(self) -> None:
        """Raise ProblemResponse unless the token may write to some zone."""
        need(self.token, "write:ZONE", has=self.token.writes_any)

    def zone_to_write(self, text: str) -> Zone:
        """Return a zone that the token may write to. Raises ProblemResponse."""
        apex = _apex(text)
        name = zone_text(apex)
        need(self.token, f"write:{name}", has=self.token.writes(name))
        zone = self.context.declared(apex)
        for rows in zone.sources.values():
            if rows.name == REGISTRY:
                return zone
        raise ProblemResponse(
            409,
            f'zone {name} does not accept registrations: add "{REGISTRY}" to its sources',
            "not-listed",
        )

    def zone_of(self, name: str) -> Zone:
        """Return the declared zone of an absolute name for a token that may read it or write there.

        Raises ProblemResponse. Where no zone is declared, its member ``registered`` is the zone
        under which such names were registered.
        """
        if not self.token.writes_any:
            self.reads()
        wire = _apex(name)
        zone = deepest(self.context.catalog.zones, wire)
        if zone is None and self.token.reads:
            known = self.context.registry.applied.zones
            former = next((zone_text(apex) for apex in suffixes(wire) if apex in known), None)
            raise self.context.no_zone(zone_text(wire), former)
        if zone is None:
            raise ProblemResponse(404, f"{zone_text(wire)} is not in a declared zone", _NO_ZONE)
        text = zone_text(zone.apex)
        need(self.token, f"write:{text}", has=self.token.reads or self.token.writes(text))
        return zone

    def target(self, zone: str, owner: str, rtype: str, name: str = "") -> Target:
        """Return the target of a path, whose zone may no longer be declared.

        Raises ProblemResponse.
        """
        return self._target(self.context.known(zone), owner, rtype, name)

    def _target(self, apex: bytes, owner: str, rtype: str, name: str) -> Target:
        try:
            wire, owner = parse_owner(owner, apex)
            number = parse_type(rtype)
        except ValueError as error:
            raise ProblemResponse(422, str(error), "invalid") from None
        key = RecordKey(zone_text(apex), owner, type_text(number), name)
        return Target(key, apex, wire, number, self.context.strays(wire, apex))

    def write_target(self, zone: str, owner: str, rtype: str, name: str = "") -> Target:
        """Return the target of a write. Raises ProblemResponse.

        A name in a declared subzone can only be written there.
        """
        into = self.zone_to_write(zone)
        target = self._target(into.apex, owner, rtype, name)
        below = deepest(self.context.catalog.zones, target.owner)
        if below is not None and below is not into:
            text, other = name_to_text(target.owner), zone_text(below.apex)
            raise ProblemResponse(
                409, f"{text} belongs to the zone {other}: write there", "other-zone"
            )
        return target

    def delete_target(self, zone: str, owner: str, rtype: str, name: str = "") -> Target:
        """Return the target of a deletion, in any zone that has records.

        Raises ProblemResponse.
        """
        text = zone_text(_apex(zone))
        need(self.token, f"write:{text}", has=self.token.writes(text))
        return self.target(zone, owner, rtype, name)

    async def adopted(self, target: Target, expected: Preconditions) -> Preconditions:
        """Move the strays of a target into its zone; return the preconditions of the write."""
        if not target.strays:
            return expected
        return await adopt(
            self.context.registry, target.strays, target.key, self.token.name, expected
        )

    def check_place(self, target: Target) -> None:
        """Raise ProblemResponse if a record would never be answered at its owner."""
        try:
            check_place(target.key.owner, target.rtype)
        except ValueError as error:
            raise ProblemResponse(422, str(error), "invalid") from None
        zone = self.context.catalog.zones.get(target.apex)
        reason = hidden_in(zone, target.owner, target.rtype) if zone else ""
        if reason:
            raise ProblemResponse(409, reason, "clash")

    def check_cut(self, target: Target, wanted: Iterable[RecordSpec]) -> None:
        """Raise ProblemResponse if NS records would hide the other records at their owner."""
        if target.rtype != NS:
            return
        zone = self.context.catalog.zones.get(target.apex)
        if zone is None or target.owner == zone.apex:
            return
        servers = {fold(record.wire) for record in wanted}
        hidden = {
            type_text(candidate.rtype)
            for candidate in zone.candidates(target.owner)
            if candidate.rtype not in (NS, DS)
            and not (candidate.rtype in (A, AAAA) and target.owner in servers)
        }
        if servers and hidden:
            raise ProblemResponse(
                409,
                f"{target.key.owner} has {', '.join(sorted(hidden))} records, which NS records "
                "would hide: delete these first",
                "clash",
            )

    def wrote(self, action: str, what: str, revision: int | None = None) -> None:
        """Log a write; the revision is the one of its records."""
        self.context.audit.wrote(self.token, action, what, revision)


def _apex(text: str) -> bytes:
    try:
        return parse_zone(text)
    except ValueError as error:
        raise ProblemResponse(422, str(error), "invalid") from None


async def _call(request: Request) -> Call:
    call: Call = request.scope[CALL]
    return call


CallDep = Annotated[Call, Depends(_call)]
