"""An HTTP server: one application on one address, in the running event loop."""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any, Final, Self

import uvicorn

from musterd.server.connection import Connections, HttpConnection, HttpLimits
from musterd.server.listen_error import listen_error

GRACE: Final = 1
"""Seconds that a request may still take when the server stops."""


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
        limits = self._limits
        protocol: Any = partial(HttpConnection, limits=limits, open_connections=Connections())
        config = uvicorn.Config(
            application, interface="asgi3", http=protocol, log_config=None, access_log=False,
            lifespan="off", ws="none", proxy_headers=False, server_header=False, loop="none",
            timeout_keep_alive=limits.idle_seconds, timeout_graceful_shutdown=GRACE,
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
        code = error.errno or 0
        raise listen_error(f"{address}: {os.strerror(code)}", code, address, section) from error
    return sock


def _text(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if sock.family == socket.AF_INET6 else f"{host}:{port}"
