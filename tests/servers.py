"""Running servers for tests."""

from typing import TypeVar

from musterd.server.server import Server
from musterd.server.service import BasicService

S = TypeVar("S", bound=BasicService)


def service(server: Server, kind: type[S]) -> S:
    """Return the service of a server that has a type."""
    (found,) = [service for service in server.services if isinstance(service, kind)]
    return found
