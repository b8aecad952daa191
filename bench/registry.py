"""Registry: writes by the API, what queries feel of them, and a start with 100,000 records."""

import json
import sys
import time
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
from bench.procs import BenchError, Process, pinned, run_client
from bench.report import Result, Table, Target
from bench.running import START_SECONDS, free_port, until_right
from bench.zone import ZONE, questions, write_wire, write_zone

CLIENTS = 50
WRITES = 5000
SEEN_MILLISECONDS = 5.0
QUERIES = 10_000
RECORDS = 100_000
FEW = 1000
START = 2.0
OCTETS_A_RECORD = 1000
IMPORT_SECONDS = 120.0
SPARE_SECONDS = 15.0
POLL_SECONDS = 0.01
MUSTERD = str(Path(sys.executable).with_name("musterd"))
SETTINGS = """
[dns]
listen = ["127.0.0.1:{dns}"]
[metrics]
listen = ""
[api]
listen = "127.0.0.1:{api}"
[state]
dir = "state"
[[zones]]
name = "{zone}"
"""


@dataclass(frozen=True)
class House:
    """The folder of a server whose registry is kept."""

    folder: Path
    dns: int
    api: int

    @contextmanager
    def serve(self) -> Iterator[Process]:
        """Run a server while the block runs."""
        settings = self.folder / "musterd.toml"
        settings.write_text(SETTINGS.format(dns=self.dns, api=self.api, zone=ZONE))
        argv = [MUSTERD, "serve", "-c", str(settings)]
        with Process(argv, self.folder / "log", None) as process:
            yield process

    @property
    def token(self) -> Path:
        """The file of its first token."""
        return self.folder / "state" / "token"

    def importing(self, zone: Path) -> None:
        """Register what a file has."""
        argv = ["env", f"MUSTERD_SERVER=http://127.0.0.1:{self.api}"]
        argv += [f"MUSTERD_TOKEN_FILE={self.token}", MUSTERD]
        run_client([*argv, "zone", "import", ZONE, str(zone)], IMPORT_SECONDS, None)


@dataclass(frozen=True)
class Start:
    """Seconds from exec to the right answer for the last record; octets in memory."""

    seconds: float
    memory: int


def run(context: Context) -> Result:
    """Rounds of writes, of queries without and with them, and of starts."""
    context.present([Musterd()])
    file = write_wire(context.scratch / "queries", questions())
    written: list[dict[str, Any]] = []
    felt: dict[str, list[Paced]] = {"no writes": [], f"{CLIENTS} writers": []}
    for number in range(context.options.rounds):
        turn = f"round {number + 1}/{context.options.rounds}"
        with _house() as house, house.serve() as process:
            _wait(house, process)
            house.importing(write_zone(context.scratch / "zone", 10_000))
            told = _write(house, context.options.seconds)
            written.append(told)
            context.say(f"{turn}: {told['rate']:,.0f} writes/s, in answers p99 {_seen(told)} ms")
            for kind, clients in zip(felt, (0, CLIENTS), strict=True):
                got = _queries(house, file, context.options.seconds, clients)
                felt[kind].append(got)
                context.say(f"{turn} {kind}: queries p50 {got.p50} µs, p99 {got.p99} µs")
    starts = _starts(context)
    data = {
        "writes": written,
        "queries": {kind: [asdict(one) for one in found] for kind, found in felt.items()},
        "starts": {str(size): [asdict(one) for one in found] for size, found in starts.items()},
    }
    tables = [_written(written), _felt(felt), _started(starts)]
    versions = {"musterd": Musterd().version()}
    return Result("registry", tables, data, _targets(written, starts), _notes(), versions)


@contextmanager
def _house() -> Iterator[House]:
    with TemporaryDirectory(prefix="bench-") as folder:
        yield House(Path(folder), free_port(), free_port())


def _wait(house: House, process: Process) -> None:
    """Wait until the API can be asked."""
    deadline = time.monotonic() + START_SECONDS
    while not house.token.exists() and process.alive and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _writers(house: House, seconds: float) -> list[str]:
    argv = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "bench.writers", "--zone", ZONE]
    argv += ["--api", str(house.api), "--dns", str(house.dns), "--token-file", str(house.token)]
    return [*argv, "--clients", str(CLIENTS), "--seconds", f"{seconds:g}"]


def _write(house: House, seconds: float) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        run_client(_writers(house, seconds), seconds + SPARE_SECONDS, None)
    )
    if told["errors"]:
        raise BenchError(f"{told['errors']} of {told['writes']} writes were refused")
    return told


def _queries(house: House, file: Path, seconds: float, clients: int) -> Paced:
    if not clients:
        return pace(house.dns, file, seconds, QUERIES)
    # What asks must not wait for what writes: there are two CPUs.
    behind = ["nice", "-n", "19", *_writers(house, seconds + 2)]
    with Popen(pinned(behind, None), stdout=PIPE) as writers:
        got = pace(house.dns, file, seconds, QUERIES)
        writers.communicate(timeout=SPARE_SECONDS)
    return got


def _starts(context: Context) -> dict[int, list[Start]]:
    found: dict[int, list[Start]] = {FEW: [], RECORDS: []}
    for size, starts in found.items():
        zone = write_zone(context.scratch / f"zone-{size}", size)
        with _house() as house:
            with house.serve() as process:
                _wait(house, process)
                house.importing(zone)
            for number in range(context.options.rounds):
                with house.serve() as process:
                    seconds = until_right(process, house.dns, size - 1) - process.started
                    starts.append(Start(seconds, process.memory()))
                context.say(
                    f"round {number + 1}/{context.options.rounds}, {size:,} records: "
                    f"{seconds:.2f} s, {starts[-1].memory / 2**20:.0f} MiB"
                )
    return found


def _seen(told: dict[str, Any]) -> float:
    """Milliseconds from an acknowledgement to an answer, the 99th percentile."""
    return round(float(told["seen"]["p99"]), 3)


def _written(written: list[dict[str, Any]]) -> Table:
    columns = ["round", "writes/s", "took p50 ms", "p99", "in answers after p50 ms", "p99", "never"]
    rows = [
        [
            str(number + 1),
            f"{told['rate']:,.0f}",
            *(f"{told[what][part]:.2f}" for what in ("took", "seen") for part in ("p50", "p99")),
            str(told["lost"]),
        ]
        for number, told in enumerate(written)
    ]
    return Table(f"{CLIENTS} clients that write as fast as they are answered", columns, rows)


def _felt(felt: dict[str, list[Paced]]) -> Table:
    names = ("p50", "p90", "p99", "p999", "late_p99", "lost", "errors")
    rows = [
        [kind, *(f"{median(getattr(one, name) for one in found):,.1f}" for name in names)]
        for kind, found in felt.items()
    ]
    columns = ["meanwhile", "p50", "p90", "p99", "p99.9", "sender late p99", "lost", "errors"]
    return Table(f"Latency in µs at {QUERIES:,} queries/s", columns, rows)


def _started(starts: dict[int, list[Start]]) -> Table:
    small = median(one.memory for one in starts[FEW])
    rows = []
    for size, found in starts.items():
        memory = median(one.memory for one in found)
        each = f"{(memory - small) / (size - FEW):.0f}" if size > FEW else ""
        seconds = f"{median(one.seconds for one in found):.2f}"
        rows.append([f"{size:,}", seconds, f"{memory / 2**20:.0f}", each])
    return Table("A start", ["records", "s to the first answer", "MiB", "octets a record"], rows)


def _targets(written: list[dict[str, Any]], starts: dict[int, list[Start]]) -> list[Target]:
    growth = median(one.memory for one in starts[RECORDS]) - median(
        one.memory for one in starts[FEW]
    )
    seconds = median(one.seconds for one in starts[RECORDS])
    return [
        Target("writes a second", median(told["rate"] for told in written), WRITES, at_least=True),
        Target("ms to be in answers, p99", median(map(_seen, written)), SEEN_MILLISECONDS),
        Target(f"s to answer from {RECORDS:,} records", seconds, START),
        Target("octets a record", growth / (RECORDS - FEW), OCTETS_A_RECORD),
    ]


def _notes() -> list[str]:
    return [
        "The server has all CPUs, and shares them with the writers and with who asks: on two CPUs "
        "all three want more than there is, so latencies with writers hold the wait for a CPU.",
        "Each write is one PUT of one record over a connection that is kept, acknowledged when it "
        "is on disk (synchronous=FULL); one in ten is then asked for until it is answered.",
    ]
