"""Latency: answers at half of full load, with and without changes to the catalog."""

from dataclasses import asdict
from pathlib import Path
from statistics import median

from bench.child import running_child
from bench.context import Context
from bench.load import Paced, closed_loop, pace
from bench.peers import Musterd
from bench.report import Result, Table, Target
from bench.zone import questions, write_wire, write_zone

CHANGES = 1000
RECORDS = 10_000
WINDOW = 256
PEAK_SECONDS = 3.0
SUFFICIENT_MICROSECONDS = 500.0
KINDS = {"idle": 0, f"{CHANGES:,} changes/s": CHANGES}


def run(context: Context) -> Result:
    """Measure in turn without and with changes, at the same rate of queries."""
    context.present([Musterd()])
    file = write_wire(context.scratch / "queries", questions())
    zone = write_zone(context.scratch / "zone", RECORDS)
    found: dict[str, list[Paced]] = {kind: [] for kind in KINDS}
    rate = _half(context, zone, file)
    changed: list[int] = []
    for number in range(context.options.rounds):
        for kind, changes in KINDS.items():
            with running_child(zone, RECORDS, changes=changes) as child:
                got = pace(child.port, file, context.options.seconds, rate)
            if changes:
                changed.append(child.last()["changed"])
            found[kind].append(got)
            context.say(
                f"round {number + 1}/{context.options.rounds} {kind}: p50 {got.p50} µs, p99 "
                f"{got.p99} µs, p99.9 {got.p999} µs, {got.lost} lost, sender late {got.late_p99} µs"
            )
    idle, busy = (median(r.p99 for r in rounds) for rounds in found.values())
    limit = max(2 * idle, SUFFICIENT_MICROSECONDS)
    targets = [Target(f"p99 µs with {CHANGES:,} changes a second", busy, limit)]
    data = {
        "rate": rate,
        "changed": changed,
        **{k: [asdict(r) for r in v] for k, v in found.items()},
    }
    versions = {"musterd": Musterd().version()}
    return Result("latency", [_table(found, rate)], data, targets, _notes(changed), versions)


def _half(context: Context, zone: Path, file: Path) -> float:
    """Return half of the rate that the server answers in a closed loop, queries a second."""
    with running_child(zone, RECORDS) as child:
        full = closed_loop(child.port, file, PEAK_SECONDS, WINDOW).rate
    context.say(f"full load {full:,.0f}/s")
    return full / 2


def _table(found: dict[str, list[Paced]], rate: float) -> Table:
    names = ("p50", "p90", "p99", "p999", "max", "late_p99", "lost", "errors")
    rows = [
        [kind, *(f"{median(getattr(r, name) for r in rounds):,.1f}" for name in names)]
        for kind, rounds in found.items()
    ]
    columns = ["catalog", "p50", "p90", "p99", "p99.9", "max", "sender late p99", "lost", "errors"]
    return Table(f"Latency in µs at {rate:,.0f} queries/s, one CPU", columns, rows)


def _notes(changed: list[int]) -> list[str]:
    return [
        "Latency counts from when a query was due, so it includes the sender's own delay.",
        f"RRsets changed in each round: {', '.join(map(str, changed))}. The catalog, the core and "
        "its worker share one CPU.",
    ]
