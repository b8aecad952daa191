"""Latency: of answers at half of full load, while the catalog changes, and while it does not."""

from dataclasses import asdict
from pathlib import Path
from statistics import median

from bench.child import Child
from bench.context import Context
from bench.load import Paced, closed_loop, pace
from bench.peers import Musterd
from bench.report import Result, Table, Target
from bench.zone import questions, write_wire, write_zone

CHANGES = 1000
RECORDS = 10_000
WINDOW = 256
PEAK_SECONDS = 3.0
ENOUGH_MICROSECONDS = 500.0
KINDS = {"idle": 0, f"{CHANGES:,} changes/s": CHANGES}


def run(context: Context) -> Result:
    """One server in which nothing changes and one in which it does, in turn, at the same rate."""
    context.present([Musterd()])
    file = write_wire(context.scratch / "queries", questions())
    zone = write_zone(context.scratch / "zone", RECORDS)
    found: dict[str, list[Paced]] = {kind: [] for kind in KINDS}
    rate = _half(context, zone, file)
    told: list[int] = []
    for number in range(context.options.rounds):
        for kind, changes in KINDS.items():
            with Child(zone, RECORDS, changes=changes) as child:
                got = pace(child.port, file, context.options.seconds, rate)
            if changes:
                told.append(child.last()["changed"])
            found[kind].append(got)
            context.say(
                f"round {number + 1}/{context.options.rounds} {kind}: p50 {got.p50} µs, p99 "
                f"{got.p99} µs, p99.9 {got.p999} µs, {got.lost} lost, sender late {got.late_p99} µs"
            )
    idle, busy = (median(r.p99 for r in rounds) for rounds in found.values())
    limit = max(2 * idle, ENOUGH_MICROSECONDS)
    targets = [Target(f"p99 µs with {CHANGES:,} changes a second", busy, limit)]
    data = {"rate": rate, "changed": told, **{k: [asdict(r) for r in v] for k, v in found.items()}}
    versions = {"musterd": Musterd().version()}
    return Result("latency", [_table(found, rate)], data, targets, _notes(told), versions)


def _half(context: Context, zone: Path, file: Path) -> float:
    """Half of what the server answers in a closed loop, queries a second."""
    with Child(zone, RECORDS) as child:
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


def _notes(told: list[int]) -> list[str]:
    return [
        "Latency counts from when a query was due, so it holds what the sender was late too.",
        f"RRsets changed in each round: {', '.join(map(str, told))}. The catalog, the core and "
        "its worker share one CPU.",
    ]
