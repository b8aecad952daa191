"""The application: routes, OpenAPI description and error handlers."""

import json
import re
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from musterd.api import (
    explain,
    fast_path,
    history,
    leases,
    limits,
    records,
    status,
    tokens,
    watch,
    zones,
)
from musterd.api.context import Context
from musterd.api.middleware import OPEN, Middleware
from musterd.api.problems import ProblemDetails, ProblemResponse, of_error
from musterd.api.request_metrics import RouteTemplates
from musterd.api.validation import MAX_FAULTS, fault
from musterd.errors import MusterdError

_OUT: Final = re.compile(r"\b([A-Z][A-Za-z]+)Out\b")
TITLE: Final = "musterd"
_ROUTERS: Final = (records, history, leases, zones, explain, status, watch, tokens)


def application(
    context: Context, rate: limits.Rate, parse: fast_path.Parse = fast_path.parse
) -> Middleware:
    """Create the API of a server. parse: the fast path."""
    templates = RouteTemplates([*OPEN, *(route.path for route in _routes())])
    return Middleware(described(context.version), context, rate, templates, parse)


def described(version: str) -> FastAPI:
    """Create the routes and their description at ``/openapi.json``."""
    app = FastAPI(
        title=TITLE,
        version=version,
        summary="Register names, and explain answers.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Generated clients name their methods by these, so they must not change with a path.
        generate_unique_id_function=lambda route: route.name,
        # Never send telemetry, whatever the environment says.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for module in _ROUTERS:
        app.include_router(module.router)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(ProblemResponse, _problem)
    app.add_exception_handler(MusterdError, _error)
    app.add_exception_handler(Exception, _failed)
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _published(_complete(make()))
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _published(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the description without the suffix Out of the models' class names."""
    found: dict[str, Any] = json.loads(_OUT.sub(r"\1", json.dumps(schema)))
    return found


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    """Add what all routes share: the problem schema and the token."""
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "`musterd token create`"}
    }
    schema["security"] = [{"token": []}]
    return schema


async def _invalid(_: Request, error: Exception) -> Response:
    """Answer a request that does not match the description."""
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [fault(found) for found in error.errors()[:MAX_FAULTS]]
    detail = "; ".join(f"{found['where']}: {found['problem']}" for found in faults)
    return ProblemResponse(422, detail, "invalid", errors=faults).response()


def _methods(path: str) -> list[str]:
    """Return the methods that a path supports."""
    return sorted(
        {m for route in _routes() if route.path_regex.match(path) for m in route.methods or ()}
    )


def _routes() -> list[APIRoute]:
    routes = [route for module in _ROUTERS for route in module.router.routes]
    return [route for route in routes if isinstance(route, APIRoute)]


async def _refused(request: Request, error: Exception) -> Response:
    """Answer an unknown path or an unsupported method."""
    if not isinstance(error, HTTPException):
        raise error
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_methods(request.scope["path"]))}
    detail = {
        404: f"unknown path {request.scope['path']}: /openapi.json lists all paths",
        405: f"{request.scope['path']} does not support {request.method}",
    }.get(error.status_code, str(error.detail))
    return ProblemResponse(error.status_code, detail, headers=headers).response()


async def _problem(_: Request, error: Exception) -> Response:
    if not isinstance(error, ProblemResponse):
        raise error
    return error.response()


async def _error(_: Request, error: Exception) -> Response:
    if not isinstance(error, MusterdError):
        raise error
    return of_error(error).response()


async def _failed(_: Request, error: Exception) -> Response:
    return ProblemResponse(500, "internal error: see the log of the server").response()
