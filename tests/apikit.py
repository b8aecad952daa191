"""The command line with a real server, or with one that sends given responses."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from musterd.cli import run
from tests.servers import TOML, ServerFixture

LOG_AND_ZONE = """
[[zones]]
name = "deep.lab.internal"
[log]
file = "log"
"""


@dataclass
class RunningApi:
    """A running API, and the command line configured for it."""

    url: str
    token_file: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *line: str, code: int = 0) -> str:
        """Return the output of ``musterd LINE``, which must exit with ``code``."""
        out, _ = self.both(*line, code=code)
        return out

    def fails(self, *line: str, code: int = 1) -> str:
        """Return the error output of a command that must fail."""
        out, error = self.both(*line, code=code)
        assert out == ""
        return error

    def both(self, *line: str, code: int = 0) -> tuple[str, str]:
        """Return standard output and standard error of ``musterd LINE``."""
        found = run(line)
        captured = self.capture.readouterr()
        assert found == code, captured.err
        return captured.out, captured.err

    def rows(self, *line: str) -> list[list[str]]:
        """Return the cells of the table that a command prints, without the header."""
        return [text.split() for text in self(*line).splitlines()][1:]

    def objects(self, *line: str) -> list[dict[str, object]]:
        """Return the objects that a command prints with ``--json``, one per line."""
        return [json.loads(text) for text in self(*line, "--json").splitlines()]


@contextmanager
def serving(folder: Path, tls: str = "") -> Iterator[str]:
    """Run a server in a thread while the block runs, and give the URL of its API."""
    fixture = ServerFixture(folder, TOML + LOG_AND_ZONE)
    fixture.set(("[api]\n", f"[api]\n{tls}\n"))
    with fixture.thread() as server:
        yield f"{'https' if tls else 'http'}://{server.api_address}"


TLS = b"\x16"
"""First byte of a handshake (RFC 8446 section 5.1)."""


@contextmanager
def responding(*responses: bytes) -> Iterator[str]:
    """Run a server that sends the given responses, one per connection, and give its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_respond, args=(listener, responses), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def _respond(listener: socket.socket, responses: tuple[bytes, ...]) -> None:
    for response in responses:
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(65536)
            while not request.startswith(TLS) and b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            connection.sendall(response)


def http(status: str, body: str = "", kind: str = "application/json", *more: str) -> bytes:
    """Create an HTTP response."""
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]
    return ("\r\n".join([*head, "Connection: close"]) + f"\r\n\r\n{body}").encode()


def problem(status: str, detail: str, *more: str) -> bytes:
    """Create a response with problem details."""
    body = json.dumps({"type": "about:blank", "title": status, "detail": detail})
    return http(status, body, "application/problem+json", *more)
