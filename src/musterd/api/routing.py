"""Routes that ignore no part of a request.

FastAPI ignores unknown query parameters, all but the last of repeated ones and all but the last
of repeated members of JSON objects. Headers with preconditions are ignored on routes that don't
declare them.
"""

import json
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, get_origin

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from musterd.api import responses
from musterd.api.problems import ProblemResponse
from musterd.api.validation import MAX_FAULTS
from musterd.display import excerpt
from musterd.registry.preconditions import NOTHING, Preconditions, parse

_IF_MATCH: Final = "if-match"
_IF_NONE_MATCH: Final = "if-none-match"
_READS: Final = frozenset({"GET", "HEAD"})


def router(noun: str) -> APIRouter:
    """Return the router of ``/v1/NOUN``."""
    return APIRouter(prefix=f"/v1/{noun}", tags=[noun], route_class=_Route)


def load_json(body: bytes) -> Any:
    """Parse a JSON body as the standard library does, but reject repeated members.

    Raises JSONDecodeError, whatever is wrong.
    """
    # JSON in another encoding does not begin like this.
    encoding = "utf-8" if body.startswith(b'{"') else json.detect_encoding(body)
    try:
        return _DECODER.decode(body.decode(encoding, "surrogatepass"))
    except json.JSONDecodeError:
        raise
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError(f"it is not {encoding.upper()}", "", error.start) from None
    except RecursionError:
        raise json.JSONDecodeError("it is nested too deeply", "", 0) from None
    except ValueError:
        # The standard library limits the time that a number takes.
        digits = sys.get_int_max_str_digits()
        text = f"it has a number of more than {digits} digits"
        raise json.JSONDecodeError(text, "", 0) from None


class _Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with checks before it."""
        handle = super().get_route_handler()
        parameters = dict(_parameters(self))
        tagged = any(field.alias == _IF_MATCH for field in self.dependant.header_params)

        async def checked(request: Request) -> Response:
            if request.scope["query_string"]:
                _check_parameters(parameters, request)
            expected = NOTHING if tagged else _preconditions(request)
            path = request.scope["path"]
            if expected and request.method not in _READS:
                expected.check_untagged(path)
            response = await handle(_StrictRequest(request.scope, request.receive))
            if (
                not expected
                or request.method not in _READS
                or response.status_code != HTTPStatus.OK
            ):
                return response
            return responses.not_modified() if expected.unchanged_untagged(path) else response

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


def _preconditions(request: Request) -> Preconditions:
    return parse(request.headers.get(_IF_MATCH), request.headers.get(_IF_NONE_MATCH))


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
