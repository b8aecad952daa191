"""An HTTP server: one application on one address, in the running event loop."""

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from musterd.errors import ListenError

GRACE: Final = 1
"""Seconds that a request may still take when the server stops."""
IDLE: Final = 75
"""Seconds after which an idle connection is closed."""
_CONTINUE: Final = b"HTTP/1.1 100"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of an HTTP server."""

    max_connections: int
    """Concurrent connections; further ones are answered with 503."""
    max_rejected: int = 100
    """Excess connections that are answered with 503; further ones are closed at once."""
    max_head: int = 65_536
    """Bytes of a request line with its headers."""
    head_seconds: float = 20.0
    """Seconds in which a request line and headers must arrive."""


class HttpServer:
    """Serves an application on one address."""

    def __init__(self, address: str, section: str, limits: HttpLimits) -> None:
        """Listen on ``host:port``; connections wait for ``run``. Raises ListenError.

        section: of the settings, for error messages.
        """
        self._socket = _bind(address, section, limits.max_connections)
        self._limits = limits
        self._server: _Uvicorn | None = None
        self._stopped = False
        self.address = _text(self._socket)

    def successor(self) -> Self:
        """Return a server on the same address, which takes over when this one is stopped."""
        successor = copy(self)
        successor._socket = self._socket.dup()
        return successor

    async def run(self, application: Any, tls: ssl.SSLContext | None = None) -> None:
        """Serve an ASGI application until stopped or cancelled."""
        protocol: Any = partial(_Protocol, limits=self._limits)
        config = uvicorn.Config(
            application, http=protocol, log_config=None, access_log=False, lifespan="off",
            ws="none", proxy_headers=False, server_header=False, loop="none",
            limit_concurrency=self._limits.max_connections, timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=GRACE,
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )  # fmt: skip
        self._server = _Uvicorn(config)
        self._server.should_exit = self._stopped
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self.close()

    def stop(self) -> None:
        """Let ``run`` end after the requests in progress."""
        self._stopped = True
        if self._server is not None:
            self._server.should_exit = True

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the application."""
        yield


class _Corked(asyncio.Transport):
    """A transport that sends the head of a response together with the body.

    This saves a system call, which is a good part of the cost of a short response.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data, but hold back the head until the body follows."""
        data = bytes(data)
        if self._head == b"" and not data.startswith(_CONTINUE):
            self._head = data
        elif not self._head:
            self._transport.write(data)
        else:
            self._transport.write(self._head + data)
            self._head = None

    def close(self) -> None:
        """Send the head if it is held back, and close."""
        if self._head:
            self._transport.write(self._head)
        self._transport.close()

    def is_closing(self) -> bool:
        """Return whether the transport is closed or closing."""
        return self._transport.is_closing()


class _Protocol(HttpToolsProtocol):
    """One connection, with limits on the size and time of the head of a request."""

    _head = 0
    """Bytes of a head that have arrived so far."""
    _in_body = False
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, limits: HttpLimits, **more: Any) -> None:
        super().__init__(*args, **more)
        self._limits = limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, unless there are too many connections even for a 503."""
        super().connection_made(transport)
        if len(self.connections) > (self.limit_concurrency or 0) + self._limits.max_rejected:
            transport.abort()
        else:
            self._timer = self.loop.call_later(self._limits.head_seconds, self._reject)

    def data_received(self, data: bytes) -> None:
        """Parse data, unless the head of a request is too long or too slow."""
        self._head += len(data)
        super().data_received(data)
        if self._head > self._limits.max_head:
            self._reject()
        elif self._head and not self._in_body and self._timer is None:
            self._timer = self.loop.call_later(self._limits.head_seconds, self._reject)

    def on_headers_complete(self) -> None:
        """Accept the head."""
        self._reset()
        self._in_body = True
        super().on_headers_complete()
        self.cycle.transport = _Corked(self.transport)

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body, which the application limits."""
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish the request."""
        self._head = 0
        self._in_body = False
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer when the client has disconnected."""
        self._reset()
        super().connection_lost(exc)

    def _reset(self) -> None:
        self._head = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reject(self) -> None:
        self._reset()
        if not self.transport.is_closing():
            self.send_400_response("The head of the request is too long or too slow.")


def _bind(address: str, section: str, backlog: int) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, int(port)), family=family, backlog=backlog)
        # Inherited by connections. Without it, the body of a response waits 40 ms for the
        # acknowledgement of the head.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise ListenError(
            f"can't listen on {address}: {os.strerror(error.errno or 0)}; "
            f'set [{section}] listen to another address, or to ""'
        ) from error
    return sock


def _text(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if sock.family == socket.AF_INET6 else f"{host}:{port}"
