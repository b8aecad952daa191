"""Routes that ignore nothing that a client says.

FastAPI ignores unknown query parameters, all but the last of repeated ones and all but the last
of repeated members of JSON objects. Headers with preconditions are ignored on routes that don't
declare them.
"""

import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, get_origin

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from musterd.api.problems import ProblemResponse
from musterd.api.validation import MAX_FAULTS
from musterd.display import excerpt
from musterd.registry import preconditions

_IF_MATCH: Final = "if-match"
_IF_NONE_MATCH: Final = "if-none-match"


def router(noun: str) -> APIRouter:
    """Return the router of ``/v1/NOUN``."""
    return APIRouter(prefix=f"/v1/{noun}", tags=[noun], route_class=_Route)


def load_json(body: bytes) -> Any:
    """Parse a JSON body as the standard library does, but reject repeated members.

    Raises ValueError.
    """
    # JSON in another encoding does not begin like this.
    encoding = "utf-8" if body.startswith(b'{"') else json.detect_encoding(body)
    return _DECODER.decode(body.decode(encoding, "surrogatepass"))


class _Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with checks before it."""
        handle = super().get_route_handler()
        parameters = dict(_parameters(self))
        tagged = any(field.alias == _IF_MATCH for field in self.dependant.header_params)

        async def checked(request: Request) -> Response:
            if request.scope["query_string"]:
                _check_parameters(parameters, request)
            if not tagged:
                _check_preconditions(request)
            return await handle(_StrictRequest(request.scope, request.receive))

        return checked


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Parse the body. Raises JSONDecodeError."""
        return load_json(await self.body())


def _parameters(route: APIRoute) -> Iterable[tuple[str, bool]]:
    """Yield the name of each query parameter, and whether it may be repeated."""
    for field in route.dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, info in kind.model_fields.items():
                yield info.alias or name, get_origin(info.annotation) is list
        else:
            yield field.alias, get_origin(kind) is list


def _check_parameters(known: Mapping[str, bool], request: Request) -> None:
    seen: set[str] = set()
    faults: list[dict[str, str]] = []
    for name, _ in request.query_params.multi_items():
        if name not in known:
            there = f"expected {', '.join(known)}" if known else "there are none here"
            faults.append({"where": excerpt(name), "problem": f"is unknown: {there}"})
        elif name in seen and not known[name]:
            faults.append({"where": name, "problem": "is repeated"})
        seen.add(name)
    if faults:
        detail = "; ".join(f"{fault['where']}: {fault['problem']}" for fault in faults[:MAX_FAULTS])
        raise ProblemResponse(422, detail, "invalid", errors=faults[:MAX_FAULTS])


def _check_preconditions(request: Request) -> None:
    """Raise Mismatch for a precondition that fails on a resource without entity tags."""
    match, none = request.headers.get(_IF_MATCH), request.headers.get(_IF_NONE_MATCH)
    if match is not None or none is not None:
        preconditions.parse(match, none).check_untagged(request.scope["path"])


def _unique(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        seen: set[str] = set()
        for name, _ in members:
            if name in seen:
                text = f'the member "{excerpt(name)}" is repeated'
                raise json.JSONDecodeError(text, name, 0)
            seen.add(name)
    return found


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique)
