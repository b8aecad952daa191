"""NSD, Knot and BIND with the same zones, configured to be comparable.

Cookies and minimal answers are off, UDP answers have at most 1232 bytes, and all report the same
version and id, so that the remaining differences show how they read the RFCs.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.nameservers import BIND, KNOT, NSD, NameServer
from bench.procs import Process
from bench.running import free_port

from tests.conformance.transport import Address, udp

VERSION = "conformance 1"
SERVER_ID = "ns.conformance"
UDP_SIZE = 1232
START_SECONDS = 30.0
OPTIONS: dict[NameServer, dict[str, str | int]] = {
    NSD: {
        "chroot": '""',
        "tcp-count": 200,
        "ipv4-edns-size": UDP_SIZE,
        "minimal-responses": "no",
        "refuse-any": "no",
        "answer-cookie": "no",
        "version": f'"{VERSION}"',
        "identity": f'"{SERVER_ID}"',
        "nsid": f'"ascii_{SERVER_ID}"',
    },
    KNOT: {
        "udp-max-payload": UDP_SIZE,
        "version": f'"{VERSION}"',
        "identity": f'"{SERVER_ID}"',
        "nsid": f'"{SERVER_ID}"',
    },
    BIND: {
        "allow-query": "{ any; }",
        "minimal-responses": "no",
        "minimal-any": "no",
        "answer-cookie": "no",
        "edns-udp-size": UDP_SIZE,
        "max-udp-size": UDP_SIZE,
        "version": f'"{VERSION}"',
        "server-id": f'"{SERVER_ID}"',
        "check-integrity": "no",
        "check-names": "primary ignore",
        "check-mx": "ignore",
        "check-mx-cname": "ignore",
        "check-srv-cname": "ignore",
        "check-wildcard": "no",
    },
}


@dataclass(frozen=True)
class ZoneText:
    """A zone as a zone file: its apex (absolute, in text) and the text."""

    origin: str
    text: str


@contextlib.contextmanager
def running(server: NameServer, zones: Sequence[ZoneText], home: Path) -> Iterator[Address]:
    """Run a server with these zones; yield its address once it answers for all of them.

    Raises RuntimeError with its log if it exits or does not answer within 30 seconds.
    """
    home.mkdir(parents=True, exist_ok=True)
    files = []
    for number, zone in enumerate(zones):
        file = home / f"{number}.zone"
        file.write_text(zone.text)
        files.append((zone.origin, file))
    address = ("127.0.0.1", free_port())
    command = server.command(home, address[1], files, OPTIONS[server])
    with Process(command, home / "log", None) as process:
        _await_zones(process, address, zones)
        yield address


def _await_zones(process: Process, address: Address, zones: Sequence[ZoneText]) -> None:
    deadline = time.monotonic() + START_SECONDS
    for zone in zones:
        question = _soa_question(zone.origin)
        while True:
            reply = udp(address, question, timeout=0.2, tries=1)
            if reply is not None and reply[2] & 4 and reply[3] & 15 == 0:
                break
            if not process.alive or time.monotonic() > deadline:
                raise RuntimeError(f"no answer for {zone.origin}; log:\n{process.tail()}")
            # A server that does not listen yet refuses at once, so there is no event to wait for.
            time.sleep(0.05)


def _soa_question(origin: str) -> bytes:
    labels = [label.encode() for label in origin.rstrip(".").split(".") if label]
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return b"\x12\x34\0\0\0\1\0\0\0\0\0\0" + name + b"\0\6\0\1"
