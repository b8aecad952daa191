"""ASGI middleware: the steps that every request passes, in this order.

1. Errors of all later steps become problem details.
2. The path is unescaped.
3. The token is checked, and its rate.
4. The body is read, within its limits.
5. The fast path handles a request for a single record, FastAPI any other.

Plain ASGI, because it runs for thousands of writes a second. ``server.request_head`` has checked
the headers before.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import structlog

from musterd.api import fast_path
from musterd.api.abort import abort
from musterd.api.auth import authenticate
from musterd.api.body import Bodies, Disconnected
from musterd.api.context import CALL, Call, Context
from musterd.api.limits import Rate
from musterd.api.problems import ProblemResponse, of_error
from musterd.api.request_metrics import RouteTemplates
from musterd.errors import MusterdError
from musterd.registry.tokens import Token, Tokens

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN: Final = frozenset({"/openapi.json"})
"""Paths that need no token."""
ENDLESS: Final = frozenset({"/v1/watch"})
"""Routes whose responses last as long as the client wants; their duration ends at the start."""
_STOPPING: Final = ProblemResponse(
    503,
    "the server is shutting down; the request may or may not have been applied (never partially):"
    " read again to confirm",
    "stopping",
    {"Retry-After": "5"},
)
_FAILED: Final = ProblemResponse(500, "internal error: see the log of the server")

log = structlog.get_logger()


class Middleware:
    """Checks requests before they reach the application."""

    def __init__(
        self,
        app: App,
        context: Context,
        rate: Rate,
        routes: RouteTemplates,
        parse: fast_path.Parse = fast_path.parse,
    ) -> None:
        """Wrap an application. routes: for the metrics; parse: the fast path."""
        self._app = app
        self._context = context
        self._rate = rate
        self._routes = routes
        self._parse = parse
        self._bodies = Bodies(context.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        sender = _Sender(send, self._context.tokens)
        try:
            await self._answer(scope, receive, sender)
        finally:
            if sender.status:
                self._count(scope, sender)

    def _count(self, scope: Scope, sender: "_Sender") -> None:
        route = self._routes.find(scope["path"])
        end = sender.started if route in ENDLESS else perf_counter()
        self._context.requests.add(scope["method"], route, sender.status, end - sender.created)

    async def _answer(self, scope: Scope, receive: Receive, sender: "_Sender") -> None:
        try:
            await self._handle(scope, receive, sender)
        except Disconnected:
            return
        except _TokenEnded:
            await abort(scope, receive)
            return
        except ProblemResponse as error:
            problem = error
        except MusterdError as error:
            problem = of_error(error)
        except asyncio.CancelledError:
            # The grace period of a stop is over.
            problem = _STOPPING
        except Exception as error:
            log.exception("request failed", method=scope["method"], kind=type(error).__name__)
            problem = _FAILED
        else:
            return
        # A started response can't be replaced; an incomplete one closes the connection.
        if not sender.status:
            await problem.response()(scope, receive, sender)

    async def _handle(self, scope: Scope, receive: Receive, sender: "_Sender") -> None:
        path = scope["path"] = _path(scope)
        if path in OPEN:
            _no_query(scope)
            await self._app(scope, receive, sender)
            return
        tokens = self._context.tokens
        headers = dict(scope["headers"])
        token = sender.token = authenticate(tokens, headers)
        self._rate.take(token.id)
        scope[CALL] = Call(token, self._context)
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            await self._dispatch(scope, headers, b"", receive, sender)
            return
        body = self._bodies.expect(path, self._context.settings().max_body)
        try:
            content = await body.read(headers, receive)
            if body.slow:
                # The token may have ended meanwhile.
                authenticate(tokens, headers)
            await self._dispatch(scope, headers, content, receive, sender)
        finally:
            body.end()

    async def _dispatch(
        self, scope: Scope, headers: dict[bytes, bytes], body: bytes, receive: Receive, send: Send
    ) -> None:
        if not scope["query_string"]:
            handler = self._parse(scope["method"], scope["path"], headers, body)
            if handler is not None:
                response = await handler(scope[CALL])
                await response(scope, receive, send)
                return
        await self._app(scope, _once(body, receive), send)


class _TokenEnded(Exception):  # noqa: N818
    """The token of a request has ended during the response."""


class _Sender:
    """Sends a response as long as the token of the request is valid."""

    def __init__(self, send: Send, tokens: Tokens) -> None:
        self.status = 0
        """Status of the response, 0 before it has started."""
        self.created = perf_counter()
        self.started = 0.0
        """Time when the response started."""
        self.token: Token | None = None
        self._send = send
        self._tokens = tokens

    def __call__(self, message: Message) -> Awaitable[None]:
        """Send a message. Raises _TokenEnded."""
        if message.get("more_body") and self.token and not self._tokens.valid(self.token):
            raise _TokenEnded
        if not self.status:
            self.status = message["status"]
            self.started = perf_counter()
        return self._send(message)


def _no_query(scope: Scope) -> None:
    if scope["query_string"]:
        raise ProblemResponse(422, f"{scope['path']} has no parameters", "invalid")


def _once(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that yields the body, then the messages after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _path(scope: Scope) -> str:
    r"""Return the unescaped path. An escaped "/" is not a separator but ``\047`` of a name."""
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
