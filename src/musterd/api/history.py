"""``/v1/history``: changes of records, with author and time."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from musterd.api import responses, routing, schemas
from musterd.api.context import Call, CallDep
from musterd.api.params import MAX_REVISION
from musterd.api.problems import ProblemResponse, documented
from musterd.registry import keys
from musterd.registry.history import changes
from musterd.registry.keys import check_id, prefix
from musterd.registry.names import MAX_TEXT, owner_text, zone_text
from musterd.rr.names import suffixes

router = routing.router("history")


class HistoryQuery(BaseModel):
    """Filters by zone, owner, type and id, and the page."""

    model_config = ConfigDict(extra="forbid")

    zone: str | None = Field(None, min_length=1, max_length=MAX_TEXT)
    owner: str | None = Field(None, min_length=1, max_length=MAX_TEXT, description="requires zone")
    type: str | None = Field(None, min_length=1, max_length=20, description="requires owner")
    id: str | None = Field(None, pattern=f"^{keys.ID}$", description="requires type")
    limit: int = Field(100, ge=1, le=1000, description="maximum entries; a revision is never split")
    after: int | None = Field(
        None, ge=0, le=MAX_REVISION, description="`next` of the previous page"
    )


@router.get(
    "", response_model=schemas.HistoryOut, responses=documented(400, 401, 403, 404, 422, 429, 503)
)
async def list_history(call: CallDep, query: Annotated[HistoryQuery, Query()]) -> Response:
    """Return changes of records, newest first, as far back as the store keeps them."""
    call.reads()
    found = await changes(
        call.context.registry.store, _prefixes(call, query), query.after, query.limit
    )
    after = None if found.before is None else str(found.before)
    return responses.answer({"entries": found.entries, "next": after})


def _prefixes(call: Call, query: HistoryQuery) -> list[bytes]:
    """Return the key prefixes of the records. Raises ProblemResponse."""
    given = [query.zone, query.owner, query.type, query.id]
    if None in given and any(given[given.index(None) :]):
        raise ProblemResponse(
            422, "owner requires zone, type requires owner, id requires type", "invalid"
        )
    if query.zone is None:
        return [prefix()]
    zone = call.context.known(query.zone)
    if query.owner is None:
        return [prefix(zone_text(zone))]
    target = call.target(query.zone, query.owner, query.type or "A", check_id(query.id or "-"))
    # A name may have been registered under each zone that contains it.
    zones = {*call.context.catalog.zones, *call.context.registry.applied.zones, zone}
    keys = [
        target.key._replace(zone=zone_text(apex), owner=owner_text(target.owner, apex))
        for apex in suffixes(target.owner)
        if apex in zones
    ]
    if query.id is not None:
        return [key.raw for key in keys]
    return [prefix(*key[: 2 if query.type is None else 3]) for key in keys]
