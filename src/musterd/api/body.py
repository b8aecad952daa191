"""Request bodies, limited one by one and in total."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from musterd.api.limits import ApiLimits
from musterd.api.problems import ProblemResponse

Receive = Callable[[], Awaitable[Any]]

_IMPORTS: Final = "/v1/zones/", "/import"
"""Start and end of the path of an import."""
_SMALL: Final = 65_536
"""Bodies up to this many bytes are not counted: all connections together hold few of them."""


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

    def expect(self, path: str, max_body: int) -> "Body":
        """Return the body of a request to a path, to be read. max_body: from the settings."""
        if path.startswith(_IMPORTS[0]) and path.endswith(_IMPORTS[1]):
            return Body(self, max_body * self._limits.import_times, self._imports)
        return Body(self, max_body)

    def hold(self, size: int) -> None:
        """Add received bytes. Raises ProblemResponse if there are too many at once."""
        if self.held + size > self._limits.bodies:
            raise ProblemResponse(
                503,
                "too many large requests at once: try again later",
                "busy",
                {"Retry-After": "1"},
            )
        self.held += size

    def release(self, size: int) -> None:
        """Subtract freed bytes."""
        self.held -= size


class Body:
    """The body of one request."""

    slow = False
    """True if it came in pieces."""
    _counted = 0
    _has_turn = False

    def __init__(self, bodies: Bodies, most: int, turns: asyncio.Semaphore | None = None) -> None:
        """Create an empty body of at most ``most`` bytes. turns: waits before it is read."""
        self._bodies = bodies
        self._most = most
        self._turns = turns

    def end(self) -> None:
        """Stop counting the body, and let another import start."""
        if self._counted:
            self._bodies.release(self._counted)
        if self._turns and self._has_turn:
            self._turns.release()

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """Return the body, and count its bytes. Raises ProblemResponse, Disconnected."""
        if self._turns:
            self._has_turn = await self._turns.acquire()
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most:
            raise self._too_large()
        message = await receive()
        if not message.get("more_body"):
            return self._checked(message)
        self.slow = True
        held = bytearray(self._checked(message))
        while message.get("more_body"):
            message = await receive()
            held += self._checked(message)
            if len(held) > self._most:
                raise self._too_large()
            if len(held) > _SMALL:
                self._bodies.hold(len(held) - self._counted)
                self._counted = len(held)
        return bytes(held)

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
