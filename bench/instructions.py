"""Instructions: executed by the core to answer a query, counted by callgrind.

Counts do not depend on other work. A run of 2N queries minus a run of N gives N queries
without the start of the program.
"""

import re
import shutil
from pathlib import Path

from bench.context import Context
from bench.native import example
from bench.procs import BenchError, run_client
from bench.report import Result, Table, Target

QUERIES = 20_000
LIMIT_SECONDS = 300.0
ALLOWED = 1.05


def run(context: Context) -> Result:
    """Count the same queries plain and with every feature enabled."""
    if shutil.which("valgrind") is None:
        raise BenchError("valgrind is missing: install the package valgrind")
    program = example("answer")
    found: dict[str, float] = {}
    for name, more in (("plain", []), ("all features", ["--features"])):
        once, twice = (_count(context.scratch, program, n, more) for n in (QUERIES, 2 * QUERIES))
        found[name] = (twice - once) / QUERIES
        context.say(f"{name}: {found[name]:,.1f} instructions per query")
    value = found["all features"] / found["plain"]
    rows = [[name, f"{n:,.1f}", f"{n / found['plain']:.3f}"] for name, n in found.items()]
    drawn = Table("Instructions per query, in the core", ["", "instructions", "/ plain"], rows)
    targets = [Target("instructions per query, all features / plain", value, ALLOWED)]
    notes = [
        "Counted in user space, from the packet in a buffer to the answer in another, without "
        "system calls; so features add a larger fraction here than to CPU time.",
    ]
    version = run_client(["valgrind", "--version"], 20).strip()
    return Result("instructions", [drawn], found, targets, notes, {"valgrind": version})


def _count(scratch: Path, program: str, queries: int, more: list[str]) -> int:
    log = scratch / "callgrind.log"
    argv = ["valgrind", "--tool=callgrind", f"--log-file={log}"]
    argv += [f"--callgrind-out-file={scratch / 'callgrind.out'}"]
    run_client([*argv, program, "--queries", str(queries), *more], LIMIT_SECONDS)
    found = re.search(r"Collected : (\d+)", log.read_text())
    if not found:
        raise BenchError(f"callgrind reported no count: {log.read_text()[-500:]}")
    return int(found[1])
