"""Compares musterd with CoreDNS's etcd plugin on the same keys.

``python -m tests.etcd_records.differential.coredns --sets 200 --seed 1`` prints each intended
difference with its count and the first unexplained ones in full; it exits with 1 if there are any.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from bench.native import coredns
from bench.procs import Process
from bench.running import free_port

from musterd._core import Core
from musterd.clock import LoopClock
from musterd.etcd import EtcdClient
from tests.catalogkit import until
from tests.conformance.transport import Address, tcp_many, udp
from tests.etcd_records.differential import keys as key_sets
from tests.etcd_records.differential.intended import INTENDED, CoreDnsCase, CoreDnsView, explain
from tests.etcd_records.differential.keys import PREFIX, ZONES, KeySet
from tests.etcd_records.kit import Fed, feeding
from tests.etcdkit import running

START_SECONDS = 30.0
SHOWN = 12


@dataclass
class CoreDnsReport:
    """The outcome of a run."""

    asked: int = 0
    intended: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return counts, reasons, and the first unexplained differences."""
        lines = [f"{self.asked} questions"]
        lines += [f"{self.intended[line.id]:8} {line.id}: {line.reason}" for line in INTENDED]
        lines.append(f"{len(self.unexplained):8} unexplained")
        return "\n\n".join(["\n".join(lines), *self.unexplained[:SHOWN]])


@contextlib.contextmanager
def running_coredns(program: Path, home: Path, endpoint: str) -> Iterator[Address]:
    """Run CoreDNS with the zones of an etcd; yield its address once it answers."""
    address = ("127.0.0.1", free_port())
    zones = " ".join(ZONES)
    corefile = home / "Corefile"
    corefile.write_text(
        f".:{address[1]} {{\n bind 127.0.0.1\n etcd {zones} {{\n  path /skydns\n"
        f"  endpoint http://{endpoint}\n }}\n}}\n"
    )
    command = [str(program), "-conf", str(corefile)]
    with Process(command, home / "coredns.log", None) as process:
        question = dns.message.make_query(ZONES[0], "SOA").to_wire()
        deadline = time.monotonic() + START_SECONDS
        while udp(address, question, timeout=0.2, tries=1) is None:
            if not process.alive or time.monotonic() > deadline:
                raise RuntimeError(process.tail())
            # It refuses at once while it does not listen, so there is no event to wait for.
            time.sleep(0.05)
        yield address


@dataclass
class Both:
    """Both servers on one etcd."""

    client: EtcdClient
    fed: Fed
    core: Core
    coredns: Address
    report: CoreDnsReport = field(default_factory=CoreDnsReport)

    async def compare(self, seed: int) -> None:
        """Replace the keys by another set, and compare the answers to all questions about it."""
        keys = key_sets.generate(seed)
        await self.client.delete(PREFIX.encode(), PREFIX[:-1].encode() + b"0")
        for path in keys.values:
            await self.client.put(*keys.put(path))
        await self._settled(seed)
        asked = list(key_sets.questions(keys, seed))
        wires = [_question(*question) for question in asked]
        theirs = await tcp_many(self.coredns, wires)
        mine = [self.core.answer(wire, tcp=True) for wire in wires]
        for question, *replies in zip(asked, mine, theirs, strict=True):
            self._judge(keys, question, *replies)
        self.report.asked += len(asked)

    async def _settled(self, seed: int) -> None:
        """Wait until the name that is put last is answered."""
        last = f"{PREFIX}internal/lab/last"
        await self.client.put(last.encode(), b'{"text":"%d"}' % seed)
        question = _question("last.lab.internal", "TXT")
        await until(lambda: b"%d" % seed in (self.core.answer(question, tcp=True) or b"")[40:])
        await self.client.delete(last.encode())
        await until(lambda: view(self.core.answer(question, tcp=True) or b"").answer == frozenset())
        # Names with many services are published a little later.
        await asyncio.sleep(0.02)

    def _judge(
        self, keys: KeySet, question: tuple[str, str], mine: bytes | None, theirs: bytes | None
    ) -> None:
        if mine is None or theirs is None:
            self.report.unexplained.append(f"===== no reply to {question}")
            return
        case = CoreDnsCase(keys, *question, view(mine), view(theirs))
        fields = differences(case)
        if not fields:
            return
        used, left = explain(case, fields)
        self.report.intended.update(line.id for line in used)
        if left:
            self.report.unexplained.append(_show(case, left, mine, theirs))


def _question(name: str, rtype: str) -> bytes:
    return dns.message.make_query(name, rtype, use_edns=True, payload=4096).to_wire()


def view(wire: bytes) -> CoreDnsView:
    """Return the fields of a message that are compared."""
    message = dns.message.from_wire(wire)
    return CoreDnsView(
        dns.rcode.to_text(message.rcode()),
        _records(message.answer),
        _records(message.additional),
        tuple(sorted((dns.rdatatype.to_text(each.rdtype), each.ttl) for each in message.answer)),
    )


def _records(section: Sequence[dns.rrset.RRset]) -> frozenset[tuple[str, str, str]]:
    return frozenset(
        (rrset.name.to_text().lower(), dns.rdatatype.to_text(rrset.rdtype), rdata.to_text().lower())
        for rrset in section
        for rdata in rrset
    )


def differences(case: CoreDnsCase) -> set[str]:
    """Return the fields that differ: rcode, answer, ttl, additional.

    In the answer section only records of the requested type are compared.
    """
    mine, theirs = case.mine, case.theirs
    fields = set()
    if mine.rcode != theirs.rcode:
        fields.add("rcode")
    if mine.rdatas(case.rtype) != theirs.rdatas(case.rtype):
        fields.add("answer")
    elif _ttl(mine, case.rtype) != _ttl(theirs, case.rtype):
        fields.add("ttl")
    wanted = {record for record in theirs.additional if record[1] in {"A", "AAAA"}}
    if not wanted <= mine.additional:
        fields.add("additional")
    return fields


def _ttl(view: CoreDnsView, rtype: str) -> int | None:
    """Return the lowest TTL; CoreDNS gives an RRset several (against RFC 2181 section 5.2)."""
    return min((ttl for kind, ttl in view.ttls if kind == rtype), default=None)


def _show(case: CoreDnsCase, fields: set[str], mine: bytes, theirs: bytes) -> str:
    there = {key: case.keys.values[key] for path in case.reached for key in case.keys.at(path)}
    lines = [f"===== {', '.join(sorted(fields))} differ: {case.name} {case.rtype}"]
    lines += [f"{path}: {value}" for path, value in there.items()]
    for name, wire in (("musterd", mine), ("coredns", theirs)):
        lines += [f"--- {name}", dns.message.from_wire(wire).to_text()]
    return "\n".join(lines)


@contextlib.asynccontextmanager
async def both(program: Path) -> AsyncIterator[Both]:
    """Run an etcd and both servers."""
    with tempfile.TemporaryDirectory() as home:
        async with (
            running(Path(home) / "etcd", "etcd-3.4") as etcd,
            EtcdClient(etcd.options()) as client,
        ):
            core = Core()
            async with feeding(
                etcd.options(), core, zones=ZONES, wildcard_queries=True, clock=LoopClock
            ) as fed:
                with running_coredns(program, Path(home), etcd.endpoints[0]) as address:
                    yield Both(client, fed, core, address)
            core.close()


async def run(program: Path, sets: int, seed: int) -> CoreDnsReport:
    """Compare a number of sets of keys, starting with a seed."""
    async with both(program) as pair:
        for number in range(seed, seed + sets):
            await pair.compare(number)
        return pair.report


def main() -> int:
    """Run from the command line; return 1 if a difference is unexplained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=50, help="sets of keys (default: 50)")
    parser.add_argument("--seed", type=int, default=1, help="of the first (default: 1)")
    arguments = parser.parse_args()
    program = coredns()
    if program is None:
        sys.stdout.write("go is missing: CoreDNS can't be built\n")
        return 2
    report = asyncio.run(run(program, arguments.sets, arguments.seed))
    sys.stdout.write(report.text() + "\n")
    return 1 if report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
