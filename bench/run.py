"""``python -m bench.run [SUBJECT ...]``: run subjects, print their tables, write their results."""

import argparse
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NoReturn, cast

from rich.console import Console

from bench import machine
from bench.context import Context, Options
from bench.procs import BenchError, stop_all
from bench.report import Result, save, show

SUBJECTS = (
    "udp",
    "instructions",
    "workers",
    "tcp",
    "latency",
    "change",
    "scale",
    "flood",
    "registry",
    "etcd",
    "cluster",
)
WIDTH = 140
RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    """Run the given subjects; return 0 if all ran, 1 if one failed, 130 if interrupted."""
    given = _arguments()
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    options = Options(given.rounds, given.seconds, tuple(given.only.split()))
    description = machine.describe()
    if machine.busy():
        console.print(
            f"load average {description['load_average']}: other work on this machine makes the "
            "figures unreliable",
            style="yellow",
        )
    try:
        failed = [
            name
            for name in given.subjects
            if not _measure(name, options, description, console, given)
        ]
    except KeyboardInterrupt:
        console.print("interrupted", style="red")
        return 130
    finally:
        stop_all()
    if failed:
        console.print(f"not measured: {', '.join(failed)}", style="red")
    return bool(failed)


def _measure(
    name: str,
    options: Options,
    description: dict[str, str | int | float],
    console: Console,
    given: argparse.Namespace,
) -> bool:
    console.rule(name)
    run = cast("Callable[[Context], Result]", import_module(f"bench.{name}").run)
    with TemporaryDirectory(prefix="bench-") as scratch:
        try:
            result = run(Context(options, Path(scratch), console))
        except (BenchError, OSError) as error:
            console.print(f"{name}: {error}", style="red", markup=False)
            return False
    show(result, console)
    if not given.dry:
        page = save(result, description, options.as_dict(), RESULTS)
        console.print(f"written to bench/results/{page.name} and .json", style="dim")
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []], default=list(SUBJECTS))
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="duration of each measurement (5)"
    )
    parser.add_argument("--only", default="", help='servers to measure, for example "floor nsd"')
    parser.add_argument("--dry", action="store_true", help="write no results")
    given = parser.parse_args()
    if not (1 <= given.rounds <= 100 and 1 <= given.seconds <= 120):
        parser.error("--rounds must be 1 to 100, --seconds 1 to 120")
    return given


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
