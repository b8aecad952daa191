"""Success responses."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from pydantic_core import to_json
from starlette.responses import Response

from musterd.registry.keys import RecordKey
from musterd.registry.names import in_path

JSON: Final = "application/json"
_SAFE: Final = "/*@"


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response that ends with a newline."""
    return Response(to_json(value) + b"\n", status, headers, JSON)


def record(value: Mapping[str, Any], *, created: bool = False) -> Response:
    """Return a record with its ETag, and its Location if it was created."""
    headers = {"ETag": f'"{value["revision"]}"'}
    if created:
        owner = in_path(value["owner"], value["zone"])
        key = RecordKey(value["zone"], owner, value["type"], value["id"])
        headers["Location"] = "/v1/records/" + quote(key.path, safe=_SAFE)
    return answer(value, 201 if created else 200, headers)


def not_modified(tag: str | None = None) -> Response:
    """Return 304 Not Modified."""
    return Response(status_code=304, headers=None if tag is None else {"ETag": tag})


def nothing() -> Response:
    """Return 204 No Content."""
    return Response(status_code=204)
