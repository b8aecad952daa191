"""Registry: writes through the API, their effect on queries, a start with 100,000 records."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from typing import Any

from bench.context import Context
from bench.load import Paced, pace
from bench.native import ROOT
from bench.peers import Musterd
from bench.procs import BenchError, pinned, run_client
from bench.report import Result, Table, Target
from bench.running import await_answer
from bench.server import ServerFixture
from bench.zone import ZONE, questions, write_wire, write_zone

CLIENTS = 50
WRITES = 5000
SEEN_MILLISECONDS = 5.0
QUERIES = 10_000
RECORDS = 100_000
FEW = 1000
START = 2.0
BYTES_PER_RECORD = 1000
SPARE_SECONDS = 15.0


@dataclass(frozen=True)
class Start:
    """Seconds from exec to the right answer for the last record; bytes of memory."""

    seconds: float
    memory: int


def run(context: Context) -> Result:
    """Run rounds of writes, of queries without and with writes, and of starts."""
    context.present([Musterd()])
    file = write_wire(context.scratch / "queries", questions())
    written: list[dict[str, Any]] = []
    queries: dict[str, list[Paced]] = {"no writes": [], f"{CLIENTS} writers": []}
    for number in range(context.options.rounds):
        turn = f"round {number + 1}/{context.options.rounds}"
        with _server() as server, server.serve() as process:
            server.wait_for_api(process)
            server.import_zone(write_zone(context.scratch / "zone", 10_000))
            figures = _write(server, context.options.seconds)
            written.append(figures)
            context.say(
                f"{turn}: {figures['rate']:,.0f} writes/s, answered p99 {_seen(figures)} ms"
            )
            for kind, clients in zip(queries, (0, CLIENTS), strict=True):
                got = _query(server, file, context.options.seconds, clients)
                queries[kind].append(got)
                context.say(f"{turn} {kind}: queries p50 {got.p50} µs, p99 {got.p99} µs")
    starts = _starts(context)
    data = {
        "writes": written,
        "queries": {kind: [asdict(paced) for paced in found] for kind, found in queries.items()},
        "starts": {str(size): [asdict(start) for start in found] for size, found in starts.items()},
    }
    tables = [_write_table(written), _query_table(queries), _start_table(starts)]
    versions = {"musterd": Musterd().version()}
    return Result("registry", tables, data, _targets(written, starts), _notes(), versions)


@contextmanager
def _server() -> Iterator[ServerFixture]:
    with TemporaryDirectory(prefix="bench-") as folder:
        yield ServerFixture(Path(folder))


def _writers(server: ServerFixture, seconds: float) -> list[str]:
    argv = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "bench.writers", "--zone", ZONE]
    argv += ["--api", str(server.api), "--dns", str(server.dns)]
    argv += ["--token-file", str(server.token_file)]
    return [*argv, "--clients", str(CLIENTS), "--seconds", f"{seconds:g}"]


def _write(server: ServerFixture, seconds: float) -> dict[str, Any]:
    output = run_client(_writers(server, seconds), seconds + SPARE_SECONDS, None)
    figures: dict[str, Any] = json.loads(output)
    if figures["errors"]:
        raise BenchError(f"{figures['errors']} of {figures['writes']} writes were rejected")
    return figures


def _query(server: ServerFixture, file: Path, seconds: float, clients: int) -> Paced:
    if not clients:
        return pace(server.dns, file, seconds, QUERIES)
    # The load generator must not wait for the writers: there are two CPUs.
    behind = ["nice", "-n", "19", *_writers(server, seconds + 2)]
    with Popen(pinned(behind, None), stdout=PIPE) as writers:
        got = pace(server.dns, file, seconds, QUERIES)
        writers.communicate(timeout=SPARE_SECONDS)
    return got


def _starts(context: Context) -> dict[int, list[Start]]:
    found: dict[int, list[Start]] = {FEW: [], RECORDS: []}
    for size, starts in found.items():
        zone = write_zone(context.scratch / f"zone-{size}", size)
        with _server() as server:
            with server.serve() as process:
                server.wait_for_api(process)
                server.import_zone(zone)
            for number in range(context.options.rounds):
                with server.serve() as process:
                    seconds = await_answer(process, server.dns, size - 1) - process.started
                    starts.append(Start(seconds, process.memory()))
                context.say(
                    f"round {number + 1}/{context.options.rounds}, {size:,} records: "
                    f"{seconds:.2f} s, {starts[-1].memory / 2**20:.0f} MiB"
                )
    return found


def _seen(figures: dict[str, Any]) -> float:
    """Return the 99th percentile of the milliseconds from an acknowledgement to an answer."""
    return round(float(figures["seen"]["p99"]), 3)


def _write_table(written: list[dict[str, Any]]) -> Table:
    columns = ["round", "writes/s", "took p50 ms", "p99", "answered after p50 ms", "p99", "never"]
    rows = [
        [
            str(number + 1),
            f"{figures['rate']:,.0f}",
            *(f"{figures[key][part]:.2f}" for key in ("took", "seen") for part in ("p50", "p99")),
            str(figures["lost"]),
        ]
        for number, figures in enumerate(written)
    ]
    return Table(f"{CLIENTS} clients that write as fast as they can", columns, rows)


def _query_table(queries: dict[str, list[Paced]]) -> Table:
    names = ("p50", "p90", "p99", "p999", "late_p99", "lost", "errors")
    rows = [
        [kind, *(f"{median(getattr(paced, name) for paced in found):,.1f}" for name in names)]
        for kind, found in queries.items()
    ]
    columns = ["load", "p50", "p90", "p99", "p99.9", "sender late p99", "lost", "errors"]
    return Table(f"Latency in µs at {QUERIES:,} queries/s", columns, rows)


def _start_table(starts: dict[int, list[Start]]) -> Table:
    small = median(start.memory for start in starts[FEW])
    rows = []
    for size, found in starts.items():
        memory = median(start.memory for start in found)
        each = f"{(memory - small) / (size - FEW):.0f}" if size > FEW else ""
        seconds = f"{median(start.seconds for start in found):.2f}"
        rows.append([f"{size:,}", seconds, f"{memory / 2**20:.0f}", each])
    return Table("Start", ["records", "s to the first answer", "MiB", "bytes per record"], rows)


def _targets(written: list[dict[str, Any]], starts: dict[int, list[Start]]) -> list[Target]:
    few, many = (median(start.memory for start in starts[size]) for size in (FEW, RECORDS))
    growth = many - few
    seconds = median(start.seconds for start in starts[RECORDS])
    return [
        Target("writes/s", median(figures["rate"] for figures in written), WRITES, at_least=True),
        Target("p99 ms to the answer", median(map(_seen, written)), SEEN_MILLISECONDS),
        Target(f"s to answer from {RECORDS:,} records", seconds, START),
        Target("bytes per record", growth / (RECORDS - FEW), BYTES_PER_RECORD),
    ]


def _notes() -> list[str]:
    return [
        "The server shares all CPUs with the writers and the load generator; with two CPUs all "
        "three want more than there is, so latencies with writers include the wait for a CPU.",
        "Each write is a PUT of one record over a persistent connection, acknowledged when it is "
        "on disk (synchronous=FULL); one in ten is then queried until it is answered.",
    ]
