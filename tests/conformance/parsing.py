"""Sends many seeded messages to musterd in this process, and checks each reply.

``python -m tests.conformance.parsing --count 1000000 --seed 1`` prints the failures; it exits with
1 if there are any.
"""

import argparse
import multiprocessing
import os
import random
import sys
from collections import Counter
from dataclasses import dataclass, field

import dns.name

from tests.conformance import zones
from tests.conformance.messages import Messages
from tests.conformance.properties import Checker
from tests.conformance.questions import Asker
from tests.dnskit import load, new_core

CHUNK = 10_000
"""Messages per seed; the seed is enough to reproduce a failure."""
SHOWN = 20


@dataclass
class ParsingReport:
    """Counts of replies, and failures with their message in hexadecimal."""

    rcodes: Counter[int] = field(default_factory=Counter)
    """Replies by response code; -1 is silence."""
    failures: list[str] = field(default_factory=list)

    def add(self, other: "ParsingReport") -> None:
        """Add the report of another process."""
        self.rcodes.update(other.rcodes)
        self.failures.extend(other.failures)

    def text(self) -> str:
        """Return the counts and the first failures."""
        total = sum(self.rcodes.values())
        head = f"{total} messages, replies by rcode {dict(sorted(self.rcodes.items()))}"
        return "\n".join([head, f"{len(self.failures)} failures", *self.failures[:SHOWN]])


def check(seed: int, count: int) -> ParsingReport:
    """Check a number of messages of a seed, about the zones of that seed."""
    family = zones.family(seed)
    core = new_core()
    for zone in family:
        load(core, zone.text, zone.origin)
    rng = random.Random(seed)
    asker = Asker(family, rng)
    apexes = frozenset(dns.name.from_text(zone.origin).to_digestable() for zone in family)
    checker = Checker(lambda wire: core.answer(wire, "127.0.0.1", True), apexes)
    report = ParsingReport()
    for wire, tcp in Messages(asker, rng).messages(count):
        reply = core.answer(wire, "127.0.0.1", tcp)
        report.rcodes[-1 if reply is None else reply[3] & 15] += 1
        if wrong := checker.check(wire, tcp=tcp, reply=reply):
            transport = "TCP" if tcp else "UDP"
            report.failures.append(
                f"seed {seed}: {'; '.join(wrong)}\n  {transport} {wire.hex()}"
                f"\n  reply {'none' if reply is None else reply.hex()}"
            )
    return report


def run(count: int, seed: int, processes: int) -> ParsingReport:
    """Check messages in several processes, a seed per chunk."""
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    jobs = [(seed + number, size) for number, size in enumerate(sizes)]
    report = ParsingReport()
    # fork is unsafe, as a core may have threads.
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=10) as pool:
        for part in pool.starmap(check, jobs, chunksize=1):
            report.add(part)
    return report


def main() -> int:
    """Run from the command line; return 1 if a check failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="messages (default: 20000)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    report = run(arguments.count, arguments.seed, arguments.processes)
    sys.stdout.write(report.text() + "\n")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
