"""The parts of the server that routes use, and the state of one request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, NamedTuple, Protocol

from fastapi import Depends
from starlette.requests import Request

from musterd.api.audit import Audit
from musterd.api.auth import need
from musterd.api.problems import ProblemResponse
from musterd.catalog import Catalog
from musterd.catalog.zone import Zone, deepest
from musterd.registry.directory import ServerDirectory
from musterd.registry.keys import RecordKey
from musterd.registry.leases import LeaseService
from musterd.registry.names import owner_text, parse_owner, parse_zone, zone_text
from musterd.registry.rdata import parse_type, type_text
from musterd.registry.registry import Registry
from musterd.registry.tokens import Token, Tokens
from musterd.rr.names import name_to_text
from musterd.settings import REGISTRY, Api

CALL: Final = "musterd.call"
"""Key of the ``Call`` in the scope of a request."""


class CoreAnswers(Protocol):
    """The part of ``musterd._core.Core`` that the API uses."""

    def answer(self, query: bytes, client: str, tcp: bool) -> bytes | None: ...  # noqa: D102


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
    audit: Audit = field(default_factory=Audit, init=False)
    watchers: int = field(default=0, init=False)
    """Number of open watches."""

    def zone(self, text: str) -> Zone:
        """Return a declared zone by its name. Raises ProblemResponse."""
        try:
            apex = parse_zone(text)
        except ValueError as error:
            raise ProblemResponse(422, str(error), "invalid") from None
        zone = self.catalog.zones.get(apex)
        if zone is None:
            raise self.no_zone(zone_text(apex))
        return zone

    def no_zone(self, name: str) -> ProblemResponse:
        """Return the problem for a name outside all declared zones."""
        zones = sorted(zone_text(apex) for apex in self.catalog.zones)
        there = f"declared: {', '.join(zones[:20])}" if zones else "no zone is declared"
        return ProblemResponse(
            404,
            f"{name} is not in a declared zone; {there}; declare zones with [[zones]]",
            "no-such-zone",
            zones=zones[:1000],
        )


class Target(NamedTuple):
    """The zone, key, owner and type that a path names; the id of the key may be empty."""

    zone: Zone
    key: RecordKey
    owner: bytes
    rtype: int


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
        try:
            name = zone_text(parse_zone(text))
        except ValueError as error:
            raise ProblemResponse(422, str(error), "invalid") from None
        need(self.token, f"write:{name}", has=self.token.writes(name))
        zone = self.context.zone(text)
        if all(rows.name != REGISTRY for rows in zone.sources.values()):
            raise ProblemResponse(
                409,
                f'zone {name} does not accept registrations: add "{REGISTRY}" to its sources',
                "not-listed",
            )
        return zone

    def target(self, zone: Zone, owner: str, rtype: str, name: str = "") -> Target:
        """Return the target of a path. Raises ProblemResponse."""
        try:
            wire = parse_owner(owner, zone.apex)
            number = parse_type(rtype)
        except ValueError as error:
            raise ProblemResponse(422, str(error), "invalid") from None
        key = RecordKey(zone_text(zone.apex), owner_text(wire, zone.apex), type_text(number), name)
        return Target(zone, key, wire, number)

    def write_target(self, zone: str, owner: str, rtype: str, name: str = "") -> Target:
        """Return what the path of a write refers to. Raises ProblemResponse.

        A name in a declared subzone can only be written there.
        """
        target = self.target(self.zone_to_write(zone), owner, rtype, name)
        below = deepest(self.context.catalog.zones, target.owner)
        if below is not None and below is not target.zone:
            text, other = name_to_text(target.owner), zone_text(below.apex)
            raise ProblemResponse(
                409, f"{text} belongs to the zone {other}: write there", "other-zone"
            )
        return target

    def wrote(self, action: str, what: str, revision: int | None = None) -> None:
        """Log a write; the revision is the one of its records."""
        self.context.audit.wrote(self.token, action, what, revision)


async def _call(request: Request) -> Call:
    call: Call = request.scope[CALL]
    return call


CallDep = Annotated[Call, Depends(_call)]
