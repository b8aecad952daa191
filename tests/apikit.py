"""The command line turned to a server; a real one, and one that says what a test tells it."""

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
name = "deep.muster.local"
[log]
file = "log"
"""


@dataclass
class Api:
    """A running API, and the command line turned to it."""

    url: str
    token_file: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *line: str, code: int = 0) -> str:
        """What ``musterd LINE`` prints, which must exit with ``code``."""
        out, _ = self.both(*line, code=code)
        return out

    def fails(self, *line: str, code: int = 1) -> str:
        """What a command that must fail says on standard error."""
        out, said = self.both(*line, code=code)
        assert out == ""
        return said

    def both(self, *line: str, code: int = 0) -> tuple[str, str]:
        """Standard output and error of ``musterd LINE``."""
        found = run(line)
        captured = self.capture.readouterr()
        assert found == code, captured.err
        return captured.out, captured.err

    def rows(self, *line: str) -> list[list[str]]:
        """The cells of the table that a command prints, without the names of its columns."""
        return [text.split() for text in self(*line).splitlines()][1:]

    def objects(self, *line: str) -> list[dict[str, object]]:
        """The objects that a command prints with ``--json``, one a line."""
        return [json.loads(text) for text in self(*line, "--json").splitlines()]


@contextmanager
def serving(folder: Path, tls: str = "") -> Iterator[str]:
    """Run a server in a thread while the block runs, and give the URL of its API."""
    fixture = ServerFixture(folder, TOML + LOG_AND_ZONE)
    fixture.set(("[api]\n", f"[api]\n{tls}\n"))
    with fixture.thread() as server:
        yield f"{'https' if tls else 'http'}://{server.api_address}"


TLS = b"\x16"
"""The first octet of a handshake (RFC 8446 section 5.1)."""


@contextmanager
def saying(*answers: bytes) -> Iterator[str]:
    """A server that gives these answers, octet by octet, one a connection; and its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_say, args=(listener, answers), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def _say(listener: socket.socket, answers: tuple[bytes, ...]) -> None:
    for answer in answers:
        connection, _ = listener.accept()
        with connection:
            asked = connection.recv(65536)
            while not asked.startswith(TLS) and b"\r\n\r\n" not in asked:
                asked += connection.recv(65536)
            connection.sendall(answer)


def http(status: str, body: str = "", kind: str = "application/json", *more: str) -> bytes:
    """An answer of HTTP."""
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]
    return ("\r\n".join([*head, "Connection: close"]) + f"\r\n\r\n{body}").encode()


def problem(status: str, detail: str, *more: str) -> bytes:
    """An answer of problem details."""
    body = json.dumps({"type": "about:blank", "title": status, "detail": detail})
    return http(status, body, "application/problem+json", *more)
