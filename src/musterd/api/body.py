"""Bodies of requests: their size, and the bytes of all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

from musterd.api.limits import ApiLimits
from musterd.api.problems import ProblemResponse

Receive = Callable[[], Awaitable[Any]]

_IMPORTS: Final = "/v1/zones/", "/import"
"""Start and end of the path of an import."""
_SMALL: Final = 65_536
"""Bodies up to this many bytes are not counted: all connections together hold few of them."""
_AT_ONCE: Final = nullcontext()


class Disconnected(Exception):  # noqa: N818
    """The client has disconnected before the end of the body."""


class Bodies:
    """Reads bodies, and limits the bytes of all bodies held at once."""

    def __init__(self, limits: ApiLimits) -> None:
        """Create the reader."""
        self.held = 0
        """Bytes of all large bodies held now."""
        self._limits = limits
        self._imports = asyncio.Semaphore(limits.imports)

    def turn(self, path: str) -> AbstractAsyncContextManager[Any]:
        """Return a context in which the body of a path may be read and handled."""
        return self._imports if _is_import(path) else _AT_ONCE

    def most(self, path: str, max_body: int) -> int:
        """Return the largest size of a body. max_body: from the settings."""
        return max_body * self._limits.import_times if _is_import(path) else max_body

    def hold(self, octets: int) -> None:
        """Add received bytes. Raises ProblemResponse if there are too many at once."""
        if self.held + octets > self._limits.bodies:
            raise ProblemResponse(
                503,
                "too many large requests at once: try again later",
                "busy",
                {"Retry-After": "1"},
            )
        self.held += octets

    def release(self, octets: int) -> None:
        """Subtract freed bytes."""
        self.held -= octets


class Body:
    """The body of one request. It counts until the block ends."""

    def __init__(self, bodies: Bodies, most: int) -> None:
        """Create an empty body of at most ``most`` bytes."""
        self._bodies = bodies
        self._most = most
        self._counted = 0

    def __enter__(self) -> "Body":
        """Enter the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Count it no longer."""
        self._bodies.release(self._counted)

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> tuple[bytes, bool]:
        """Return the body, and whether it came in pieces. Raises ProblemResponse, Disconnected."""
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most:
            raise self._too_large()
        message = await receive()
        if not message.get("more_body"):
            return bytes(self._checked(message)), False
        held = bytearray(self._checked(message))
        while message.get("more_body"):
            message = await receive()
            held += self._checked(message)
            if len(held) > self._most:
                raise self._too_large()
            if len(held) > _SMALL:
                self._bodies.hold(len(held) - self._counted)
                self._counted = len(held)
        return bytes(held), True

    def _checked(self, message: Mapping[str, Any]) -> bytes:
        if message["type"] == "http.disconnect":
            raise Disconnected
        body: bytes = message.get("body", b"")
        if len(body) > self._most:
            raise self._too_large()
        return body

    def _too_large(self) -> ProblemResponse:
        return ProblemResponse(
            413,
            f"the body is larger than {self._most} bytes ([api] max_body): send less",
            "too-large",
        )


def _is_import(path: str) -> bool:
    return path.startswith(_IMPORTS[0]) and path.endswith(_IMPORTS[1])
