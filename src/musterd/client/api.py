"""The API, a method for each thing that the command line asks of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, Self

from musterd.client.endpoint import Endpoint
from musterd.client.http import JSON, TEXT, Ask, Http, Query
from musterd.client.names import longest, owner_part, wire_name, zone_part
from musterd.client.values import (
    ChangeInfo,
    ExplanationInfo,
    ImportResult,
    LeaseInfo,
    NewTokenInfo,
    RecordInfo,
    RecordInput,
    StatusInfo,
    TokenInfo,
    ZoneInfo,
)
from musterd.errors import UsageError

READ: Final = "read"
ADMIN: Final = "admin"
MAX_PAGE: Final = 1000
"""The most entries of one page."""

RRsetPath = tuple[str, str, str]
"""Zone, owner and type, as paths have them."""


class ApiClient:
    """One server's API. Every method raises MusterdError, most often an ApiError."""

    def __init__(self, place: Endpoint) -> None:
        """Of the server at ``place``; nothing is asked yet."""
        self.place = place
        self._http = Http(place)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._http.close()

    def locate(self, name: str, zone: str | None = None) -> tuple[str, str]:
        """The zone of an absolute name, and its owner in it as paths have it.

        zone: where the name is; none: the longest of the declared zones, which needs ``read``.
        Raises UsageError where the name is in none.
        """
        wire = wire_name(name)
        zones = [zone_part(zone)] if zone else [zone["name"] for zone in self.zones()]
        found = longest(wire, zones)
        if found is None:
            there = f"declared: {', '.join(zones)}" if zones else "there is none yet"
            known = "" if zone else f"; {there}; [[zones]] declares more"
            raise UsageError(f"{name}: is not in {zone or 'a declared zone'}{known}")
        return found, owner_part(wire, found)

    def records(self, *parts: str, **query: str | list[str] | None) -> Iterator[RecordInfo]:
        """The records under parts of (zone, owner, type), as they come.

        query: ``type``, ``label`` (each ``k=v``), ``registrant``.
        """
        return self._http.lines(_ask("GET", "records", *parts, query=query))

    def replace(
        self, rrset: RRsetPath, records: Sequence[RecordInput], revision: int | None
    ) -> list[RecordInfo]:
        """Make these all records of a type of a name, where that still has the revision."""
        body, headers = {"records": records}, _match(revision)
        written: list[RecordInfo] = self._http.json(
            _write("PUT", *rrset, body=body, headers=headers)
        )["records"]
        return written

    def add(self, rrset: RRsetPath, record: RecordInput) -> RecordInfo:
        """Add a record, or change the one that has the same data."""
        written: RecordInfo = self._http.json(_write("POST", *rrset, body=record))
        return written

    def delete(self, rrset: RRsetPath, record: str = "", revision: int | None = None) -> None:
        """Delete one record by its id, or all of a type of a name."""
        parts = (*rrset, record) if record else rrset
        self._http.json(_write("DELETE", *parts, headers=_match(revision)))

    def history(self, most: int, **query: str | None) -> Iterator[ChangeInfo]:
        """At most so many changes of a ``zone``, ``owner``, ``type``, newest first."""
        after = None
        while most > 0:
            page = {**query, "limit": min(most, MAX_PAGE), "after": after}
            found = self._http.json(_ask("GET", "history", query=page))
            yield from found["entries"][:most]
            most -= len(found["entries"])
            after = found.get("next")
            if after is None:
                return

    def grant(self, zone: str, ttl: int) -> LeaseInfo:
        """A new lease of so many seconds, for records of a zone."""
        lease: LeaseInfo = self._http.json(
            _ask("POST", "leases", body={"ttl": ttl}, scope=f"write:{zone}")
        )
        return lease

    def renew(self, lease: str) -> LeaseInfo:
        """A lease, with its whole time before it again."""
        ask = _ask("POST", "leases", lease, "keepalive", scope="write:ZONE")
        renewed: LeaseInfo = self._http.json(ask)
        return renewed

    def revoke_lease(self, lease: str) -> None:
        """End a lease, and the records that hang on it."""
        self._http.json(_ask("DELETE", "leases", lease, scope="write:ZONE"))

    def zones(self) -> list[ZoneInfo]:
        """Every declared zone."""
        zones: list[ZoneInfo] = self._http.json(_ask("GET", "zones"))["zones"]
        return zones

    def export(self, zone: str) -> Iterator[bytes]:
        """What a zone answers, as a master file."""
        return self._http.pieces(_ask("GET", "zones", zone, "export"), TEXT)

    def import_(self, zone: str, file: BinaryIO, *, replace: bool, dry_run: bool) -> ImportResult:
        """Register the records of a master file."""
        query = {"replace": _flag(replace), "dry_run": _flag(dry_run)}
        ask = Ask(
            "POST", ("zones", zone, "import"), f"write:{zone}", query, {"Content-Type": TEXT}, file
        )
        done: ImportResult = self._http.json(ask)
        return done

    def explain(self, name: str, rtype: str | None, client: str | None) -> ExplanationInfo:
        """Why a name is answered as it is."""
        query = {"name": name, "type": rtype, "client": client}
        found: ExplanationInfo = self._http.json(_ask("GET", "explain", query=query))
        return found

    def status(self) -> StatusInfo:
        """How the server is."""
        status: StatusInfo = self._http.json(_ask("GET", "status"))
        return status

    def tokens(self) -> list[TokenInfo]:
        """Every token, without its text."""
        tokens: list[TokenInfo] = self._http.json(_ask("GET", "tokens", scope=ADMIN))["tokens"]
        return tokens

    def create_token(self, name: str, scopes: Sequence[str], expires: float | None) -> NewTokenInfo:
        """A new token. expires: seconds since 1970, none for never."""
        body = {"name": name, "scopes": list(scopes), "expires": expires}
        token: NewTokenInfo = self._http.json(_ask("POST", "tokens", body=body, scope=ADMIN))
        return token

    def revoke_token(self, token: str) -> None:
        """End a token, by its id."""
        self._http.json(_ask("DELETE", "tokens", token, scope=ADMIN))


def _ask(
    method: str,
    *parts: str,
    scope: str = READ,
    query: Query | None = None,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Ask:
    given = dict(headers or {})
    octets = None
    if body is not None:
        octets = json.dumps(body, separators=(",", ":")).encode()
        given["Content-Type"] = JSON
    return Ask(method, parts, scope, query or {}, given, octets)


def _write(method: str, zone: str, *parts: str, **more: Any) -> Ask:
    return _ask(method, "records", zone, *parts, scope=f"write:{zone}", **more)


def _match(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"If-Match": f'"{revision}"'}


def _flag(value: bool) -> str:
    return "true" if value else "false"
