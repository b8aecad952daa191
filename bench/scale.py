"""Scale: large zone files: time to the first right answer, memory, bytes per record."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.context import Context
from bench.native import ROOT
from bench.peers import Gdnsd, Knot, Musterd, Nsd, Peer
from bench.procs import run_client
from bench.report import Result, Table, Target
from bench.running import running
from bench.zone import write_zone

SMALL = 1000
SIZES = {100_000: 2.0, 500_000: 5.0}
BYTES_PER_RECORD = 300
LIMIT_SECONDS = 120.0


@dataclass(frozen=True)
class Start:
    """Seconds from exec to the right answer for the last name of the file; bytes of memory."""

    seconds: float
    memory: int


Starts = dict[str, dict[int, list[Start]]]


def run(context: Context) -> Result:
    """Start each server with each size, alone on all CPUs; then measure the core alone."""
    peers = context.present([Musterd(workers=0), Nsd(), Knot(), Gdnsd()])
    zones = {n: write_zone(context.scratch / f"zone-{n}", n) for n in (SMALL, *SIZES)}
    found: Starts = {peer.label: {n: [] for n in zones} for peer in peers}
    for number in range(context.options.rounds):
        for peer in peers:
            for size, zone in zones.items():
                start = _start(peer, zone, size)
                found[peer.label][size].append(start)
                context.say(
                    f"round {number + 1}/{context.options.rounds} {peer.label}, {size:,}: "
                    f"{start.seconds:.2f} s, {start.memory / 2**20:.0f} MiB"
                )
    tables = [_table(found)]
    targets = _targets(found)
    data: dict[str, object] = {
        name: {str(n): [asdict(s) for s in starts] for n, starts in by_size.items()}
        for name, by_size in found.items()
    }
    if "musterd" in found:
        core = {n: _core_size(zones[n]) for n in SIZES}
        data["core"] = {str(n): figures for n, figures in core.items()}
        tables.append(_core_table(core))
        targets += _core_targets(core)
    versions = {peer.label: peer.version() for peer in peers}
    return Result("scale", tables, data, targets, _notes(), versions)


def _start(peer: Peer, zone: Path, size: int) -> Start:
    with running(peer, zone, hosts=size, cpu=None) as server:
        return Start(server.ready_after, server.process.memory())


def _table(found: Starts) -> Table:
    columns = ["server"]
    for size in SIZES:
        columns += [f"{size:,}: s", "MiB", "bytes per record"]
    rows = []
    for name, by_size in found.items():
        cells = [name]
        small = median(s.memory for s in by_size[SMALL])
        for size in SIZES:
            memory = median(s.memory for s in by_size[size])
            cells += [f"{median(s.seconds for s in by_size[size]):.2f}", f"{memory / 2**20:.0f}"]
            cells.append(f"{(memory - small) / (size - SMALL):.0f}")
        rows.append(cells)
    return Table(
        "A zone file of A records: from exec to the right answer for the last", columns, rows
    )


def _targets(found: Starts) -> list[Target]:
    if "musterd" not in found:
        return []
    return [
        Target(f"s to answer from {size:,}, musterd", median(s.seconds for s in starts), limit)
        for size, limit in SIZES.items()
        for starts in [found["musterd"][size]]
    ]


def _core_size(zone: Path) -> dict[str, int]:
    """Return the figures of ``bench.coresize``, run in a process of its own."""
    argv = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "bench.coresize", str(zone)]
    figures: dict[str, int] = json.loads(run_client(argv, LIMIT_SECONDS))
    return figures


def _core_table(core: dict[int, dict[str, int]]) -> Table:
    rows = []
    for size, figures in core.items():
        each = (figures[key] / figures["records"] for key in ("bytes", "growth"))
        rows.append([f"{size:,}", *(f"{value:.0f}" for value in each)])
    columns = ["records", "bytes per record, by the core", "by growth of the process"]
    return Table("In the core alone", columns, rows)


def _core_targets(core: dict[int, dict[str, int]]) -> list[Target]:
    size, figures = max(core.items())
    worst = max(figures["bytes"], figures["growth"]) / figures["records"]
    return [Target(f"bytes per record in the core, of {size:,}", worst, BYTES_PER_RECORD)]


def _notes() -> list[str]:
    return [
        "Memory is the proportional set size of the process and its children right after the "
        f"first answer; bytes per record are above those of a server with {SMALL:,} records.",
        "Each server has all CPUs. musterd also stores the origin of each record.",
    ]
