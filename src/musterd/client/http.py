"""Requests and answers: one connection, JSON, problem details."""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, BinaryIO, Final, Self
from urllib.parse import quote, urlencode

from musterd.client.endpoint import Endpoint
from musterd.client.problems import refused, unreachable
from musterd.errors import MusterdError, UsageError

SILENCE: Final = 60.0
"""Seconds without a byte until a server is given up."""
REPLY_OCTETS: Final = 2**26
"""The most of one reply that is read at once."""
LINE_OCTETS: Final = 2**20
"""The longest line of a stream."""
PIECE: Final = 2**16
OK: Final = range(200, 300)
JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
TEXT: Final = "text/dns"

Query = Mapping[str, str | int | list[str] | None]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request. parts: of the path, not yet escaped; scope: what it needs of the token."""

    method: str
    parts: tuple[str, ...]
    scope: str
    query: Query
    headers: Mapping[str, str]
    body: bytes | BinaryIO | None = None


class Http:
    """A connection to one server, kept open from one request to the next."""

    def __init__(self, place: Endpoint) -> None:
        """To the server of ``place``; nothing is opened yet."""
        self._place = place
        self._connection: HTTPConnection | None = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def json(self, ask: Ask) -> Any:
        """What a request gives; none for an answer without content. Raises MusterdError."""
        body = bytearray()
        for piece in self.pieces(ask, JSON):
            body += piece
            if len(body) > REPLY_OCTETS:
                raise self._broken(f"its answer is longer than {REPLY_OCTETS} octets")
        return self._parsed(body) if body else None

    def lines(self, ask: Ask) -> Iterator[Any]:
        """The JSON values of a stream, one a line, as they come. Raises MusterdError."""
        rest = b""
        for piece in self.pieces(ask, LINES):
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(self._parsed, filter(None, lines))
            if len(rest) > LINE_OCTETS:
                raise self._broken(f"its list has a line of more than {LINE_OCTETS} octets")
        if rest:
            raise self._broken("its list ends in the middle of a line")

    def pieces(self, ask: Ask, accept: str) -> Iterator[bytes]:
        """The octets of an answer, as they come. Raises MusterdError."""
        with self._reply(ask, accept) as reply:
            while piece := self._read(reply):
                yield piece

    @contextmanager
    def _reply(self, ask: Ask, accept: str) -> Iterator[HTTPResponse]:
        """The answer of a success; what is not read of it when the block ends is given up."""
        reply = self._send(ask, accept)
        try:
            if reply.status not in OK:
                headers = {name.lower(): value for name, value in reply.getheaders()}
                body = self._read(reply)
                raise refused(self._place, ask.scope, reply.status, headers, body)
            yield reply
        finally:
            if not reply.isclosed():
                self.close()

    def _send(self, ask: Ask, accept: str) -> HTTPResponse:
        headers = {"Accept": f"{accept}, application/problem+json", **ask.headers}
        if self._place.token is not None:
            headers["Authorization"] = f"Bearer {self._place.token.text}"
        try:
            if self._connection is None:
                self._connection = _connection(self._place)
                self._connection.connect()
            # A server may answer, and go, before it has read all of a long body.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._connection.request(ask.method, self._target(ask), ask.body, headers)
            return self._connection.getresponse()
        except (OSError, HTTPException) as error:
            self.close()
            raise unreachable(self._place, error) from error

    def _target(self, ask: Ask) -> str:
        path = "/".join(quote(part, safe="*@") for part in ("v1", *ask.parts))
        given = {name: value for name, value in ask.query.items() if value is not None}
        query = urlencode(given, doseq=True)
        return f"{self._place.base}/{path}" + (f"?{query}" if query else "")

    def _read(self, reply: HTTPResponse) -> bytes:
        try:
            piece = reply.read(PIECE)
        except (OSError, HTTPException) as error:
            raise self._broken("closed the connection in the middle of its answer") from error
        if not piece and reply.length:
            raise self._broken("closed the connection in the middle of its answer")
        return piece

    def _parsed(self, text: bytes | bytearray) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise self._broken("its answer is no JSON") from error

    def _broken(self, what: str) -> MusterdError:
        return MusterdError(f"{self._place.url}: {what}; musterd status shows how the server is")


def _connection(place: Endpoint) -> HTTPConnection:
    if place.scheme == "http":
        return HTTPConnection(place.host, place.port, timeout=SILENCE)
    try:
        context = ssl.create_default_context(cafile=place.ca)
    except OSError as error:
        no_pem = isinstance(error, ssl.SSLError)
        reason = "holds no certificate in PEM" if no_pem else error.strerror
        raise UsageError(f"{place.file}: ca: {place.ca}: {reason}") from error
    return HTTPSConnection(place.host, place.port, timeout=SILENCE, context=context)
