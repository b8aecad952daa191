"""HTTP requests on one connection, with JSON and problem details."""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, BinaryIO, Final, Self
from urllib.parse import quote, urlencode

from musterd.client.endpoint import Endpoint
from musterd.client.problems import rejection, unreachable
from musterd.errors import MusterdError, UsageError

MAX_REPLY_BYTES: Final = 2**26
"""Maximum bytes of a reply that is read as a whole."""
MAX_LINE_BYTES: Final = 2**20
"""Maximum bytes of one line of a stream."""
CHUNK_BYTES: Final = 2**16
OK: Final = range(200, 300)
JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
TEXT: Final = "text/dns"

Query = Mapping[str, str | int | list[str] | None]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request. parts: of the path, unescaped; scope: the scope that the token needs."""

    method: str
    parts: tuple[str, ...]
    scope: str
    query: Query
    headers: Mapping[str, str]
    body: bytes | BinaryIO | None = None


class Http:
    """A connection to one server, which stays open between requests."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Create a client; the first request opens the connection."""
        self._endpoint = endpoint
        self._connection: HTTPConnection | None = None

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def json(self, request: HttpRequest) -> Any:
        """Return the JSON of a reply, None for a reply without content. Raises MusterdError."""
        body = bytearray()
        for piece in self.pieces(request, JSON):
            body += piece
            if len(body) > MAX_REPLY_BYTES:
                raise self._broken(f"the reply is longer than {MAX_REPLY_BYTES} bytes")
        return self._parsed(body) if body else None

    def lines(self, request: HttpRequest) -> Iterator[Any]:
        """Return the JSON values of a stream, one per line, as they arrive. Raises MusterdError."""
        rest = b""
        for piece in self.pieces(request, LINES):
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(self._parsed, filter(None, lines))
            if len(rest) > MAX_LINE_BYTES:
                raise self._broken(f"the list has a line of more than {MAX_LINE_BYTES} bytes")
        if rest:
            raise self._broken("the list ends in the middle of a line")

    def pieces(self, request: HttpRequest, accept: str) -> Iterator[bytes]:
        """Return the bytes of a reply, as they arrive. Raises MusterdError."""
        with self._reply(request, accept) as reply:
            while piece := self._read(reply):
                yield piece

    @contextmanager
    def _reply(self, request: HttpRequest, accept: str) -> Iterator[HTTPResponse]:
        """Send a request; close the connection if the reply is not read to its end."""
        reply = self._send(request, accept)
        try:
            if reply.status not in OK:
                headers = {name.lower(): value for name, value in reply.getheaders()}
                body = self._read(reply)
                raise rejection(self._endpoint, request.scope, reply.status, headers, body)
            yield reply
        finally:
            if not reply.isclosed():
                self.close()

    def _send(self, request: HttpRequest, accept: str) -> HTTPResponse:
        headers = {"Accept": f"{accept}, application/problem+json", **request.headers}
        if self._endpoint.token is not None:
            headers["Authorization"] = f"Bearer {self._endpoint.token.text}"
        try:
            if self._connection is None:
                self._connection = _connection(self._endpoint)
                self._connection.connect()
            # A server may answer and close before it has read a long body.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._connection.request(
                    request.method, self._target(request), request.body, headers
                )
            return self._connection.getresponse()
        except (OSError, HTTPException) as error:
            self.close()
            raise unreachable(self._endpoint, error) from error

    def _target(self, request: HttpRequest) -> str:
        path = "/".join(quote(part, safe="*@") for part in ("v1", *request.parts))
        given = {name: value for name, value in request.query.items() if value is not None}
        query = urlencode(given, doseq=True)
        return f"{self._endpoint.base}/{path}" + (f"?{query}" if query else "")

    def _read(self, reply: HTTPResponse) -> bytes:
        try:
            piece = reply.read(CHUNK_BYTES)
        except (OSError, HTTPException) as error:
            raise self._broken("closed the connection in the middle of its reply") from error
        if not piece and reply.length:
            raise self._broken("closed the connection in the middle of its reply")
        return piece

    def _parsed(self, text: bytes | bytearray) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise self._broken("the reply is not valid JSON") from error

    def _broken(self, problem: str) -> MusterdError:
        return MusterdError(
            f"{self._endpoint.url}: {problem}; musterd status shows the state of the server"
        )


def _connection(endpoint: Endpoint) -> HTTPConnection:
    if endpoint.scheme == "http":
        return HTTPConnection(endpoint.host, endpoint.port, timeout=endpoint.timeout)
    try:
        context = ssl.create_default_context(cafile=endpoint.ca)
    except OSError as error:
        no_pem = isinstance(error, ssl.SSLError)
        reason = "not a PEM certificate" if no_pem else error.strerror
        raise UsageError(f"{endpoint.file}: ca: {endpoint.ca}: {reason}") from error
    return HTTPSConnection(endpoint.host, endpoint.port, timeout=endpoint.timeout, context=context)
