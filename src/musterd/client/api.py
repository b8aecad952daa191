"""The API: one method per request of the command line."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, Self

from musterd.client.endpoint import Endpoint
from musterd.client.http import JSON, TEXT, Http, HttpRequest, Query
from musterd.client.names import owner_part, path_name, wire_name, within, zone_part
from musterd.client.problems import ApiError
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
"""Maximum entries of one page."""

RRsetPath = tuple[str, str, str]
"""Zone, owner and type, as in a path of the API."""


class ApiClient:
    """The API of one server. Every method raises MusterdError, usually an ApiError."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Create a client; the first request opens the connection."""
        self.endpoint = endpoint
        self._http = Http(endpoint)

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._http.close()

    def locate(self, name: str, zone: str | None = None) -> tuple[str, str]:
        """Return the zone of an absolute name, and the owner in it as in a path of the API.

        zone: the zone of the name; None for the most specific declared zone. Raises MusterdError
        if the name is not in it.
        """
        wire = wire_name(name)
        found = self.zone_of(path_name(wire)) if zone is None else zone_part(zone)
        if not within(wire, found):
            raise UsageError(f"{name}: not in {zone}")
        return found, owner_part(wire, found)

    def zone_of(self, path: str) -> str:
        """Return the most specific zone that contains a name, which is given as in a path.

        Where none is declared, it is the zone under which records are left. Raises MusterdError.
        """
        request = _request("GET", "zones", query={"name": path}, scope="write:ZONE")
        try:
            zone: str = self._http.json(request)["zones"][0]["name"]
        except ApiError as error:
            if "registered" in error.members:
                return str(error.members["registered"])
            raise
        return zone

    def records(self, *parts: str, **query: str | list[str] | None) -> Iterator[RecordInfo]:
        """Return the records below parts of (zone, owner, type), as they arrive.

        query: ``type``, ``label`` (each ``k=v``), ``registrant``, ``data``.
        """
        return self._http.lines(_request("GET", "records", *parts, query=query))

    def replace(
        self, rrset: RRsetPath, records: Sequence[RecordInput], revision: int | None
    ) -> list[RecordInfo]:
        """Replace an RRset; with a revision only if it still has that revision."""
        body, headers = {"records": records}, _match(revision)
        written: list[RecordInfo] = self._http.json(
            _write("PUT", *rrset, body=body, headers=headers)
        )["records"]
        return written

    def add(self, rrset: RRsetPath, record: RecordInput) -> RecordInfo:
        """Add a record, or change the record with the same data."""
        written: RecordInfo = self._http.json(_write("POST", *rrset, body=record))
        return written

    def delete(self, rrset: RRsetPath, record: str = "", revision: int | None = None) -> None:
        """Delete one record by its id, or an RRset."""
        parts = (*rrset, record) if record else rrset
        self._http.json(_write("DELETE", *parts, headers=_match(revision)))

    def history(self, limit: int, **query: str | None) -> Iterator[ChangeInfo]:
        """Return at most ``limit`` changes of a ``zone``, ``owner``, ``type``, newest first."""
        after = None
        while limit > 0:
            page = {**query, "limit": min(limit, MAX_PAGE), "after": after}
            found = self._http.json(_request("GET", "history", query=page))
            yield from found["entries"][:limit]
            limit -= len(found["entries"])
            after = found.get("next")
            if after is None:
                return

    def grant(self, zone: str, ttl: int) -> LeaseInfo:
        """Grant a lease of ``ttl`` seconds for records of a zone."""
        lease: LeaseInfo = self._http.json(
            _request("POST", "leases", body={"ttl": ttl}, scope=f"write:{zone}")
        )
        return lease

    def renew(self, lease: str) -> LeaseInfo:
        """Renew a lease for its full time."""
        request = _request("POST", "leases", lease, "keepalive", scope="write:ZONE")
        renewed: LeaseInfo = self._http.json(request)
        return renewed

    def revoke_lease(self, lease: str) -> None:
        """Revoke a lease and delete its records."""
        self._http.json(_request("DELETE", "leases", lease, scope="write:ZONE"))

    def zones(self) -> list[ZoneInfo]:
        """Return the declared zones."""
        zones: list[ZoneInfo] = self._http.json(_request("GET", "zones"))["zones"]
        return zones

    def export(self, zone: str) -> Iterator[bytes]:
        """Return the answers of a zone as a zone file."""
        return self._http.pieces(_request("GET", "zones", zone, "export"), TEXT)

    def import_(self, zone: str, file: BinaryIO, *, replace: bool, dry_run: bool) -> ImportResult:
        """Register the records of a zone file."""
        query = {"replace": _flag(replace), "dry_run": _flag(dry_run)}
        request = HttpRequest(
            "POST", ("zones", zone, "import"), f"write:{zone}", query, {"Content-Type": TEXT}, file
        )
        result: ImportResult = self._http.json(request)
        return result

    def explain(self, name: str, rtype: str | None, client: str | None) -> ExplanationInfo:
        """Explain the answer for a name."""
        query = {"name": name, "type": rtype, "client": client}
        found: ExplanationInfo = self._http.json(_request("GET", "explain", query=query))
        return found

    def status(self) -> StatusInfo:
        """Return the state of the server."""
        status: StatusInfo = self._http.json(_request("GET", "status"))
        return status

    def tokens(self) -> list[TokenInfo]:
        """Return the tokens without their secrets."""
        tokens: list[TokenInfo] = self._http.json(_request("GET", "tokens", scope=ADMIN))["tokens"]
        return tokens

    def create_token(self, name: str, scopes: Sequence[str], expires: float | None) -> NewTokenInfo:
        """Create a token. expires: seconds since 1970, None for never."""
        body = {"name": name, "scopes": list(scopes), "expires": expires}
        token: NewTokenInfo = self._http.json(_request("POST", "tokens", body=body, scope=ADMIN))
        return token

    def revoke_token(self, token: str) -> None:
        """Revoke a token by its id."""
        self._http.json(_request("DELETE", "tokens", token, scope=ADMIN))


def _request(
    method: str,
    *parts: str,
    scope: str = READ,
    query: Query | None = None,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> HttpRequest:
    given = dict(headers or {})
    content = None
    if body is not None:
        content = json.dumps(body, separators=(",", ":")).encode()
        given["Content-Type"] = JSON
    return HttpRequest(method, parts, scope, query or {}, given, content)


def _write(method: str, zone: str, *parts: str, **more: Any) -> HttpRequest:
    return _request(method, "records", zone, *parts, scope=f"write:{zone}", **more)


def _match(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"If-Match": f'"{revision}"'}


def _flag(value: bool) -> str:
    return "true" if value else "false"
