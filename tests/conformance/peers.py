"""NSD, Knot and BIND on loopback with the same zones, as plain as they can be configured.

Rate limits, cookies, DNSSEC, recursion and minimal answers are off, UDP answers end at 1232 octets,
and all say the same of themselves, so that what differs is how they read the RFCs.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.transport import Address, udp

VERSION = "conformance 1"
SERVER_ID = "ns.conformance"
UDP_SIZE = 1232
START_SECONDS = 30.0


@dataclass(frozen=True)
class ZoneText:
    """A zone as a master file: its apex (absolute, in text) and the text."""

    origin: str
    text: str


@dataclass(frozen=True)
class Kind:
    """One server we know how to start."""

    name: str
    program: str
    package: str
    configure: Callable[[Path, int, Sequence[tuple[str, str]]], tuple[str, list[str]]]


def _nsd(home: Path, port: int, zones: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    stanzas = "".join(f'zone:\n  name: "{name}"\n  zonefile: "{file}"\n' for name, file in zones)
    text = f"""server:
  ip-address: 127.0.0.1
  port: {port}
  username: ""
  chroot: ""
  zonesdir: "{home}"
  database: ""
  pidfile: "{home}/nsd.pid"
  xfrdfile: "{home}/xfrd.state"
  xfrdir: "{home}"
  zonelistfile: "{home}/zone.list"
  server-count: 1
  tcp-count: 200
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
  ipv4-edns-size: {UDP_SIZE}
  minimal-responses: no
  refuse-any: no
  answer-cookie: no
  version: "{VERSION}"
  identity: "{SERVER_ID}"
  nsid: "ascii_{SERVER_ID}"
remote-control:
  control-enable: no
{stanzas}"""
    return text, ["nsd", "-d", "-c", str(home / "nsd.conf")]


def _knot(home: Path, port: int, zones: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    stanzas = "".join(f'  - domain: "{name}"\n    file: "{file}"\n' for name, file in zones)
    text = f"""server:
  listen: 127.0.0.1@{port}
  rundir: "{home}"
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  udp-max-payload: {UDP_SIZE}
  version: "{VERSION}"
  identity: "{SERVER_ID}"
  nsid: "{SERVER_ID}"
log:
  - target: stderr
    any: warning
database:
  storage: "{home}"
control:
  listen: "{home}/knot.sock"
template:
  - id: default
    storage: "{home}"
    semantic-checks: off
    journal-content: none
    zonefile-load: whole
    zonefile-sync: -1
zone:
{stanzas}"""
    return text, ["knotd", "-c", str(home / "knot.conf")]


def _bind(home: Path, port: int, zones: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    stanzas = "".join(
        f'zone "{name}" {{ type primary; file "{file}"; }};\n' for name, file in zones
    )
    text = f"""options {{
  directory "{home}";
  managed-keys-directory "{home}";
  pid-file none;
  session-keyfile none;
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  recursion no;
  allow-query {{ any; }};
  dnssec-validation no;
  empty-zones-enable no;
  notify no;
  minimal-responses no;
  minimal-any no;
  answer-cookie no;
  edns-udp-size {UDP_SIZE};
  max-udp-size {UDP_SIZE};
  version "{VERSION}";
  server-id "{SERVER_ID}";
  check-integrity no;
  check-names primary ignore;
  check-mx ignore;
  check-mx-cname ignore;
  check-srv-cname ignore;
  check-wildcard no;
}};
controls {{ }};
{stanzas}"""
    return text, ["named", "-f", "-n", "1", "-c", str(home / "named.conf")]


NSD = Kind("nsd", "nsd", "nsd", _nsd)
KNOT = Kind("knot", "knotd", "knot", _knot)
BIND = Kind("bind", "named", "bind9", _bind)
KINDS = (NSD, KNOT, BIND)

_FILES = {"nsd": "nsd.conf", "knotd": "knot.conf", "named": "named.conf"}


def missing() -> list[str]:
    """The Debian packages of the peers that are not installed here."""
    return [kind.package for kind in KINDS if _which(kind.program) is None]


def _which(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and for TCP now."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as second:
                try:
                    second.bind(("127.0.0.1", port))
                except OSError:
                    continue
            return port


@contextlib.contextmanager
def running(kind: Kind, zones: Sequence[ZoneText], home: Path) -> Iterator[Address]:
    """Run a server on these zones; gives its address once it answers for all of them.

    Raises RuntimeError with what it logged if it ends, or does not answer in 30 seconds.
    """
    home.mkdir(parents=True, exist_ok=True)
    files = []
    for number, zone in enumerate(zones):
        (home / f"{number}.zone").write_text(zone.text)
        files.append((zone.origin, f"{number}.zone"))
    address = ("127.0.0.1", free_port())
    config, command = kind.configure(home, address[1], files)
    (home / _FILES[kind.program]).write_text(config)
    log = home / "log"
    with log.open("wb") as output:
        program = _which(kind.program) or kind.program
        process = subprocess.Popen([program, *command[1:]], stdout=output, stderr=output)
        try:
            _await_zones(process, address, zones, log)
            yield address
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _await_zones(
    process: subprocess.Popen[bytes], address: Address, zones: Sequence[ZoneText], log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    for zone in zones:
        question = _soa_question(zone.origin)
        while True:
            reply = udp(address, question, timeout=0.2, tries=1)
            if reply is not None and reply[2] & 4 and reply[3] & 15 == 0:
                break
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text()
                raise RuntimeError(f"{process.args!r}: no answer for {zone.origin}: {said}")
            # A server that is not listening yet refuses at once; there is nothing to wait on.
            time.sleep(0.05)


def _soa_question(origin: str) -> bytes:
    labels = [label.encode() for label in origin.rstrip(".").split(".") if label]
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return b"\x12\x34\0\0\0\1\0\0\0\0\0\0" + name + b"\0\6\0\1"
