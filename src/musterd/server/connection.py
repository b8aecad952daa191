"""One HTTP connection: its limits, and the rules of HTTP that uvicorn does not enforce."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from weakref import proxy

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from musterd.api.abort import ABORT
from musterd.api.problems import ProblemResponse
from musterd.log_once import ThrottledLog
from musterd.server.request_head import TARGET_HOST

_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?]*)")
"""Start of a request target in absolute form (RFC 9112 section 3.2.2)."""
_CONTINUE: Final = b"HTTP/1.1 100"
_FULL: Final = ProblemResponse(
    503, "too many connections: try again later", "busy", {"Retry-After": "1"}
)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of an HTTP server."""

    max_connections: int
    """Concurrent connections. A further one replaces the one that has been idle longest."""
    max_rejected: int = 100
    """Connections that are answered with 503 if none is idle; further ones are closed at once."""
    max_head: int = 65_536
    """Bytes of a request line with its headers."""
    head_seconds: float = 20.0
    """Time limit for receiving a request line and headers."""
    body_seconds: float = 60.0
    """Time limit for receiving a body."""
    idle_seconds: int = 75
    """Time after which an idle connection is closed."""
    send_seconds: float = 30.0
    """Time that a client may read nothing while data waits for it."""
    linger_seconds: float = 2.0
    """Time for a client to read the last response before its connection is closed."""


class Connections:
    """The connections of a server that wait for a request, by the time of their last one."""

    def __init__(self) -> None:
        """Create an empty list."""
        self.idle: OrderedDict[HttpConnection, None] = OrderedDict()
        self.log = ThrottledLog("HTTP request rejected")

    def drop_idlest(self) -> bool:
        """Close the connection that has been idle longest. Return False if none is idle."""
        if not self.idle:
            return False
        connection, _ = self.idle.popitem(last=False)
        connection.transport.abort()
        return True


class HttpConnection(HttpToolsProtocol):
    """A connection with limits on the size and time of requests and responses."""

    _head = 0
    """Bytes of a head that have arrived so far."""
    _in_body = False
    """True from the end of a head to the end of its body."""
    _deaf = False
    """True if all further data is ignored."""
    _lingering = False
    """True if the connection is closed for writing."""
    _excess = False
    _invalid = 400, "the request is not valid HTTP"
    """Status and detail of the response if parsing fails."""
    _timer: asyncio.TimerHandle | None = None
    """Limits the time of a head, of a body, or of closing."""
    _send_timer: asyncio.TimerHandle | None = None

    def __init__(
        self, *args: Any, limits: HttpLimits, open_connections: Connections, **more: Any
    ) -> None:
        """Create a connection. more: what uvicorn passes."""
        super().__init__(*args, **more)
        self._limits = limits
        self._open = open_connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request. If there are too many connections, drop one or answer with 503."""
        super().connection_made(transport)
        excess = len(self.connections) - self._limits.max_connections
        if excess > 0 and not self._open.drop_idlest():
            if excess > self._limits.max_rejected:
                transport.abort()
                return
            self._excess = True
            self.app = _FULL.response()
        else:
            self._open.idle[self] = None
        self._start(self._limits.head_seconds, self._slow_head)

    def data_received(self, data: bytes) -> None:
        """Parse data, unless a head is too long."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._head += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(*self._invalid)
            return
        if self._head > self._limits.max_head:
            self._refuse(431, "the head or the trailer of the request is too long")
        elif self._timer is None and self._in_body:
            self._start(self._limits.body_seconds, self._slow_body)
        elif self._timer is None and self._head:
            self._start(self._limits.head_seconds, self._slow_head)

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # An upgrade may be ignored (RFC 9110 section 7.8); the next request follows.
                data = data[upgrade.args[0] :]
            else:
                return

    def on_headers_complete(self) -> None:
        """Accept the head. Raises ValueError, which ends the parsing."""
        if self.parser.should_upgrade() and _has_body(self.headers):
            # The parser treats the body as data of the new protocol.
            self._invalid = 400, "Upgrade with a body is not supported: send it without Upgrade"
            raise ValueError(self._invalid)
        self._stop_timer()
        self._head = 0
        self._in_body = True
        self._open.idle.pop(self, None)
        host = None if self.url.startswith(b"/") else self._take_host()
        super().on_headers_complete()
        # The fields of a trailer are parsed into this list, and ignored (RFC 9110 section 6.5.1).
        self.headers = []
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {ABORT: self.transport.abort}
        if host is not None:
            scope["extensions"][TARGET_HOST] = host
        cycle = self.cycle
        if self._excess:
            cycle.keep_alive = False
        cycle.transport = _ResponseTransport(self.transport, proxy(cycle), proxy(self))

    def _take_host(self) -> bytes | None:
        """Reduce a target in absolute form to its path and query, and return its host."""
        found = _ABSOLUTE.match(self.url)
        if found is None:
            return None
        path = self.url[found.end() :]
        self.url = path if path.startswith(b"/") else b"/" + path
        return found[1]

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body. The application limits its size."""
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish the request."""
        self._stop_timer()
        self._head = 0
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        if not self._lingering:
            super().on_response_complete()
        if self.cycle.response_complete:
            self._open.idle[self] = None

    def pause_writing(self) -> None:
        """Limit the time until the client reads again."""
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self._limits.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on when the client has read."""
        self._stop_send_timer()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything when the connection is closed."""
        self._open.idle.pop(self, None)
        self._stop_timer()
        self._stop_send_timer()
        super().connection_lost(exc)

    def _slow_head(self) -> None:
        self._refuse(408, "the head of the request is too slow")

    def _slow_body(self) -> None:
        if self.flow.read_paused:
            # The application is slow, not the client.
            self._start(self._limits.body_seconds, self._slow_body)
        else:
            seconds = self._limits.body_seconds
            self._refuse(408, f"the body did not arrive within {seconds:.0f} s")

    def _refuse(self, status: int, detail: str) -> None:
        """Reject what arrives, after the responses to earlier requests."""
        self._stop_timer()
        self._deaf = True
        if self.transport.is_closing():
            return
        self._open.log.warning(detail)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not self._in_body:
                cycle.keep_alive = False
                return
            if cycle.response_started or self.pipeline:
                self.transport.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        response = ProblemResponse(status, detail).response()
        self.transport.write(_encode(response, self.server_state.default_headers))
        self._linger()

    def finish(self) -> None:
        """Close after the last response."""
        if self._in_body or self._deaf:
            self._linger()
        else:
            self._close()

    def _linger(self) -> None:
        """Close for writing, and ignore what arrives until the client has read the response.

        A socket that is closed with unread data resets the connection, which may destroy the
        response.
        """
        self._deaf = self._lingering = True
        with suppress(OSError):  # The client is gone already.
            if self.transport.can_write_eof():
                self.transport.write_eof()
        self.flow.resume_reading()
        self._start(self._limits.linger_seconds, self.transport.abort)

    def _close(self) -> None:
        """Close as soon as the client has read what was sent."""
        if not self.transport.is_closing():
            self.transport.close()
            self._start(self._limits.send_seconds, self.transport.abort)

    def _start(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None


class _ResponseTransport(asyncio.Transport):
    """Sends the head of a response together with the body.

    This saves a system call, which is a good part of the cost of a short response. A response
    that comes before the end of the request is the last one of its connection, because the rest
    of the request is not read.

    cycle, connection: weak references, so that the garbage collector has nothing to do after a
    request. Both live until its end.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        cycle: RequestResponseCycle,
        connection: HttpConnection,
    ) -> None:
        self._transport = transport
        self._cycle = cycle
        self._connection = connection
        self._head: bytes | None = b""
        """The head that is held back; empty before it, None after it."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data, but hold back the head until the body follows."""
        data = bytes(data)
        if self._head:
            self._transport.write(self._head + data)
            self._head = None
        elif self._head is None or data.startswith(_CONTINUE):
            self._transport.write(data)
        else:
            cycle = self._cycle
            if cycle.more_body and cycle.keep_alive:
                cycle.keep_alive = False
                data = data.removesuffix(b"\r\n") + b"connection: close\r\n\r\n"
            if cycle.scope["method"] == "HEAD":
                # No body follows.
                self._transport.write(data)
                self._head = None
            else:
                self._head = data

    def close(self) -> None:
        """Send the head if it is held back, and close."""
        if self._head:
            self._transport.write(self._head)
        self._connection.finish()

    def is_closing(self) -> bool:
        """Return whether the transport is closed or closing."""
        return self._transport.is_closing()


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )


def _encode(response: Response, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return a whole response, after which the connection is closed."""
    fields = [*headers, *response.raw_headers, (b"connection", b"close")]
    head = b"".join(b"%b: %b\r\n" % field for field in fields)
    return STATUS_LINE[response.status_code] + head + b"\r\n" + bytes(response.body)
