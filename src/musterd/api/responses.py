"""Answers as they are sent."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from pydantic_core import to_json
from starlette.responses import Response

from musterd.registry.keys import RecordKey

JSON: Final = "application/json"
_SAFE: Final = "/*@"


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON value, which ends its line for who reads it on a terminal."""
    return Response(to_json(value) + b"\n", status, headers, JSON)


def record(value: Mapping[str, Any], *, created: bool = False) -> Response:
    """A record, with its tag, and where it is if it was just created."""
    headers = {"ETag": f'"{value["revision"]}"'}
    if created:
        key = RecordKey(value["zone"], value["owner"], value["type"], value["id"])
        headers["Location"] = "/v1/records/" + quote(key.path, safe=_SAFE)
    return answer(value, 201 if created else 200, headers)


def nothing() -> Response:
    """The answer to what is done and has nothing to say."""
    return Response(status_code=204)
