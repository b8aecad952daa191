"""``/v1/status``: state of the server."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain, islice
from typing import Any, Final

from starlette.responses import Response

from musterd.api import responses, routing, schemas
from musterd.api.context import CallDep, Context
from musterd.api.problems import documented
from musterd.api.zones import all_zones
from musterd.catalog import SourceReport
from musterd.kv import StoreError
from musterd.registry.applied import Applied
from musterd.rr.names import name_to_text
from musterd.rr.types import type_text

router = routing.router("status")
MAX_PROBLEMS: Final = 100


@router.get(
    "", response_model=schemas.StatusOut, responses=documented(400, 401, 403, 422, 429, 503)
)
async def get_status(call: CallDep) -> Response:
    """Return the version, zones, sources, store and current problems."""
    call.reads()
    context = call.context
    sources = context.catalog.source_reports()
    servers, unread = await _servers(context)
    found = {
        "version": context.version,
        "started": context.started,
        "listeners": list(context.listening()),
        "zones": await all_zones(context),
        "sources": [_source(report) for report in sources],
        "store": {
            "kind": "embedded" if context.servers is None else "etcd",
            "revision": _revision(context.registry.applied, servers),
        },
        "servers": servers,
        "problems": list(islice(chain(unread, _problems(context, sources)), MAX_PROBLEMS)),
    }
    return responses.answer(found)


def _revision(applied: Applied, servers: list[dict[str, Any]]) -> int:
    """Return the revision that answers include: without lag, the last one read from etcd."""
    shown = [] if applied.lag else [server["revision"] or 0 for server in servers]
    return max([applied.revision, *shown])


async def _servers(context: Context) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the servers that share the store, and problems in reading them."""
    if context.servers is None:
        return [], []
    try:
        return [asdict(server) for server in await context.servers.all()], []
    except StoreError as error:
        reason = f"the other servers that share the store are unknown: {error}"
        return [asdict(context.servers.own())], [reason]


def _source(report: SourceReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "state": report.state,
        "synced": report.synced,
        "lost": report.lost,
        "reason": report.reason,
        "revision": report.revision,
        "keys": report.keys,
        "problems": report.problems_total,
    }


def _problems(context: Context, sources: list[SourceReport]) -> Iterator[str]:
    if damage := context.registry.store.problem:
        yield f"the store: {damage}"
    yield from context.certificate_problems()
    for source in sources:
        if source.lost is not None:
            yield f"source {source.name} is lost: {source.reason}"
    for zone in context.catalog.zones.values():
        for (owner, rtype), reason in zone.refused.items():
            yield f"{name_to_text(owner)} {type_text(rtype)} is not answered: {reason}"
        for (owner, rtype), reason in zone.oversized.items():
            yield f"{name_to_text(owner)} {type_text(rtype)} is not answered whole: {reason}"
        for (owner, rtype), reason in zone.hidden.items():
            yield f"{name_to_text(owner)} {type_text(rtype)} is not answered: {reason}"
        if zone.hidden_total > len(zone.hidden):
            more = zone.hidden_total - len(zone.hidden)
            yield f"zone {zone.text}: {more} more RRsets are not answered for such reasons"
    for source in sources:
        if source.problems_forgotten:
            yield (
                f"source {source.name}: up to {source.problems_forgotten} older problems are not"
                " shown: a restart shows what is left of them"
            )
        for problem in reversed(source.problems):
            yield f"source {source.name}: {problem.where}: {problem.reason}"
