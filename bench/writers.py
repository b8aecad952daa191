"""Clients of the API that write as fast as they can, in one process; prints figures as JSON.

Each puts records one after the other over a persistent connection. After some acknowledgements it
queries the record over UDP until it is answered.
"""

import argparse
import json
import random
import selectors
import socket
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "
CREATED = (b"HTTP/1.1 200 ", b"HTTP/1.1 201 ")
GIVE_UP = 1.0
"""Seconds after which a record that is not answered counts as lost."""


@dataclass
class Figures:
    """Measurements in nanoseconds; ``seen``: from an acknowledgement to a right answer."""

    writes: int = 0
    errors: int = 0
    took: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    lost: int = 0


class Client:
    """A connection with one write in flight."""

    def __init__(self, number: int, load: "Load") -> None:
        """Connect."""
        self.load = load
        self.number = number
        self.count = 0
        self.begun = 0
        self.received = b""
        self.address = b""
        self.owner = b""
        self.socket = socket.create_connection(("127.0.0.1", load.api))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def write(self) -> None:
        """Put the next record."""
        self.count += 1
        self.owner = b"c%d-%d" % (self.number, self.count % self.load.names)
        self.address = struct.pack("!I", 0x0A000000 | random.getrandbits(24))
        body = b'{"data":"%d.%d.%d.%d","ttl":30}' % tuple(self.address)
        head = (
            b"PUT /v1/records/%b/%b/A/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        self.begun = time.perf_counter_ns()
        self.socket.send(head % (self.load.zone, self.owner, self.load.token, len(body)) + body)

    def readable(self) -> None:
        """Receive; after a complete response, record it and write again."""
        self.received += self.socket.recv(65536)
        end = self.received.find(HEAD_END)
        if end < 0:
            return
        at = self.received.index(LENGTH) + len(LENGTH)
        length = int(self.received[at : self.received.index(b"\r", at)])
        if len(self.received) < end + len(HEAD_END) + length:
            return
        now = time.perf_counter_ns()
        figures = self.load.figures
        figures.writes += 1
        figures.took.append(now - self.begun)
        if not self.received.startswith(CREATED):
            figures.errors += 1
        elif self.load.dns and figures.writes % self.load.sample == 0:
            self.load.query(self.owner, self.address, now)
        self.received = b""
        self.write()


class Load:
    """All clients, and the socket for queries."""

    def __init__(self, given: argparse.Namespace) -> None:
        """Connect all clients."""
        self.api: int = given.api
        self.dns: int = given.dns
        self.zone: bytes = given.zone.encode()
        self.token: bytes = Path(given.token_file).read_bytes().strip()
        self.names: int = given.names
        self.sample: int = given.sample
        self.figures = Figures()
        self.selector = selectors.DefaultSelector()
        self.clients = [Client(number, self) for number in range(given.clients)]
        self._pending: dict[int, tuple[bytes, bytes, int]] = {}
        self._ident = 0
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setblocking(False)
        self._suffix = (
            b"".join(bytes([len(label)]) + label for label in self.zone.split(b".")) + b"\0\0\1\0\1"
        )

    def run(self, warm: float, seconds: float) -> dict[str, object]:
        """Write for a while; return the figures after the first ``warm`` seconds."""
        for client in self.clients:
            self.selector.register(client.socket, selectors.EVENT_READ, client.readable)
            client.write()
        if self.dns:
            self._udp.connect(("127.0.0.1", self.dns))
            self.selector.register(self._udp, selectors.EVENT_READ, self._read_answer)
        self._until(time.monotonic() + warm)
        self.figures = Figures()
        begun = time.monotonic()
        self._until(begun + seconds)
        spent = time.monotonic() - begun
        now = time.perf_counter_ns()
        # The latest queries may still be in time.
        self.figures.lost += sum(
            now - since > GIVE_UP * 1e9 for *_, since in self._pending.values()
        )
        return {
            "writes": self.figures.writes,
            "errors": self.figures.errors,
            "rate": self.figures.writes / spent,
            "took": _percentiles(self.figures.took),
            "seen": _percentiles(self.figures.seen),
            "queried": len(self.figures.seen),
            "lost": self.figures.lost,
        }

    def _until(self, end: float) -> None:
        while time.monotonic() < end:
            for key, _ in self.selector.select(0.1):
                key.data()

    def query(self, owner: bytes, address: bytes, since: int) -> None:
        """Query a record whose write was acknowledged at ``since``."""
        self._ident = (self._ident + 1) & 0xFFFF
        self._pending[self._ident] = owner, address, since
        self._send(self._ident, owner)

    def _send(self, ident: int, owner: bytes) -> None:
        head = struct.pack("!HHHHHH", ident, 0, 1, 0, 0, 0)
        self._udp.send(head + bytes([len(owner)]) + owner + self._suffix)

    def _read_answer(self) -> None:
        answer = self._udp.recv(4096)
        ident = int.from_bytes(answer[:2], "big")
        owner, address, since = self._pending.get(ident, (b"", b"", 0))
        if not owner:
            return
        took = time.perf_counter_ns() - since
        if answer.endswith(address):
            del self._pending[ident]
            self.figures.seen.append(took)
        elif took > GIVE_UP * 1e9:
            del self._pending[ident]
            self.figures.lost += 1
        else:
            self._send(ident, owner)


def _percentiles(nanoseconds: list[int]) -> dict[str, float]:
    """Return p50, p99 and maximum in milliseconds."""
    ordered = sorted(nanoseconds) or [0]
    places = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {
        name: ordered[min(int(part * len(ordered)), len(ordered) - 1)] / 1e6
        for name, part in places.items()
    }


def main() -> None:
    """Write, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--api", type=int, required=True)
    parser.add_argument("--dns", type=int, default=0)
    parser.add_argument("--zone", required=True)
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--names", type=int, default=200, help="names of each client")
    parser.add_argument("--sample", type=int, default=10, help="query after one write of so many")
    parser.add_argument("--warm", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    print(json.dumps(Load(given).run(given.warm, given.seconds)))


if __name__ == "__main__":
    main()
