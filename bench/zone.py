"""The zone and the questions: the same for every server, generated from a seed."""

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ZONE = "bench.test"
SEED = 2026
SERVICES = 1000
MAX_ADDRESSES = 16
TTL = 300
EDNS_SIZE = 1232
TYPES = {"A": 1, "SRV": 33}
COOKIE = 10
CLIENT_COOKIE = bytes.fromhex("0123456789abcdef")


def host(number: int) -> str:
    """Return the owner name of host ``number``, without the zone."""
    return f"h{number:04d}"


def address(number: int, which: int = 0) -> str:
    """Return address ``which`` (below MAX_ADDRESSES) of host ``number``."""
    return f"10.{which << 4 | number >> 16}.{number >> 8 & 255}.{number & 255}"


def write_zone(path: Path, hosts: int = 10_000, addresses: int = 1) -> Path:
    """Write a master file with ``hosts`` names of ``addresses`` A records each, and SRV records."""
    with path.open("w") as file:
        file.write(f"$ORIGIN {ZONE}.\n$TTL {TTL}\n")
        file.write(f"@ IN SOA ns hostmaster 1 7200 1800 86400 {TTL}\n@ IN NS ns\n")
        file.write("ns IN A 127.0.0.1\n")
        for number in range(hosts):
            for which in range(addresses):
                file.write(f"{host(number)} IN A {address(number, which)}\n")
        for number in range(min(SERVICES, hosts)):
            file.write(f"{service(number)} IN SRV 0 10 8080 {host(number)}\n")
    return path


def service(number: int) -> str:
    """Return the owner name of service ``number``, without the zone."""
    return f"_http._tcp.s{number:04d}"


@dataclass(frozen=True)
class Question:
    """A name and a type to query."""

    name: str
    type: str

    def wire(self, ident: int = 0, cookie: bytes = b"") -> bytes:
        """Return the query message with EDNS (RFC 6891), and a cookie (RFC 7873) if given."""
        labels = b"".join(
            bytes([len(part)]) + part.encode() for part in self.name.rstrip(".").split(".")
        )
        option = struct.pack("!HH", COOKIE, len(cookie)) + cookie if cookie else b""
        opt = struct.pack("!BHHIH", 0, 41, EDNS_SIZE, 0, len(option)) + option
        header = struct.pack("!HHHHHH", ident, 0, 1, 0, 0, 1)
        return header + labels + struct.pack("!BHH", 0, TYPES[self.type], 1) + opt


def questions(count: int = 100_000, hosts: int = 10_000, seed: int = SEED) -> list[Question]:
    """Return ``count`` questions in random order: 80 % A, 10 % SRV, 10 % unknown names."""
    return list(_draw(random.Random(seed), count, hosts))


def _draw(chance: random.Random, count: int, hosts: int) -> Iterator[Question]:
    for _ in range(count):
        number = chance.randrange(hosts)
        kind = chance.randrange(10)
        if kind == 0:
            yield Question(f"{service(number % SERVICES)}.{ZONE}", "SRV")
        elif kind == 1:
            yield Question(f"x{number:04d}.{ZONE}", "A")
        else:
            yield Question(f"{host(number)}.{ZONE}", "A")


def write_text(path: Path, asked: Sequence[Question]) -> Path:
    """Write questions in the format of ``dnsperf``."""
    path.write_text("".join(f"{q.name} {q.type}\n" for q in asked))
    return path


def in_runs(asked: Sequence[Question], run: int = 16, seed: int = SEED) -> list[Question]:
    """Return the same questions in runs of ``run`` whose messages have equal length."""
    by_length: dict[int, list[Question]] = {}
    for question in asked:
        by_length.setdefault(len(question.name), []).append(question)
    runs = [same[i : i + run] for same in by_length.values() for i in range(0, len(same), run)]
    random.Random(seed).shuffle(runs)
    return [question for same in runs for question in same]


def write_wire(path: Path, asked: Sequence[Question], cookie: bytes = b"") -> Path:
    """Write questions as messages, each after its length, in the format of the C clients."""
    with path.open("wb") as file:
        for question in asked:
            message = question.wire(cookie=cookie)
            file.write(struct.pack("!H", len(message)) + message)
    return path
