"""Lists of records, in pages or as a stream."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from musterd.api import responses, schemas
from musterd.display import excerpt
from musterd.registry.errors import Invalid
from musterd.registry.keys import RecordKey
from musterd.registry.preconditions import NOTHING, Preconditions
from musterd.registry.rdata import equal_form, parse_type, type_text
from musterd.registry.rdata import parse as parse_data
from musterd.registry.registry import PAGE, Listed, Registry
from musterd.registry.strays import shown

LINES: Final = "application/x-ndjson"
REVISION: Final = "Musterd-Revision"
"""Header with the revision at which a stream of records began; watch from there."""
LIMIT: Final = 100
_MAX_DATA: Final = 4000
"""Maximum characters of data to look for, so that it fits into a request line."""
_RRSET_PARTS: Final = 3
_LABEL: Final = Field(pattern=schemas.LABEL_QUERY, max_length=400)

Keep = Callable[[dict[str, Any]], bool]


class Filters(BaseModel):
    """Filters and page of a list."""

    model_config = ConfigDict(extra="forbid")

    type: str | None = Field(None, description="for example A", min_length=1, max_length=20)
    label: list[Annotated[str, _LABEL]] = Field(
        [], description="k=v; a record must have all of them", max_length=16
    )
    registrant: str | None = Field(
        None, max_length=64, description="name of the token that registered it"
    )
    data: str | None = Field(
        None,
        max_length=_MAX_DATA,
        description="only records with equal data; requires a type",
    )
    limit: int = Field(LIMIT, ge=1, le=PAGE, description="maximum records of a page")
    after: str = Field("", max_length=2500, description="`next` of the previous page")

    def keep(self, parts: Sequence[str]) -> Keep:
        """Return a predicate for wanted records below parts of a key. Raises Invalid."""
        rtype = None if self.type is None else type_text(parse_type(self.type))
        data = self._equal(parts[2] if len(parts) == _RRSET_PARTS else rtype, *parts[:1])
        labels = [label.partition("=")[::2] for label in self.label]

        def wanted(record: dict[str, Any]) -> bool:
            return (
                (rtype is None or record["type"] == rtype)
                and (self.registrant is None or record["registrant"] == self.registrant)
                and (data is None or data(record))
                and all(record["labels"].get(name) == value for name, value in labels)
            )

        return wanted

    def _equal(self, word: str | None, zone: str = "") -> Keep | None:
        """Return a predicate for records with equal data. Raises Invalid."""
        if self.data is None:
            return None
        if word is None:
            raise Invalid("data is compared by its type: name it, as in type=A")
        rtype = parse_type(word)
        wanted = equal_form(rtype, parse_data(rtype, self.data, zone))

        def equal(record: dict[str, Any]) -> bool:
            try:
                return equal_form(rtype, parse_data(rtype, record["data"])) == wanted
            except Invalid:
                return False

        return equal

    @property
    def all(self) -> bool:
        """True if every record is wanted."""
        return self.type is None and self.registrant is self.data is None and not self.label


FiltersQuery = Annotated[Filters, Query()]


async def listing(
    registry: Registry,
    request: Request,
    parts: Sequence[str],
    filters: Filters,
    strays: Sequence[RecordKey] = (),
    expected: Preconditions = NOTHING,
) -> Response:
    """Return the records below parts of a key, and strays, in the format that the client accepts.

    Strays are on the first page. Only a whole RRset has an entity tag.
    """
    keep = filters.keep(parts)
    _check_place(filters.after, parts)
    page = await registry.page(parts, filters.limit, filters.after, keep)
    if strays and not filters.after:
        page = page._replace(records=[*await shown(registry, strays, keep), *page.records])
    as_lines = LINES in request.headers.get("accept", "")
    ends = not filters.after and not page.after
    whole = len(parts) == _RRSET_PARTS and filters.all and ends and not as_lines
    tag = rrset_tag(page.records) if whole else {}
    what = f"/v1/records/{'/'.join(parts)}"
    if not whole:
        if expected.unchanged_untagged(what):
            return responses.not_modified()
    elif expected and _unchanged(expected, what, page.records):
        return responses.not_modified(tag["ETag"])
    if as_lines:
        lines = _lines(registry, parts, page, keep)
        headers = {REVISION: str(page.revision)}
        return StreamingResponse(lines, headers=headers, media_type=LINES)
    found = {"records": page.records, "next": page.after, "revision": page.revision}
    return responses.answer(found, headers=tag)


def _check_place(after: str, parts: Sequence[str]) -> None:
    """Raise Invalid unless the end of a page is in the list."""
    if not after:
        return
    found = after.split("/")
    if len(found) != len(RecordKey._fields) or found[: len(parts)] != list(parts):
        raise Invalid(f'after: "{excerpt(after)}" is not the `next` of a page of this list')


def _unchanged(expected: Preconditions, what: str, records: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a client has an RRset. Raises Mismatch."""
    revision = max((record["revision"] for record in records), default=0)
    tags = (f"{revision}-{len(records)}", str(revision)) if records else ()
    return expected.unchanged(what, tags)


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
