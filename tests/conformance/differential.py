"""Compares musterd with NSD, Knot and BIND: the same zones, the same questions.

``python -m tests.conformance.differential --count 100000 --seed 1`` prints each intended difference
with its count and the first unexplained ones in full; it exits with 1 if there are any.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import dns.exception
import dns.message
import dns.name
import dns.zone
from dns.rdatatype import AAAA, A

from tests.conformance import compare, peers, zones
from tests.conformance.compare import Record, Records, View
from tests.conformance.intended import INTENDED, PeerCase, explain
from tests.conformance.peers import ZoneText
from tests.conformance.questions import Asker, Question
from tests.conformance.transport import Address, parse_address, tcp_many, udp_many
from tests.dnskit import listening, load, new_core

SLICE = 2000
"""Questions asked and compared at once; bounds memory."""
SHOWN = 20
MINE = "musterd"

Wires = Mapping[str, bytes | None]


@dataclasses.dataclass
class Report:
    """The outcome of a run."""

    asked: int = 0
    truncated: int = 0
    intended: Counter[str] = dataclasses.field(default_factory=Counter)
    fields: Counter[str] = dataclasses.field(default_factory=Counter)
    unexplained: list[str] = dataclasses.field(default_factory=list)

    def text(self) -> str:
        """Return counts, reasons, and the first unexplained differences."""
        lines = [f"{self.asked} questions, {self.truncated} truncated somewhere"]
        lines += [f"{self.intended[line.id]:8} {line.id}: {line.reason}" for line in INTENDED]
        lines.append(f"{len(self.unexplained):8} unexplained {dict(self.fields)}")
        return "\n\n".join(["\n".join(lines), *self.unexplained[:SHOWN]])


@contextlib.contextmanager
def servers(family: Sequence[ZoneText]) -> Iterator[dict[str, Address]]:
    """Run all four servers with these zones, musterd in this process."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        addresses = {
            server.name: stack.enter_context(peers.running(server, family, home / server.name))
            for server in peers.OPTIONS
        }
        core = new_core(
            cookies=False, version=peers.VERSION, server_id=peers.SERVER_ID, udp_size=peers.UDP_SIZE
        )
        for zone in family:
            load(core, zone.text, zone.origin)
        bound = stack.enter_context(listening(core))
        yield {MINE: parse_address(bound[0]), **addresses}


async def _ask(address: Address, questions: Sequence[Question]) -> list[bytes | None]:
    """Ask each question over its transport; return the replies in the same order."""
    replies: list[bytes | None] = [None] * len(questions)
    for tcp, many in ((False, udp_many), (True, tcp_many)):
        chosen = [index for index, question in enumerate(questions) if question.tcp == tcp]
        wires = await many(address, [questions[index].wire() for index in chosen])
        for index, wire in zip(chosen, wires, strict=True):
            replies[index] = wire
    return replies


async def _ask_all(
    addresses: Mapping[str, Address], questions: Sequence[Question]
) -> list[dict[str, bytes | None]]:
    """Return each question's replies by server name."""
    columns = await asyncio.gather(*(_ask(address, questions) for address in addresses.values()))
    return [dict(zip(addresses, row, strict=True)) for row in zip(*columns, strict=True)]


def addresses(family: Sequence[ZoneText]) -> Records:
    """Return every A and AAAA record of the zones."""
    found: set[Record] = set()
    for text in family:
        zone = dns.zone.from_text(text.text, text.origin, relativize=False, check_origin=False)
        for name, node in zone.nodes.items():
            owner = name.to_digestable()
            for rdataset in node.rdatasets:
                if rdataset.rdtype in {A, AAAA}:
                    ttl, rtype = rdataset.ttl, int(rdataset.rdtype)
                    found |= {(owner, rtype, ttl, rdata.to_digestable()) for rdata in rdataset}
    return frozenset(found)


class Judge:
    """Compares replies and maintains the report."""

    def __init__(self, family: Sequence[ZoneText]) -> None:
        self.report = Report()
        self._apexes = frozenset(dns.name.from_text(zone.origin).to_digestable() for zone in family)
        self._addresses = addresses(family)

    async def judge(self, addresses: Mapping[str, Address], questions: Sequence[Question]) -> None:
        """Ask and compare; repeat over TCP if a server truncated, as a client would."""
        rows = await _ask_all(addresses, questions)
        views = [self._views(row) for row in rows]
        truncated = [
            index
            for index, row in enumerate(views)
            if any(view is not None and view.tc for view in row.values())
        ]
        again = [dataclasses.replace(questions[index], tcp=True) for index in truncated]
        full_rows = dict(zip(truncated, await _ask_all(addresses, again), strict=True))
        for index, question in enumerate(questions):
            if index not in full_rows:
                self._compare(question, rows[index], views[index])
                continue
            full = self._views(full_rows[index])
            self._compare(dataclasses.replace(question, tcp=True), full_rows[index], full)
            self._compare_truncated(question, rows[index], views[index], full[MINE])
        self.report.asked += len(questions)
        self.report.truncated += len(truncated)

    def _views(self, row: Wires) -> dict[str, View | None]:
        return {name: compare.view(wire, self._apexes) for name, wire in row.items()}

    def _compare(self, question: Question, row: Wires, views: dict[str, View | None]) -> None:
        mine, others = views[MINE], {name: views[name] for name in views if name != MINE}
        fields = compare.differences(mine, others, question.limit)
        self._record(question, row, mine, others, fields)

    def _compare_truncated(
        self, question: Question, row: Wires, views: dict[str, View | None], full: View | None
    ) -> None:
        mine, others = views[MINE], {name: views[name] for name in views if name != MINE}
        fields = compare.truncated_differences(mine, others, full, question.limit)
        self._record(question, row, mine, others, fields)

    def _record(
        self,
        question: Question,
        row: Wires,
        mine: View | None,
        others: Mapping[str, View | None],
        fields: list[str],
    ) -> None:
        if not fields:
            return
        if mine is not None:
            case = PeerCase(question, mine, others, self._apexes, self._addresses)
            used, fields = explain(case, fields)
            self.report.intended.update(line.id for line in used)
        if fields:
            self.report.fields.update(fields)
            self.report.unexplained.append(_show(question, row, fields))


def _show(question: Question, row: Wires, fields: list[str]) -> str:
    lines = [f"===== {', '.join(fields)} differ: {question}"]
    for name, wire in row.items():
        lines.append(f"--- {name}: {'no reply' if wire is None else f'{len(wire)} bytes'}")
        if wire is None:
            continue
        try:
            lines.append(dns.message.from_wire(wire).to_text())
        except (dns.exception.DNSException, ValueError) as error:
            lines.append(f"unreadable, {error!r}: {wire.hex()}")
    return "\n".join(lines)


def run(count: int, seed: int) -> Report:
    """Compare the answers to a number of questions about the zones of a seed."""
    family = zones.family(seed)
    questions = Asker(family, random.Random(seed)).questions(count)
    judge = Judge(family)
    with servers(family) as addresses:
        while chunk := list(islice(questions, SLICE)):
            asyncio.run(judge.judge(addresses, chunk))
    return judge.report


def main() -> int:
    """Run from the command line; return 1 if a difference is unexplained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="questions (default: 5000)")
    parser.add_argument("--seed", type=int, default=1, help="of zones and questions (default: 1)")
    arguments = parser.parse_args()
    report = run(arguments.count, arguments.seed)
    sys.stdout.write(report.text() + "\n")
    return 1 if report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
