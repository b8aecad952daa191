"""Flood: answers under a blind load of twice what the server can serve."""

import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.context import Context
from bench.load import blind, closed_loop
from bench.peers import Floor, Knot, Musterd, Nsd, Peer
from bench.report import Result, Table, Target
from bench.running import Running, free_port, running
from bench.zone import in_runs, questions, write_wire, write_zone

STEPS = (0.9, 1.0, 1.1, 1.2, 1.4)
STEP_SECONDS = 2.0
WINDOW = 512
TIMES = 2.0
CLIENTS = 1024


@dataclass(frozen=True)
class Flooded:
    """A server in one round: rates a second; memory in bytes before and after.

    ``own`` is the rate by the server's own counter, None if it is not read here.
    """

    peak: float
    offered: float
    answered: float
    own: float | None
    before: int
    after: int

    @property
    def kept(self) -> float:
        """Fraction of the peak that was still answered."""
        return self.answered / self.peak


def run(context: Context) -> Result:
    """Find each server's peak, then flood it."""
    asked = questions()
    zone = write_zone(context.scratch / "zone")
    file = write_wire(context.scratch / "queries", in_runs(asked))
    metrics = free_port()
    peers = context.present([Floor(68), Musterd(metrics=metrics), Nsd(), Knot()])
    found: dict[str, list[Flooded]] = {peer.label: [] for peer in peers}
    for number in range(context.options.rounds):
        for peer in peers:
            with running(peer, zone) as server:
                got = _flooded(server, file, context.options.seconds)
            found[peer.label].append(got)
            context.say(
                f"round {number + 1}/{context.options.rounds} {peer.label}: peak {got.peak:,.0f}/s,"
                f" at {got.offered:,.0f}/s still {got.answered:,.0f}/s ({got.kept:.0%})"
            )
    data = {name: [asdict(r) for r in rounds] for name, rounds in found.items()}
    versions = {peer.label: peer.version() for peer in peers}
    return Result("flood", [_table(found)], data, _targets(found), _notes(), versions)


def _flooded(server: Running, file: Path, seconds: float) -> Flooded:
    before = server.process.memory()
    loop = closed_loop(server.port, file, STEP_SECONDS, WINDOW, CLIENTS).rate
    ramp = [_answered(server, file, STEP_SECONDS, loop * step)[1] for step in STEPS]
    peak = max(loop, *ramp)
    own = _own_counter(server.peer)
    first = own()
    offered, answered = _answered(server, file, seconds, peak * TIMES)
    counted = None if first is None else ((own() or 0) - first) / seconds
    return Flooded(peak, offered, answered, counted, before, server.process.memory())


def _answered(server: Running, file: Path, seconds: float, rate: float) -> tuple[float, float]:
    """Return the queries sent and the datagrams that programs read, each a second.

    The kernel counts InDatagrams when a program reads one (RFC 4113 udpInDatagrams). The flood
    reads none, so the count is of the server, which answers every datagram that it reads.
    """
    before = _in_datagrams()
    sent = blind(server.port, file, seconds, rate, CLIENTS)
    time.sleep(0.05)  # the last socket buffer belongs to this step
    return sent.sent / sent.seconds, (_in_datagrams() - before) / sent.seconds


def _in_datagrams() -> int:
    names, values = (
        line.split()[1:]
        for line in Path("/proc/net/snmp").read_text().splitlines()
        if line.startswith("Udp:")
    )
    return int(dict(zip(names, values, strict=True))["InDatagrams"])


def _own_counter(peer: Peer) -> Callable[[], float | None]:
    """Return a reader of the server's counter of answers, or of None if it has none."""
    if not isinstance(peer, Musterd) or not peer.metrics:
        return lambda: None
    url = f"http://127.0.0.1:{peer.metrics}/metrics"

    def read() -> float | None:
        with urllib.request.urlopen(url, timeout=10) as page:  # our own address
            text = page.read().decode()
        found = re.findall(r"^musterd_dns_responses_total\{[^}]*\} ([\d.e+]+)", text, re.M)
        return sum(map(float, found)) if found else None

    return read


def _table(found: dict[str, list[Flooded]]) -> Table:
    columns = ["server", "peak/s", "offered/s", "answered/s", "own count/s", "kept"]
    columns += ["MiB before", "MiB after"]
    rows = []
    for name, rounds in found.items():
        own = [r.own for r in rounds if r.own is not None]
        cells = [f"{median(getattr(r, key) for r in rounds):,.0f}" for key in _RATES]
        cells += [f"{median(own):,.0f}" if own else "", f"{median(r.kept for r in rounds):.1%}"]
        cells += [f"{median(getattr(r, k) for r in rounds) / 2**20:.1f}" for k in _MEMORY]
        rows.append([name, *cells])
    return Table(f"Blind flood at {TIMES:g} times the peak rate", columns, rows)


_RATES = ("peak", "offered", "answered")
_MEMORY = ("before", "after")


def _targets(found: dict[str, list[Flooded]]) -> list[Target]:
    rounds = found.get("musterd")
    if not rounds:
        return []
    kept = median(r.kept for r in rounds)
    growth = max(r.after - r.before for r in rounds) / 2**20
    return [
        Target("fraction of peak answered under flood, musterd", kept, 0.9, at_least=True),
        Target("memory growth under flood, MiB, musterd", growth, 16),
    ]


def _notes() -> list[str]:
    return [
        "Peak: the highest rate answered in a closed loop or in a ramp of blind rates. Answered: "
        "datagrams read by programs, as counted by the kernel; only the server reads any.",
    ]
