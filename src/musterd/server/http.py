"""An HTTP server of ours: one application on one address, in the running event loop."""

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, Final, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from musterd.errors import ListenError

GRACE: Final = 1
"""Seconds in which a request may end when the server stops."""
IDLE: Final = 75
"""Seconds after which a connection without a request is closed."""
HEAD_OCTETS: Final = 65_536
"""The most octets of a request line with its headers."""
TOLD: Final = 100
"""Connections beyond the most that are answered with 503; more are closed at once."""
_CONTINUE: Final = b"HTTP/1.1 100"
HEAD_SECONDS: Final = 20.0
"""In which they must have come, once they have begun, or the client has connected."""


class HttpServer:
    """Serves on one address."""

    def __init__(self, address: str, section: str, connections: int) -> None:
        """Listen on ``host:port``; who comes waits for ``run``. Raises ListenError.

        section: of the settings, for the words of an error; connections: at once, more are
        answered with 503.
        """
        self._socket = _bind(address, section, connections)
        self._connections = connections
        self._server: _Uvicorn | None = None
        self._stopped = False
        self.address = _text(self._socket)

    def successor(self) -> Self:
        """Return a server on the same address, which takes over when this one is stopped."""
        other = copy(self)
        other._socket = self._socket.dup()
        return other

    async def run(self, application: Any, tls: ssl.SSLContext | None = None) -> None:
        """Serve an ASGI application until stopped or cancelled."""
        config = uvicorn.Config(
            application, http=_Protocol, log_config=None, access_log=False, lifespan="off",
            ws="none", proxy_headers=False, server_header=False, loop="none",
            limit_concurrency=self._connections, timeout_keep_alive=IDLE,
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
        """Let ``run`` end, requests under way first."""
        self._stopped = True
        if self._server is not None:
            self._server.should_exit = True

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to us."""
        yield


class _Corked(asyncio.Transport):
    """A transport that sends the head of an answer together with what comes next.

    That is a system call less, which is a good part of what a short answer takes.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or keep what is the head until what follows it."""
        data = bytes(data)
        if self._head == b"" and not data.startswith(_CONTINUE):
            self._head = data
        elif not self._head:
            self._transport.write(data)
        else:
            self._transport.write(self._head + data)
            self._head = None

    def close(self) -> None:
        """Send what is kept, and close."""
        if self._head:
            self._transport.write(self._head)
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()


class _Protocol(HttpToolsProtocol):
    """One connection, with bounds on what may come before a request can be answered."""

    _head = 0
    """Octets that came since the last that were part of a body or ended a head."""
    _in_body = False
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request for a while, unless there are too many to be even told so."""
        super().connection_made(transport)
        if len(self.connections) > (self.limit_concurrency or 0) + TOLD:
            transport.abort()
        else:
            self._late = self.loop.call_later(HEAD_SECONDS, self._refuse)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless the head of a request grows too long or takes too long."""
        self._head += len(data)
        super().data_received(data)
        if self._head > HEAD_OCTETS:
            self._refuse()
        elif self._head and not self._in_body and self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._refuse)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._settle()
        self._in_body = True
        super().on_headers_complete()
        self.cycle.transport = _Corked(self.transport)

    def on_body(self, body: bytes) -> None:
        """Some of the body came, which is the application's to bound."""
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of the request came."""
        self._head = 0
        self._in_body = False
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._settle()
        super().connection_lost(exc)

    def _settle(self) -> None:
        self._head = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self) -> None:
        self._settle()
        if not self.transport.is_closing():
            self.send_400_response("The head of the request is too long, or too slow.")


def _bind(address: str, section: str, backlog: int) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.create_server((host, int(port)), family=family, backlog=backlog)
        # The head and the body of an answer go out one after the other, and connections inherit
        # this: without it the body would wait for the head's acknowledgement, 40 ms.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise ListenError(
            f"{address}: can't be listened on: {os.strerror(error.errno or 0)}; "
            f'set [{section}] listen to another address, or to ""'
        ) from error
    return found


def _text(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if sock.family == socket.AF_INET6 else f"{host}:{port}"
