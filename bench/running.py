"""Runs a server while a ``with`` block runs."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.peers import Floor, Peer
from bench.procs import SERVER_CPU, BenchError, Process
from bench.zone import MAX_ADDRESSES, ZONE, Question, address, host

START_SECONDS = 120.0
POLL_SECONDS = 0.002
POLL_PATIENCE = 0.05
NXDOMAIN = 3


@dataclass(frozen=True)
class Running:
    """A server that answers; ``ready_after``: seconds from exec to its first right answer."""

    peer: Peer
    process: Process
    port: int
    ready_after: float


@contextmanager
def running(
    peer: Peer, zone: Path, *, hosts: int = 10_000, cpu: int | None = SERVER_CPU
) -> Iterator[Running]:
    """Start a server with ``zone``, yield once it answers for the last of ``hosts``; then stop it.

    Raises BenchError with the end of its log if it does not answer within START_SECONDS.
    """
    with TemporaryDirectory(prefix="bench-") as home:
        folder = Path(home)
        port = free_port()
        argv = peer.prepare(folder, zone.resolve(), port)
        with Process(argv, folder / "log", cpu, peer.environment) as process:
            ready = await_answer(process, port, hosts - 1, any_answer=isinstance(peer, Floor))
            yield Running(peer, process, port, ready - process.started)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free for UDP and TCP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def await_answer(process: Process, port: int, last: int, *, any_answer: bool = False) -> float:
    """Query until the answers are right; return when that was, by the monotonic clock.

    Right answers are an address of the last host, and NXDOMAIN for an unknown name, which a server
    may not give while it is loading.
    """
    known = Question(f"{host(last)}.{ZONE}", "A").wire(7)
    unknown = Question(f"x0000.{ZONE}", "A").wire(8)
    addresses = [socket.inet_aton(address(last, which)) for which in range(MAX_ADDRESSES)]
    deadline = time.monotonic() + START_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(POLL_PATIENCE)
        sock.connect(("127.0.0.1", port))
        while time.monotonic() < deadline and process.alive:
            answer = _try(sock, known)
            if any_answer and answer:
                return time.monotonic()
            if any(a in answer for a in addresses) and _rcode(_try(sock, unknown)) == NXDOMAIN:
                return time.monotonic()
            time.sleep(POLL_SECONDS)
    why = "did not answer in time" if process.alive else "stopped"
    raise BenchError(f"the server {why}; its log ends:\n{process.tail()}")


def _try(sock: socket.socket, query: bytes) -> bytes:
    """Return the answer, empty if none comes within POLL_PATIENCE."""
    try:
        sock.send(query)
        while (answer := sock.recv(4096))[:2] != query[:2]:  # a late answer to an earlier query
            pass
    except OSError:  # not listening yet, or no answer
        return b""
    return answer


def _rcode(answer: bytes) -> int | None:
    """Return the response code (RFC 1035 section 4.1.1)."""
    return answer[3] & 15 if len(answer) >= 12 else None
