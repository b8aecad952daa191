"""ASGI middleware: error responses, authentication, rate limit, body limit.

Plain ASGI, because it runs for thousands of writes a second.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import structlog

from musterd.api import fast_path, limits
from musterd.api.auth import authenticate
from musterd.api.context import CALL, Call, Context
from musterd.api.problems import ProblemResponse, of_error
from musterd.errors import MusterdError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN: Final = frozenset({"/openapi.json"})
"""Paths that need no token."""
MAX_IMPORTS: Final = 2
"""Maximum concurrent imports; others wait before their body is read."""
_ZONES: Final = "/v1/zones/"
_STOPPING: Final = ProblemResponse(
    503,
    "the server is shutting down; the request may or may not have been applied (never partially):"
    " read again to confirm",
    "stopping",
    {"Retry-After": "5"},
)
_NO_BODY: Final[Message] = {"type": "http.request", "body": b"", "more_body": False}
_SMALL: Final = 65_536
"""Bodies up to this many bytes are not counted: all connections together hold few of them."""

log = structlog.get_logger()


class Middleware:
    """Checks requests before they reach the application."""

    def __init__(self, app: App, context: Context, rate: limits.Rate) -> None:
        """Wrap an application."""
        self._app = app
        self._context = context
        self._rate = rate
        self._bodies = limits.Bodies()
        self._imports = asyncio.Semaphore(MAX_IMPORTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        sent = _Sent(send)
        try:
            await self._pass(scope, receive, sent)
        except ProblemResponse as problem:
            await problem.response()(scope, receive, send)
        except MusterdError as error:
            await of_error(error).response()(scope, receive, send)
        except asyncio.CancelledError:
            # The server is shutting down and the grace period is over.
            if not sent.begun:
                await _STOPPING.response()(scope, receive, send)
        except Exception as error:
            log.exception("request failed", method=scope["method"], kind=type(error).__name__)
            # A started response can't be replaced; an incomplete one closes the connection.
            if not sent.begun:
                failed = ProblemResponse(500, "internal error: see the log of the server")
                await failed.response()(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] = _path(scope)
        if path in OPEN:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        token = authenticate(self._context.tokens, headers)
        self._rate.take(token.id)
        scope[CALL] = Call(token, self._context)
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            await self._answer(scope, headers, _NO_BODY, receive, send)
            return
        most = self._context.settings().max_body
        if path.startswith(_ZONES) and path.endswith("/import"):
            async with self._imports:
                await self._read(scope, headers, most * limits.IMPORT_TIMES, receive, send)
        else:
            await self._read(scope, headers, most, receive, send)

    async def _answer(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        message: Message,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a request whose body was read, by the fast path if it takes it."""
        if len(headers) == len(scope["headers"]):  # No header is repeated.
            handler = fast_path.parse(scope["method"], scope["path"], headers, message["body"])
            if handler is not None:
                response = await handler(scope[CALL])
                await response(scope, receive, send)
                return
        await self._app(scope, _once(message, receive), send)

    async def _read(
        self, scope: Scope, headers: dict[bytes, bytes], most: int, receive: Receive, send: Send
    ) -> None:
        """Read a body of at most ``most`` bytes and answer the request."""
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most:
            raise limits.too_large(most)
        message = await receive()
        if message.get("more_body") or len(message.get("body", b"")) > most:
            await self._read_rest(scope, headers, message, most, receive, send)
        elif message["type"] == "http.request":
            await self._answer(scope, headers, message, receive, send)

    async def _read_rest(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        message: Message,
        most: int,
        receive: Receive,
        send: Send,
    ) -> None:
        held = _Held(self._bodies, most)
        try:
            while held.take(message):
                message = await receive()
            if not held.gone:
                whole = {"type": "http.request", "body": bytes(held.body), "more_body": False}
                await self._answer(scope, headers, whole, receive, send)
        finally:
            held.release()


class _Held:
    """A body that arrives in pieces."""

    def __init__(self, bodies: limits.Bodies, most: int) -> None:
        self.body = bytearray()
        self.gone = False
        """True if the client disconnected."""
        self._bodies = bodies
        self._most = most
        self._counted = 0

    def take(self, message: Message) -> bool:
        """Add a piece and return whether more follow. Raises ProblemResponse if it is too large."""
        if message["type"] == "http.disconnect":
            self.gone = True
            return False
        self.body += message.get("body", b"")
        size = len(self.body)
        if size > self._most:
            raise limits.too_large(self._most)
        if size > _SMALL:
            self._bodies.hold(size - self._counted)
            self._counted = size
        return bool(message.get("more_body"))

    def release(self) -> None:
        self._bodies.release(self._counted)


class _Sent:
    """Wraps ``send`` and records whether the response has started."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


def _once(message: Message, receive: Receive) -> Receive:
    """Return a ``receive`` that yields the body, then the messages that follow it."""
    waiting = [message]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _path(scope: Scope) -> str:
    r"""Return the unescaped path. An escaped "/" is no separator but ``\047`` of a name."""
    raw: bytes = scope["raw_path"]
    if b"%" not in raw:
        return raw.decode("ascii")
    escaped = raw.replace(b"%2F", rb"\047").replace(b"%2f", rb"\047")
    try:
        return unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError:
        raise ProblemResponse(
            400, "the path is not valid UTF-8: percent-encode it as UTF-8"
        ) from None
