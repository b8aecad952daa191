"""``python -m bench.inside``: catalog and core in one process, with a source that changes.

It writes a line of JSON when it listens, and a second one with figures: of ``--measure N`` when the
changes are done, of ``--changes R`` when it is stopped.
"""

import argparse
import asyncio
import gc
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.zone import TTL, ZONE, Question, host
from musterd._core import Core, read_zone
from musterd.catalog import Catalog
from musterd.clock import LoopClock
from musterd.rr.names import name_from_text
from musterd.rr.rrset import Record
from musterd.server.tuning import NICENESS
from musterd.settings import Settings
from musterd.sources.changes import Begin, Put, PutMany, Synced

SOURCE = "bench"
CHANGING = 1000
PATIENCE = 1.0
STEP_SECONDS = 0.001
A = 1


@dataclass
class Inside:
    """A catalog with CHANGING RRsets, spread over the zone, that have keys of their own."""

    zone: Path
    records: int
    core: Core = field(default_factory=Core)
    changed: int = 0

    def __post_init__(self) -> None:
        """Connect the parts as the server does."""
        self.catalog = Catalog(self.core, LoopClock())
        step = max(1, self.records // CHANGING)
        self.numbers = range(0, self.records, step)
        self.rows: list[bytes] = []

    async def load(self) -> int:
        """Load the zone file and listen; return the port."""
        apex = name_from_text(ZONE)
        await self.catalog.reconfigure(_settings(self.zone))
        rows = read_zone(str(self.zone), apex, TTL).rrsets
        own = {name_from_text(f"{host(n)}.{ZONE}"): n for n in self.numbers}
        packed = {own[owner]: rrset for owner, rtype, rrset in rows if owner in own and rtype == A}
        self.rows = [packed[number] for number in self.numbers]
        await self.catalog.feed(SOURCE, Begin())
        rest = [row for row in rows if row[0] not in own]
        await self.catalog.feed(SOURCE, PutMany(1, time.time(), rest))
        for at, rrset in enumerate(self.rows):
            self.catalog.apply(SOURCE, self.put(at, rrset))
        await self.catalog.feed(SOURCE, Synced(1))
        del rows, rest, packed, own
        gc.collect()
        gc.freeze()
        self.core.configure()
        address = self.core.listen(["127.0.0.1:0"], 1)[0]
        # As in the server, the worker has priority.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        return int(address.rpartition(":")[2])

    def put(self, at: int, rrset: bytes) -> Put:
        """Return the source's change of RRset ``at``."""
        name = f"{host(self.numbers[at])}.{ZONE}"
        record = Record(name_from_text(name), A, rrset)
        return Put(name, 1 + self.changed, time.time(), (record,))

    def next(self) -> tuple[str, bytes, Put]:
        """Return the owner name, new and unique address, and change of the next RRset."""
        self.changed += 1
        at = self.changed % len(self.rows)
        address = struct.pack("!I", 11 << 24 | self.changed)
        name = f"{host(self.numbers[at])}.{ZONE}"
        return name, address, self.put(at, self.rows[at][:-4] + address)


def _settings(zone: Path) -> Settings:
    return Settings.model_validate(
        {
            "zones": ({"name": ZONE, "ttl": TTL, "sources": (SOURCE,)},),
            "sources": {"zonefile": ({"name": SOURCE, "zone": ZONE, "path": str(zone)},)},
        }
    )


async def keep_changing(inside: Inside, rate: int, stop: asyncio.Event) -> dict[str, float]:
    """Change ``rate`` RRsets a second, each by itself, until ``stop``."""
    start = time.monotonic()
    while not stop.is_set():
        due = int((time.monotonic() - start) * rate) - inside.changed
        for _ in range(due):
            inside.catalog.apply(SOURCE, inside.next()[2])
        await asyncio.sleep(STEP_SECONDS if rate else 0.1)
    return {"changed": inside.changed, "seconds": time.monotonic() - start}


async def measure(inside: Inside, port: int, count: int) -> dict[str, float]:
    """Time ``count`` changes from ``apply`` to an answer with the new address; microseconds."""
    delays: list[float] = []
    cpu = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", port))
        for _ in range(count):
            name, address, change = inside.next()
            query = Question(name, "A").wire(inside.changed & 0xFFFF)
            start, spent = time.perf_counter_ns(), time.thread_time_ns()
            inside.catalog.apply(SOURCE, change)
            cpu += time.thread_time_ns() - spent
            _await_answer(sock, query, address)
            delays.append((time.perf_counter_ns() - start) / 1000)
            await asyncio.sleep(0)
    delays.sort()
    return {
        "p50": delays[count // 2],
        "p99": delays[count * 99 // 100],
        "max": delays[-1],
        "cpu": cpu / 1000 / count,
    }


def _await_answer(sock: socket.socket, query: bytes, address: bytes) -> None:
    """Query until the answer has the address. Raises TimeoutError after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        sock.send(query)
        if address in sock.recv(4096):
            return
    raise TimeoutError("a change was not answered in time")


def _report(event: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


async def _main(given: argparse.Namespace) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    inside = Inside(given.zone, given.records)
    port = await inside.load()
    _report({"port": port})
    try:
        if given.measure:
            _report(await measure(inside, port, given.measure))
            await stop.wait()
        else:
            _report(await keep_changing(inside, given.changes, stop))
    finally:
        inside.core.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.inside", description=__doc__)
    parser.add_argument("--zone", type=Path, required=True, help="master file of bench.zone")
    parser.add_argument("--records", type=int, required=True, help="hosts in the file")
    parser.add_argument("--changes", type=int, default=0, help="RRsets to change a second")
    parser.add_argument(
        "--measure", type=int, default=0, help="changes to time, one after the other"
    )
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_main(_arguments()))
