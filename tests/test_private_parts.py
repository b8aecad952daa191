"""The undocumented parts of other packages that musterd uses, each by its name.

A part that is missing here has changed in the package. Then change the module that uses it, before
the upper bound in pyproject.toml is raised.
"""

import ast
import asyncio
import inspect
import tomllib
from pathlib import Path
from typing import Final

import httptools
import prometheus_client.exposition
import pytest
import uvicorn
from fastapi import APIRouter
from fastapi.routing import APIRoute
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

ROOT: Final = Path(__file__).parent.parent
BOUNDED: Final = {"fastapi", "prometheus-client", "uvicorn"}
"""Packages with undocumented parts in the lists below."""

PROTOCOL: Final = (
    # Attributes of uvicorn's connection.
    "app",
    "connections",
    "cycle",
    "flow",
    "headers",
    "loop",
    "parser",
    "pipeline",
    "scope",
    "server_state",
    "transport",
    # Methods that are called or overridden.
    "_unset_keepalive_if_required",
    "connection_lost",
    "connection_made",
    "data_received",
    "on_body",
    "on_headers_complete",
    "on_message_complete",
    "on_response_complete",
    "pause_writing",
    "resume_writing",
    "timeout_keep_alive_handler",
)  # fmt: skip
CYCLE: Final = (
    # Attributes of one request and its response.
    "disconnected",
    "keep_alive",
    "message_event",
    "more_body",
    "response_complete",
    "response_started",
    "scope",
    "transport",
)  # fmt: skip
NAMED_TUPLE: Final = {"_asdict", "_fields", "_make", "_replace"}
"""Names with an underscore that are documented."""
GENERATED: Final = "rpc_pb2.py"


async def protocol() -> httptools_impl.HttpToolsProtocol:
    async def app(scope: object, receive: object, send: object) -> None: ...

    config = uvicorn.Config(app, interface="asgi3", log_config=None, lifespan="off")
    return httptools_impl.HttpToolsProtocol(config, ServerState(), {})


@pytest.mark.parametrize("name", PROTOCOL)
async def test_uvicorn_connection_has(name: str) -> None:
    assert hasattr(await protocol(), name)


@pytest.mark.parametrize("name", CYCLE)
def test_uvicorn_cycle_has(name: str) -> None:
    source = inspect.getsource(httptools_impl.RequestResponseCycle.__init__)
    assert f"self.{name} = " in source or f"self.{name}: " in source


@pytest.mark.parametrize("name", ["read_paused", "resume_reading"])
def test_uvicorn_flow_control_has(name: str) -> None:
    assert hasattr(FlowControl(asyncio.Transport()), name)


def test_uvicorn_parts() -> None:
    assert httptools_impl.STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"
    assert ServerState().default_headers == []
    assert inspect.isgeneratorfunction(inspect.unwrap(uvicorn.Server.capture_signals))


async def test_uvicorn_parser_calls_the_connection() -> None:
    assert isinstance((await protocol()).parser, httptools.HttpRequestParser)


def test_fastapi_routes_have_parameters() -> None:
    router = APIRouter()

    @router.get("/{a}")
    def get(a: str, b: int = 0) -> str:
        return f"{a}{b}"

    (route,) = router.routes
    assert isinstance(route, APIRoute)
    assert [field.alias for field in route.dependant.query_params] == ["b"]
    assert route.dependant.query_params[0].field_info.annotation is int
    assert route.dependant.header_params == []
    assert route.path_regex.match("/x")


def test_fastapi_reads_bodies_by_the_request() -> None:
    # Members of JSON objects that are repeated are found by our own method.
    assert "await request.json()" in inspect.getsource(
        APIRoute.get_route_handler.__globals__["get_request_handler"]
    )


def test_prometheus_client_chooses_an_encoder() -> None:
    encode, kind = prometheus_client.exposition.choose_encoder("")
    assert callable(encode)
    assert kind.startswith("text/plain")


def test_packages_with_private_parts_have_upper_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    bounded = {text.partition(">=")[0] for text in wanted if ",<" in text}
    assert bounded >= BOUNDED


def test_no_other_private_names_are_used() -> None:
    used = [
        f"{path.name}:{node.lineno} {ast.unparse(node)}"
        for path in (ROOT / "src").rglob("*.py")
        if path.name != GENERATED
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and is_foreign(node)
    ]
    # The other object is of the same class.
    assert [use for use in used if not use.endswith("successor._socket")] == []


def is_foreign(node: ast.Attribute) -> bool:
    """Tell if a private attribute is read from something else than the object itself."""
    own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
    private = node.attr.startswith("_") and not node.attr.startswith("__")
    return private and not own and node.attr not in NAMED_TUPLE
