"""Change: time from a new RRset reaching the catalog to the first answer with it, over UDP."""

from statistics import median

from bench.child import running_child
from bench.context import Context
from bench.peers import Musterd
from bench.report import Result, Table, Target
from bench.zone import write_zone

SIZES = (1_000, 500_000)
CHANGES = 2_000
SECONDS = 60.0
MAX_MICROSECONDS = 5_000.0
MAX_RATIO = 1.25

Delays = dict[int, list[dict[str, float]]]


def run(context: Context) -> Result:
    """Time CHANGES changes, one after the other, among few records and among many."""
    context.present([Musterd()])
    zones = {size: write_zone(context.scratch / f"zone-{size}", size) for size in SIZES}
    found: Delays = {size: [] for size in SIZES}
    for number in range(context.options.rounds):
        for size in SIZES:
            with running_child(zones[size], size, measure=CHANGES) as child:
                got = child.wait(SECONDS)
            found[size].append(got)
            context.say(
                f"round {number + 1}/{context.options.rounds} among {size:,}: "
                f"p50 {got['p50']:.0f} µs, p99 {got['p99']:.0f} µs, CPU {got['cpu']:.1f} µs"
            )
    data = {str(size): rounds for size, rounds in found.items()}
    versions = {"musterd": Musterd().version()}
    return Result("change", [_table(found)], data, _targets(found), _notes(), versions)


def _median(rounds: list[dict[str, float]], key: str) -> float:
    return median(got[key] for got in rounds)


def _table(found: Delays) -> Table:
    names = ("p50", "p99", "max", "cpu")
    few = found[SIZES[0]]
    rows = []
    for size, rounds in found.items():
        cells = [f"{size:,}", *(f"{_median(rounds, name):,.1f}" for name in names)]
        cells.append(f"{_median(rounds, 'p50') / _median(few, 'p50'):.2f}")
        cells.append(f"{_median(rounds, 'cpu') / _median(few, 'cpu'):.2f}")
        rows.append(cells)
    few_text = f"{SIZES[0]:,}"
    columns = ["records", "p50", "p99", "max", "CPU per change"]
    columns += [f"p50 / {few_text}", f"CPU / {few_text}"]
    return Table("From a change reaching the catalog to an answer with it, µs", columns, rows)


def _targets(found: Delays) -> list[Target]:
    few, many = (found[size] for size in SIZES)
    return [
        Target(f"p99 µs among {SIZES[1]:,}", _median(many, "p99"), MAX_MICROSECONDS),
        Target(
            f"CPU per change, among {SIZES[1]:,} / {SIZES[0]:,}",
            _median(many, "cpu") / _median(few, "cpu"),
            MAX_RATIO,
        ),
    ]


def _notes() -> list[str]:
    return [
        "CPU: the catalog's thread, in the catalog and in the core's apply. The delay includes a "
        "query and its answer over UDP.",
    ]
