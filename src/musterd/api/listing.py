"""Lists of records, in pages or as a stream."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from musterd.api import responses, schemas
from musterd.registry.keys import RecordKey
from musterd.registry.rdata import parse_type, type_text
from musterd.registry.registry import PAGE, Listed, Registry
from musterd.registry.strays import shown

LINES: Final = "application/x-ndjson"
REVISION: Final = "Musterd-Revision"
"""Header with the revision at which a stream of records began; watch from there."""
LIMIT: Final = 100
_RRSET_PARTS: Final = 3
_LABEL: Final = Field(pattern=schemas.LABEL_QUERY, max_length=400)

Keep = Callable[[dict[str, Any]], bool]


class Filters(BaseModel):
    """Filters and page of a list."""

    model_config = ConfigDict(extra="forbid")

    type: str | None = Field(None, description="as A", min_length=1, max_length=20)
    label: list[Annotated[str, _LABEL]] = Field(
        [], description="k=v; a record must have each", max_length=16
    )
    registrant: str | None = Field(None, max_length=64, description="who registered it")
    limit: int = Field(LIMIT, ge=1, le=PAGE, description="maximum records of a page")
    after: str = Field("", max_length=2500, description="the `next` of the last page")

    def keep(self) -> Keep:
        """Return a predicate for wanted records. Raises Invalid."""
        rtype = None if self.type is None else type_text(parse_type(self.type))
        labels = [label.partition("=")[::2] for label in self.label]

        def wanted(record: dict[str, Any]) -> bool:
            return (
                (rtype is None or record["type"] == rtype)
                and (self.registrant is None or record["registrant"] == self.registrant)
                and all(record["labels"].get(name) == value for name, value in labels)
            )

        return wanted

    @property
    def all(self) -> bool:
        """True if every record is wanted."""
        return self.type is None and self.registrant is None and not self.label


FiltersQuery = Annotated[Filters, Query()]


async def listing(
    registry: Registry,
    request: Request,
    parts: Sequence[str],
    filters: Filters,
    strays: Sequence[RecordKey] = (),
) -> Response:
    """Return the records below parts of a key, and strays, in the format that the client accepts.

    Strays are on the first page.
    """
    keep = filters.keep()
    page = await registry.page(parts, filters.limit, filters.after, keep)
    if strays and not filters.after:
        page = page._replace(records=[*await shown(registry, strays, keep), *page.records])
    if LINES in request.headers.get("accept", ""):
        lines = _lines(registry, parts, page, keep)
        headers = {REVISION: str(page.revision)}
        return StreamingResponse(lines, headers=headers, media_type=LINES)
    found = {"records": page.records, "next": page.after, "revision": page.revision}
    whole = len(parts) == _RRSET_PARTS and filters.all and not filters.after and not page.after
    return responses.answer(found, headers=rrset_tag(page.records) if whole else {})


def rrset_tag(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the ETag header of an RRset (see ``RegisteredRRset.tags``), if it has records."""
    if not records:
        return {}
    return {"ETag": f'"{max(record["revision"] for record in records)}-{len(records)}"'}


async def _lines(
    registry: Registry, parts: Sequence[str], page: Listed, keep: Keep
) -> AsyncIterator[bytes]:
    """Yield every record as a line.

    Pages are read as the client takes them, so a slow client blocks nothing. The records of a
    page are current when it is read.
    """
    while True:
        if page.records:
            yield b"".join(to_json(record) + b"\n" for record in page.records)
        if page.after is None:
            return
        page = await registry.page(parts, PAGE, page.after, keep)
