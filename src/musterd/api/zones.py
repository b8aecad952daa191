"""``/v1/zones``: declared zones, export and import."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from musterd.api import responses, routing, schemas
from musterd.api.context import CallDep, Context
from musterd.api.params import ZoneName
from musterd.api.problems import ProblemResponse, documented
from musterd.api.zone_import import Importer
from musterd.catalog.resolve import RRsets, resolve
from musterd.catalog.zone import Zone
from musterd.display import excerpt
from musterd.registry import rdata
from musterd.registry.names import MAX_TEXT, zone_text
from musterd.rr.names import name_to_text
from musterd.rr.rrset import unpack
from musterd.rr.types import SOA

router = routing.router("zones")
TEXT: Final = "text/dns"
_BINARY: Final = "application/octet-stream"
CHUNK: Final = 200
"""Owner names of an export, or zones of a list, between two yields to the event loop."""
MAX_PROBLEMS: Final = 100
_READ: Final = documented(400, 401, 403, 404, 422, 429, 503)
_WRITE: Final = documented(400, 401, 403, 404, 408, 409, 413, 422, 429, 503)
_TEXT_BODY: Final = {"requestBody": {"required": True, "content": {TEXT: {"schema": {}}}}}


@router.get(
    "", response_model=schemas.ZoneListOut, responses=documented(400, 401, 403, 404, 422, 429, 503)
)
async def list_zones(
    call: CallDep,
    name: Annotated[
        str | None,
        Query(
            description="only the zone that contains this name", min_length=1, max_length=MAX_TEXT
        ),
    ] = None,
) -> Response:
    """List the declared zones, or only the most specific one that contains a name.

    A token that may write to that zone need not have the scope ``read``.
    """
    if name is not None:
        return responses.answer({"zones": [shown(call.context, call.zone_of(name))]})
    call.reads()
    return responses.answer({"zones": await all_zones(call.context)})


@router.get("/{zone}", response_model=schemas.ZoneOut, responses=_READ)
async def get_zone(call: CallDep, zone: ZoneName) -> Response:
    """Return a zone."""
    call.reads()
    return responses.answer(shown(call.context, call.context.zone(zone)))


@router.get(
    "/{zone}/export",
    response_class=Response,
    responses={
        **_READ,
        200: {"description": "A zone file", "content": {TEXT: {"schema": {"type": "string"}}}},
    },
)
async def export_zone(call: CallDep, zone: ZoneName) -> Response:
    """Export the answers of a zone as a zone file (RFC 1035 section 5)."""
    call.reads()
    return StreamingResponse(_lines(call.context.zone(zone)), media_type=TEXT)


@router.post(
    "/{zone}/import",
    response_model=schemas.ImportedOut,
    responses={**_WRITE, **documented(415)},
    openapi_extra=_TEXT_BODY,
)
async def import_zone(
    call: CallDep,
    request: Request,
    zone: ZoneName,
    replace: Annotated[bool, Query(description="delete records that are not in the file")] = False,
    dry_run: Annotated[bool, Query(description="report the changes without making them")] = False,
) -> Response:
    """Register all records of a zone file, or none if one is invalid."""
    into = call.zone_to_write(zone)
    _check_type(request.headers.get("content-type"))
    importer = Importer(call.context, into)
    text = await request.body()
    if not text:
        raise ProblemResponse(422, "the body is empty: send a zone file", "invalid")
    plan = await importer.plan(text, replace=replace)
    problems = [{"line": line, "problem": problem} for line, problem in plan.problems]
    if problems and not dry_run:
        raise ProblemResponse(
            422,
            "nothing was registered, because the file has problems "
            f"({len(problems)}); the first: line {problems[0]['line']}: {problems[0]['problem']}",
            "bad-file",
            problems=problems[:MAX_PROBLEMS],
        )
    if not dry_run:
        revision = await importer.carry_out(plan, call.token.name)
        if plan.added or plan.changed or plan.removed:
            done = f"{plan.added} added, {plan.changed} changed, {plan.removed} removed"
            call.wrote("import", f"{zone_text(into.apex)}/ ({done})", revision)
    counts = {name: getattr(plan, name) for name in ("added", "changed", "removed", "unchanged")}
    return responses.answer({**counts, "problems": problems[:MAX_PROBLEMS]})


def _check_type(kind: str | None) -> None:
    """Raise ProblemResponse if the declared type of the body is not text."""
    media = (kind or TEXT).partition(";")[0].strip().lower()
    if not media.startswith("text/") and media != _BINARY:
        raise ProblemResponse(
            415, f'a body of type "{excerpt(media)}" is no zone file: send Content-Type: {TEXT}'
        )


async def all_zones(context: Context) -> list[dict[str, Any]]:
    """Return the JSON form of all zones. Other tasks run meanwhile."""
    found: list[dict[str, Any]] = []
    for zone in list(context.catalog.zones.values()):
        found.append(shown(context, zone))
        if len(found) % CHUNK == 0:
            await asyncio.sleep(0)
    return found


def shown(context: Context, zone: Zone) -> dict[str, Any]:
    """Return the JSON form of a zone."""
    report = context.catalog.zone_report(zone)
    return {
        "name": zone_text(zone.apex),
        "state": report.state,
        "since": report.since,
        "serial": report.serial,
        "records": dict(report.records),
        "names": len(zone.names),
        "sources": [rows.name for rows in zone.sources.values()],
        "policy": zone.settings.policy,
        "merge": zone.settings.merge,
    }


async def _lines(zone: Zone) -> AsyncIterator[bytes]:
    yield f"; {zone.text} as answered, without policies and weights\n".encode()
    yield _rrsets(zone, zone.apex)
    owners = sorted(zone.names.keys() - {zone.apex})
    for at in range(0, len(owners), CHUNK):
        yield b"".join(_rrsets(zone, owner) for owner in owners[at : at + CHUNK])
        await asyncio.sleep(0)


def _rrsets(zone: Zone, owner: bytes) -> bytes:
    """Return the lines of an owner name, SOA first."""
    given: RRsets = resolve(zone, owner)
    types = sorted(given, key=lambda rtype: (rtype != SOA, rtype))
    lines: list[str] = []
    for rtype in types:
        if (owner, rtype) not in zone.refused:
            head = f"{name_to_text(owner)} {unpack(given[rtype]).ttl} IN {rdata.type_text(rtype)} "
            lines += (head + rdata.shown(rtype, wire) for _, wire in unpack(given[rtype]).records)
    return "".join(f"{line}\n" for line in lines).encode()
