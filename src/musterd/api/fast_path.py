"""The short way of one record: its routes, called without what finds and fills routes.

To find a route among all and to check its parameters takes longer than to write a record and have
it in answers. What is unusual about a request goes the long way, which says what is wrong.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from pydantic import ValidationError
from starlette.responses import Response

from musterd.api import records, schemas
from musterd.api.context import Call
from musterd.registry.names import TEXT_MOST

_JSON: Final = b"application/json"
_PREFIX: Final = "/v1/records/"
_RRSET_PARTS: Final = 3
_RECORD_PARTS: Final = 4
_TEXT_MOST: Final = 1000
"""The longest value of a header that is taken here."""

Headers = Mapping[bytes, bytes]


def route(method: str, path: str) -> "Route | None":
    """What answers a request, None where that is for the long way to find out."""
    if not path.startswith(_PREFIX):
        return None
    parts = path[len(_PREFIX) :].split("/")
    found = _ROUTES.get((method, len(parts)))
    if found is None or not all(0 < len(part) <= TEXT_MOST for part in parts):
        return None
    return lambda call, headers, body: found(call, parts, headers, body)


async def _put(call: Call, parts: list[str], headers: Headers, body: bytes) -> Response | None:
    record = _record(headers, body)
    if record is None:
        return None
    zone, owner, rtype, name = parts
    match, none = _header(headers, b"if-match"), _header(headers, b"if-none-match")
    return await records.put_record(call, zone, owner, rtype, name, record, match, none)


async def _add(call: Call, parts: list[str], headers: Headers, body: bytes) -> Response | None:
    record = _record(headers, body)
    if record is None:
        return None
    zone, owner, rtype = parts
    return await records.add_record(call, zone, owner, rtype, record)


async def _get(call: Call, parts: list[str], _: Headers, __: bytes) -> Response | None:
    zone, owner, rtype, name = parts
    return await records.get_record(call, zone, owner, rtype, name)


async def _delete(call: Call, parts: list[str], headers: Headers, _: bytes) -> Response | None:
    zone, owner, rtype, name = parts
    match = _header(headers, b"if-match")
    return await records.delete_record(call, zone, owner, rtype, name, match)


Route = Callable[[Call, Headers, bytes], Awaitable[Response | None]]
_ROUTES: Final[
    dict[tuple[str, int], Callable[[Call, list[str], Headers, bytes], Awaitable[Response | None]]]
] = {
    ("PUT", _RECORD_PARTS): _put,
    ("GET", _RECORD_PARTS): _get,
    ("DELETE", _RECORD_PARTS): _delete,
    ("POST", _RRSET_PARTS): _add,
}


def _record(headers: Headers, body: bytes) -> schemas.RecordIn | None:
    """The record of a body, None where the body is none."""
    if headers.get(b"content-type") != _JSON:
        return None
    try:
        return schemas.RecordIn.model_validate_json(body)
    except ValidationError:
        return None


def _header(headers: Headers, name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
