"""Cluster: time from a write to one of three servers on three etcds to the answers of all.

Nothing is pinned: three etcds, three servers, the writer and the load generator share all CPUs.
"""

import http.client
import json
import shutil
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from select import select
from statistics import median

from bench.context import Context
from bench.load import Paced, pace
from bench.peers import Musterd
from bench.procs import BenchError, Process
from bench.report import Result, Table, Target
from bench.running import free_port
from bench.server import ServerFixture
from bench.zone import ZONE, Question, questions, write_wire, write_zone
from musterd.registry.tokens import new_text

MEMBERS = 3
SERVERS = 3
RECORDS = 10_000
QUERIES = 50_000
LOADS = {"none": 0, f"{QUERIES:,} queries/s": QUERIES}
PAUSE = 0.02
"""Seconds between two writes."""
AGAIN = 0.0003
"""Seconds until a server whose answer lacks a write is asked again."""
GIVE_UP = 2.0
"""Seconds after which a write counts as never answered."""
ALL_MILLISECONDS = 20.0

OPT = b"\0\0\x29\x04\xd0" + bytes(6)
"""The end of an answer after its last address: EDNS with 1232 bytes."""
LEAD = 1.0
"""Seconds that the load starts before and ends after the writes."""


@dataclass
class Times:
    """Milliseconds from sending each write."""

    floor: list[float] = field(default_factory=list)
    """To the acknowledgement of a put to etcd itself."""
    acknowledged: list[float] = field(default_factory=list)
    one: list[float] = field(default_factory=list)
    """To the first answer of the server that was written to."""
    all: list[float] = field(default_factory=list)
    """To the first answers of all servers."""
    never: int = 0


def run(context: Context) -> Result:
    """Run rounds of writes, without and with load, on one cluster."""
    context.present([Musterd()])
    file = write_wire(context.scratch / "queries", questions())
    times: dict[str, list[Times]] = {load: [] for load in LOADS}
    queries: list[Paced] = []
    numbers = count()
    with _cluster(context.scratch) as (etcd, servers):
        servers[0].import_zone(write_zone(context.scratch / "zone", RECORDS))
        for number in range(context.options.rounds):
            for load, rate in LOADS.items():
                with _queried(servers[0], file, rate, context.options.seconds, queries):
                    got = _write(etcd, servers, context.options.seconds, numbers)
                times[load].append(got)
                context.say(
                    f"round {number + 1}/{context.options.rounds}, load {load}: "
                    f"one server p99 {_percentile(got.one, 0.99):.2f} ms, "
                    f"all {_percentile(got.all, 0.99):.2f} ms"
                )
    data = {load: [asdict(each) for each in found] for load, found in times.items()}
    versions = {"musterd": Musterd().version(), "etcd": _version()}
    tables = [_table(times), _query_table(queries)]
    whole = {**data, "queries": [asdict(paced) for paced in queries]}
    return Result("cluster", tables, whole, _targets(times), _notes(), versions)


@contextmanager
def _cluster(folder: Path) -> Iterator[tuple[int, list[ServerFixture]]]:
    """Run the cluster while the block runs; yield the client port of an etcd, and the servers."""
    with ExitStack() as stack:
        clients = _etcds(folder, stack)
        store = "etcd://" + ",".join(f"127.0.0.1:{client}" for client in clients)
        token = new_text()
        servers = [ServerFixture(folder / f"server-{n}", store, token) for n in range(SERVERS)]
        for server in servers:
            process = stack.enter_context(server.serve())
            server.wait_for_api(process)
        yield clients[0], servers


def _etcds(folder: Path, stack: ExitStack) -> list[int]:
    """Start the members; return their client ports."""
    program = shutil.which("etcd")
    if program is None:
        raise BenchError("etcd is missing: install the package etcd-server")
    peers = [free_port() for _ in range(MEMBERS)]
    clients = [free_port() for _ in range(MEMBERS)]
    cluster = ",".join(f"m{n}=http://127.0.0.1:{peer}" for n, peer in enumerate(peers))
    for number, (client, peer) in enumerate(zip(clients, peers, strict=True)):
        argv = [program, "--name", f"m{number}", "--data-dir", str(folder / f"etcd-{number}")]
        argv += ["--initial-cluster", cluster]
        for kind, port in (("client", client), ("peer", peer)):
            url = f"http://127.0.0.1:{port}"
            first = "--initial-advertise-peer-urls" if kind == "peer" else "--advertise-client-urls"
            argv += [f"--listen-{kind}-urls", url, first, url]
        stack.enter_context(Process(argv, folder / f"etcd-{number}.log", None))
    return clients


@contextmanager
def _queried(
    server: ServerFixture, file: Path, rate: int, seconds: float, queries: list[Paced]
) -> Iterator[None]:
    """Send queries at a rate while the block runs; append the result to ``queries``."""
    if not rate:
        yield
        return
    with ThreadPoolExecutor(1) as thread:
        paced = thread.submit(pace, server.dns, file, seconds + 2 * LEAD, rate, naps=True)
        time.sleep(LEAD)
        yield
        queries.append(paced.result())


class _Writer:
    """Writes through the API of the first server, and queries all until they answer with it."""

    def __init__(self, etcd: int, servers: Sequence[ServerFixture], stack: ExitStack) -> None:
        self._etcd = stack.enter_context(closing(_connected(etcd)[0]))
        self._api, self._http = _connected(servers[0].api)
        stack.enter_context(closing(self._api))
        self._headers = {
            "Authorization": f"Bearer {servers[0].token}",
            "Content-Type": "application/json",
        }
        self._sockets: list[socket.socket] = []
        for server in servers:
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.connect(("127.0.0.1", server.dns))
            self._sockets.append(sock)

    def put(self, value: str, times: Times) -> None:
        """Put a key to etcd itself, through its JSON gateway."""
        began = time.perf_counter()
        key, encoded = (b64encode(text.encode()).decode() for text in ("bench", value))
        self._etcd.request("POST", "/v3/kv/put", json.dumps({"key": key, "value": encoded}))
        self._etcd.getresponse().read()
        times.floor.append((time.perf_counter() - began) * 1000)

    def write(self, name: str, address: str, times: Times) -> None:
        """Put a record, and measure how long it takes until each server answers with it."""
        began = time.perf_counter()
        body = json.dumps({"data": address, "ttl": 30})
        self._api.request("PUT", f"/v1/records/{ZONE}/{name}/A/x", body, self._headers)
        seen = self._follow(Question(f"{name}.{ZONE}", "A").wire(9), socket.inet_aton(address))
        if seen is None:
            times.never += 1
            return
        acknowledged, first, *others = [(at - began) * 1000 for at in seen]
        times.acknowledged.append(acknowledged)
        times.one.append(first)
        times.all.append(max(first, *others))

    def _follow(self, query: bytes, wanted: bytes) -> list[float] | None:
        """Return when the write was acknowledged and when each server first answered with it."""
        waiting = [self._http, *self._sockets]
        seen = dict.fromkeys(waiting, 0.0)
        due = dict.fromkeys(self._sockets, 0.0)
        end = time.perf_counter() + GIVE_UP
        while waiting and (now := time.perf_counter()) < end:
            for sock in [sock for sock, at in due.items() if at <= now]:
                sock.send(query)
                due[sock] = now + GIVE_UP
            for sock in select(waiting, (), (), AGAIN)[0]:
                now = time.perf_counter()
                if sock is self._http or sock.recv(4096).endswith(wanted + OPT):
                    seen[sock] = now
                    waiting.remove(sock)
                    due.pop(sock, None)
                else:
                    due[sock] = now + AGAIN
        answer = self._api.getresponse()
        answer.read()
        if answer.status not in {http.client.OK, http.client.CREATED}:
            raise BenchError(f"write rejected: {answer.status}")
        return None if waiting else list(seen.values())


def _connected(port: int) -> tuple[http.client.HTTPConnection, socket.socket]:
    """Return a persistent connection and its socket."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GIVE_UP)
    connection.sock = socket.create_connection(("127.0.0.1", port), GIVE_UP)
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection, connection.sock


def _write(
    etcd: int, servers: Sequence[ServerFixture], seconds: float, numbers: Iterator[int]
) -> Times:
    """Write one record after the other, each with a new address."""
    times = Times()
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        writer = _Writer(etcd, servers, stack)
        while time.monotonic() < end:
            number = next(numbers)
            address = f"10.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
            writer.write(f"w{number % 100}", address, times)
            time.sleep(PAUSE)
            writer.put(address, times)
            time.sleep(PAUSE)
    return times


def _version() -> str:
    done = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].removeprefix("etcd Version: ")


def _percentile(values: Sequence[float], part: float) -> float:
    """Return a percentile, infinity without values."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else float("inf")


def _table(times: Mapping[str, Sequence[Times]]) -> Table:
    rows = []
    for load, found in times.items():
        cells = [
            f"{median(_percentile(getattr(each, name), part) for each in found):.2f}"
            for name in ("floor", "acknowledged", "one", "all")
            for part in (0.5, 0.99)
        ]
        ratio = median(_percentile(each.all, 0.5) / _percentile(each.floor, 0.5) for each in found)
        writes = sum(len(each.all) for each in found)
        never = sum(each.never for each in found)
        rows.append([load, f"{writes:,}", *cells, f"{ratio:.2f}", str(never)])
    columns = ["load", "writes", "etcd p50", "p99", "acknowledged p50", "p99"]
    columns += ["answered by one p50", "p99", "by all p50", "p99", "all/etcd", "never"]
    return Table(f"Milliseconds from a write, {SERVERS} servers on {MEMBERS} etcds", columns, rows)


def _query_table(queries: Sequence[Paced]) -> Table:
    names = ("p50", "p99", "p999", "late_p99", "lost", "errors")
    cells = [f"{median(getattr(paced, name) for paced in queries):,.1f}" for name in names]
    columns = ["queries/s", "p50", "p99", "p99.9", "sender late p99", "lost", "errors"]
    return Table("Latency of the load's queries, µs", columns, [[f"{QUERIES:,}", *cells]])


def _targets(times: Mapping[str, Sequence[Times]]) -> list[Target]:
    return [
        Target(
            f"p99 ms to the answers of all, load {load}",
            median(_percentile(each.all, 0.99) for each in found),
            ALL_MILLISECONDS,
        )
        for load, found in times.items()
    ]


def _notes() -> list[str]:
    return [
        f"{MEMBERS} etcds, which write to disk, {SERVERS} servers, the writer and the load "
        "generator share all CPUs; with two CPUs the tail is the wait for one. The load generator "
        "sleeps between its queries.",
        "etcd: a put through its JSON gateway, the lower bound of the others. all/etcd: ratio of "
        f"the medians. An answer is noticed at most {AGAIN * 1000:.1f} ms late.",
    ]
