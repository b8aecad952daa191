"""Fast path for single-record requests, bypassing FastAPI routing.

Finding a route and filling its parameters takes longer than writing a record. The fast path
checks a request against the same declarations as FastAPI does (``params`` and ``schemas``). A
request that fails a check goes to FastAPI, which reports what is wrong; so both accept the same
requests.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from pydantic import TypeAdapter
from starlette.responses import Response

from musterd.api import records, schemas
from musterd.api.context import Call
from musterd.api.params import Id, IfMatch, IfNoneMatch, Owner, Type, ZoneName
from musterd.api.routing import load_json

_JSON: Final = b"application/json"
_PREFIX: Final = "/v1/records/"
_RRSET: Final = TypeAdapter(tuple[ZoneName, Owner, Type]).validator
_RECORD: Final = TypeAdapter(tuple[ZoneName, Owner, Type, Id]).validator
_BODY: Final = TypeAdapter(schemas.RecordIn).validator
_IF_MATCH: Final[TypeAdapter[str | None]] = TypeAdapter(IfMatch)
_IF_NONE_MATCH: Final[TypeAdapter[str | None]] = TypeAdapter(IfNoneMatch)

_NO_TAGS: Final = None, None

Headers = Mapping[bytes, bytes]
Handler = Callable[[Call], Awaitable[Response]]
Parse = Callable[[str, str, Headers, bytes], Handler | None]


def parse(method: str, path: str, headers: Headers, body: bytes) -> Handler | None:
    """Return the handler of a request without a query, or None if FastAPI has to handle it."""
    if not path.startswith(_PREFIX):
        return None
    parts = path[len(_PREFIX) :].split("/")
    found = _ROUTES.get((method, len(parts)))
    if found is None:
        return None
    try:
        return found(parts, headers, body)
    except (ValueError, RecursionError):
        return None


def _put(parts: list[str], headers: Headers, body: bytes) -> Handler:
    zone, owner, rtype, name = _RECORD.validate_python(tuple(parts))
    record = _record(headers, body)
    tags = _tags(headers)
    return lambda call: records.put_record(call, zone, owner, rtype, name, record, *tags)


def _add(parts: list[str], headers: Headers, body: bytes) -> Handler:
    zone, owner, rtype = _RRSET.validate_python(tuple(parts))
    record = _record(headers, body)
    tags = _tags(headers)
    return lambda call: records.add_record(call, zone, owner, rtype, record, *tags)


def _get(parts: list[str], headers: Headers, _: bytes) -> Handler:
    zone, owner, rtype, name = _RECORD.validate_python(tuple(parts))
    tags = _tags(headers)
    return lambda call: records.get_record(call, zone, owner, rtype, name, *tags)


def _delete(parts: list[str], headers: Headers, _: bytes) -> Handler:
    zone, owner, rtype, name = _RECORD.validate_python(tuple(parts))
    tags = _tags(headers)
    return lambda call: records.delete_record(call, zone, owner, rtype, name, *tags)


_ROUTES: Final[dict[tuple[str, int], Callable[[list[str], Headers, bytes], Handler]]] = {
    ("PUT", 4): _put,
    ("GET", 4): _get,
    ("DELETE", 4): _delete,
    ("POST", 3): _add,
}
"""Parsers by method and number of path segments."""


def _record(headers: Headers, body: bytes) -> schemas.RecordIn:
    """Parse a body as FastAPI does. Raises ValueError."""
    if headers.get(b"content-type") != _JSON:
        raise ValueError("FastAPI handles other content types")
    record: schemas.RecordIn = _BODY.validate_python(load_json(body))
    return record


def _tags(headers: Headers) -> tuple[str | None, str | None]:
    """Return If-Match and If-None-Match. Raises ValueError."""
    if b"if-match" not in headers and b"if-none-match" not in headers:
        return _NO_TAGS
    match = _header(_IF_MATCH, headers, b"if-match")
    return match, _header(_IF_NONE_MATCH, headers, b"if-none-match")


def _header(kind: TypeAdapter[str | None], headers: Headers, name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else kind.validate_python(value.decode("latin-1"))
