"""Reports what to install if the server side is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from musterd.errors import MusterdError

_SERVER_SIDE = frozenset(
    {
        "dns",
        "fastapi",
        "google",
        "grpc",
        "httptools",
        "prometheus_client",
        "pydantic",
        "starlette",
        "structlog",
        "uvicorn",
        "uvloop",
    }
)
"""Packages that ``musterd[server]`` installs, by import name."""


@contextmanager
def server_side(command: str) -> Iterator[None]:
    """Wrap the imports of a command that needs the server side. Raises MusterdError."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _SERVER_SIDE:
            raise
        text = f"{command} needs the server packages: pip install 'musterd[server]'"
        raise MusterdError(text) from error
