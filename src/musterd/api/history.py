"""``/v1/history``: who changed what, when."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from musterd.api import responses, schemas
from musterd.api.context import Call, CallDep
from musterd.api.params import REVISION_MOST
from musterd.api.problems import Problem, documented
from musterd.registry import keys
from musterd.registry.history import changes
from musterd.registry.keys import check_id, prefix
from musterd.registry.names import TEXT_MOST, zone_text

router = APIRouter(prefix="/v1/history", tags=["history"])


class Which(BaseModel):
    """Whose history is wanted, from a zone down to one record, and how much of it."""

    model_config = ConfigDict(extra="forbid")

    zone: str | None = Field(None, min_length=1, max_length=TEXT_MOST)
    owner: str | None = Field(None, min_length=1, max_length=TEXT_MOST, description="needs a zone")
    type: str | None = Field(None, min_length=1, max_length=20, description="needs an owner")
    id: str | None = Field(None, pattern=f"^{keys.ID}$", description="needs a type")
    limit: int = Field(100, ge=1, le=1000, description="the most, but of one revision all are told")
    after: int | None = Field(
        None, ge=0, le=REVISION_MOST, description="the `next` of the last page"
    )


@router.get(
    "", response_model=schemas.History, responses=documented(400, 401, 403, 404, 422, 429, 503)
)
async def history(call: CallDep, which: Annotated[Which, Query()]) -> Response:
    """Changes of records, the newest first, as far back as the store keeps them."""
    call.reads()
    found = await changes(
        call.context.registry.store, _prefix(call, which), which.after, which.limit
    )
    after = None if found.before is None else str(found.before)
    return responses.answer({"entries": found.entries, "next": after})


def _prefix(call: Call, which: Which) -> bytes:
    """What the keys of the records begin with. Raises Problem."""
    given = [which.zone, which.owner, which.type, which.id]
    if None in given and any(given[given.index(None) :]):
        raise Problem(422, "an owner needs its zone, a type its owner, an id its type", "invalid")
    if which.zone is None:
        return prefix()
    zone = call.context.zone(which.zone)
    if which.owner is None:
        return prefix(zone_text(zone.apex))
    key = call.place(zone, which.owner, which.type or "A", check_id(which.id or "-")).key
    if which.id is not None:
        return key.octets
    return prefix(*key[: 2 if which.type is None else 3])
