"""Load generators: ``dnsperf`` and the two C clients, on the other CPU than the server."""

import json
import re
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bench.native import program
from bench.procs import LOAD_CPU, BenchError, run_client
from bench.zone import Question

SPARE_SECONDS = 15.0
SAMPLE = 2000


@dataclass(frozen=True)
class Load:
    """The result of a run of ``dnsperf``: counts, and answers a second."""

    answered: int
    lost: int
    rate: float


@dataclass(frozen=True)
class Shape:
    """Options of ``dnsperf``; ``outstanding`` counts all clients together, cpu None is any."""

    mode: str = "udp"
    clients: int = 8
    outstanding: int = 200
    threads: int = 1
    cpu: int | None = LOAD_CPU


UDP = Shape()


def dnsperf(port: int, file: Path, seconds: float, shape: Shape = UDP) -> Load:
    """Query a server on 127.0.0.1 for ``seconds``.

    Raises BenchError without answers, or if one is neither NOERROR nor NXDOMAIN.
    """
    if shutil.which("dnsperf") is None:
        raise BenchError("dnsperf is missing: install the package dnsperf")
    argv = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(file), "-e"]
    argv += ["-m", shape.mode, "-l", f"{max(1, round(seconds))}", "-t", "2"]
    argv += ["-c", str(shape.clients), "-q", str(shape.outstanding), "-T", str(shape.threads)]
    return _parse(run_client(argv, seconds + SPARE_SECONDS, shape.cpu))


def _parse(text: str) -> Load:
    def number(pattern: str) -> float:
        found = re.search(pattern, text)
        return float(found[1]) if found else 0.0

    answered = int(number(r"Queries completed:\s+(\d+)"))
    codes = {code for code, _ in re.findall(r"(\w+) (\d+) \([\d.]+%\)", _codes(text))}
    if not answered or codes - {"NOERROR", "NXDOMAIN"}:
        raise BenchError(f"dnsperf: {answered} answers, response codes {sorted(codes)}")
    lost = int(number(r"Queries lost:\s+(\d+)"))
    return Load(answered, lost, number(r"Queries per second:\s+([\d.]+)"))


def _codes(text: str) -> str:
    found = re.search(r"Response codes:(.*)", text)
    return found[1] if found else ""


@dataclass(frozen=True)
class Flood:
    """The result of a run of ``flood``: counts, and its duration in seconds."""

    sent: int
    received: int
    lost: int
    seconds: float

    @property
    def rate(self) -> float:
        """Answers received a second; 0 in blind mode."""
        return self.received / self.seconds


def closed_loop(port: int, file: Path, seconds: float, window: int, clients: int = 1) -> Flood:
    """Keep ``window`` queries in flight. Raises BenchError for wrong answers."""
    done, rcodes = _flood(port, file, seconds, ["-w", str(window), "-c", str(clients)])
    if not done.received or sum(rcodes) - rcodes[0] - rcodes[3]:
        raise BenchError(f"flood: {done.received} answers, counts of rcodes {rcodes}")
    return done


def blind(port: int, file: Path, seconds: float, rate: float, clients: int = 1) -> Flood:
    """Send ``rate`` queries a second (0: as many as possible) and read no answers."""
    return _flood(port, file, seconds, ["-r", f"{rate:g}", "-c", str(clients)])[0]


def _flood(port: int, file: Path, seconds: float, more: list[str]) -> tuple[Flood, list[int]]:
    argv = [program("flood"), "-p", str(port), "-f", str(file), "-l", f"{seconds:g}", *more]
    figures = json.loads(run_client(argv, seconds + SPARE_SECONDS))
    rcodes: list[int] = figures.pop("rcodes")
    return Flood(**figures), rcodes


@dataclass(frozen=True)
class Paced:
    """Latencies of a paced run in microseconds; ``late`` is the client's own delay."""

    sent: int
    received: int
    lost: int
    errors: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    late_p99: float
    late_p999: float


def pace(port: int, file: Path, seconds: float, rate: float, *, naps: bool = False) -> Paced:
    """Send ``rate`` queries a second, independent of the answers.

    naps: sleep between queries, to leave the CPU to others; then only the counts are accurate.
    """
    argv = [program("pace"), "-p", str(port), "-f", str(file), "-l", f"{seconds:g}"]
    argv += ["-r", f"{rate:g}", *(["-n"] if naps else [])]
    cpu = None if naps else LOAD_CPU
    return Paced(**json.loads(run_client(argv, seconds + SPARE_SECONDS, cpu)))


def ask(port: int, question: Question, patience: float = 1.0, cookie: bytes = b"") -> bytes:
    """Send one query over UDP; return the answer. Raises TimeoutError, ConnectionError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(patience)
        sock.connect(("127.0.0.1", port))
        sock.send(question.wire(1, cookie))
        return sock.recv(4096)


def mean_size(
    port: int, asked: Sequence[Question], cookie: bytes = b"", sample: int = 2000
) -> float:
    """Return the mean size of an answer in bytes, over the first ``sample`` questions."""
    return fmean(len(ask(port, question, cookie=cookie)) for question in asked[:sample])
