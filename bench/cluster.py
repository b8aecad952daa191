"""Cluster: how soon a write by one of three servers on an etcd of three is answered by it, by all.

Nothing is pinned: three etcds, three servers, who writes and who asks share all CPUs.
"""

import http.client
import json
import shutil
import socket
import subprocess
import sys
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
from bench.procs import BenchError, Process, run_client
from bench.report import Result, Table, Target
from bench.running import free_port
from bench.zone import ZONE, Question, questions, write_wire, write_zone
from musterd.tokens import new_text

MEMBERS = 3
SERVERS = 3
RECORDS = 10_000
QUERIES = 50_000
LOADS = {"nothing": 0, f"{QUERIES:,} queries/s": QUERIES}
PAUSE = 0.02
"""Seconds between two writes."""
AGAIN = 0.0003
"""Seconds until a server that hasn't answered with a write is asked again."""
GIVE_UP = 2.0
"""Seconds after which a write counts as never answered."""
ALL_MILLISECONDS = 20.0
IMPORT_SECONDS = 120.0
START_SECONDS = 30.0
OPT = b"\0\0\x29\x04\xd0" + bytes(6)
"""What ends an answer after its last address: EDNS with 1232 octets."""
LEAD = 1.0
"""Seconds for which the load lasts longer than the writes, at each end."""
MUSTERD = str(Path(sys.executable).with_name("musterd"))
SETTINGS = """
[dns]
listen = ["127.0.0.1:{dns}"]
[metrics]
listen = ""
[api]
listen = "127.0.0.1:{api}"
[store]
url = "etcd://{etcd}"
[state]
dir = "state"
[[zones]]
name = "{zone}"
"""


@dataclass(frozen=True)
class Place:
    """Where a server answers."""

    dns: int
    api: int


@dataclass
class Times:
    """Milliseconds from the request of each write.

    To its acknowledgement, to an answer of the server that took it, to answers of all; floor: to
    the acknowledgement of a put to etcd itself.
    """

    floor: list[float] = field(default_factory=list)
    acknowledged: list[float] = field(default_factory=list)
    one: list[float] = field(default_factory=list)
    all: list[float] = field(default_factory=list)
    never: int = 0


def run(context: Context) -> Result:
    """One cluster; rounds of writes without and with load."""
    context.present([Musterd()])
    file = write_wire(context.scratch / "queries", questions())
    times: dict[str, list[Times]] = {load: [] for load in LOADS}
    felt: list[Paced] = []
    token, numbers = new_text(), count()
    with _cluster(context.scratch, token) as (etcd, places):
        _import(places[0], token, write_zone(context.scratch / "zone", RECORDS))
        for number in range(context.options.rounds):
            for load, rate in LOADS.items():
                with _asked(places[0], file, rate, context.options.seconds, felt):
                    got = _write(etcd, places, token, context.options.seconds, numbers)
                times[load].append(got)
                context.say(
                    f"round {number + 1}/{context.options.rounds}, {load} meanwhile: "
                    f"on one p99 {_part(got.one, 0.99):.2f} ms, on all {_part(got.all, 0.99):.2f}"
                )
    data = {load: [asdict(each) for each in found] for load, found in times.items()}
    versions = {"musterd": Musterd().version(), "etcd": _version()}
    tables = [_table(times), _felt(felt)]
    whole = {**data, "queries": [asdict(one) for one in felt]}
    return Result("cluster", tables, whole, _targets(times), _notes(), versions)


@contextmanager
def _cluster(folder: Path, token: str) -> Iterator[tuple[int, list[Place]]]:
    """Run all while the block runs; the port of an etcd, and the servers."""
    with ExitStack() as stack:
        clients = _etcds(folder, stack)
        places = [Place(free_port(), free_port()) for _ in range(SERVERS)]
        for number, place in enumerate(places):
            home = folder / f"server-{number}"
            home.mkdir()
            settings = home / "musterd.toml"
            joined = ",".join(f"127.0.0.1:{client}" for client in clients)
            settings.write_text(SETTINGS.format(**asdict(place), etcd=joined, zone=ZONE))
            argv = [MUSTERD, "serve", "-c", str(settings)]
            environ = {"MUSTERD_API__FIRST_TOKEN": token}
            process = stack.enter_context(Process(argv, home / "log", None, environ))
            _wait(process, place.api)
        yield clients[0], places


def _etcds(folder: Path, stack: ExitStack) -> list[int]:
    """Start the members; their ports for clients."""
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


def _wait(process: Process, port: int) -> None:
    """Wait until the API can be asked. Raises BenchError."""
    deadline = time.monotonic() + START_SECONDS
    while process.alive and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/openapi.json")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise BenchError(f"a server doesn't start; its log ends:\n{process.tail()}")


def _import(place: Place, token: str, zone: Path) -> None:
    argv = ["env", f"MUSTERD_SERVER=http://127.0.0.1:{place.api}", f"MUSTERD_TOKEN={token}"]
    run_client([*argv, MUSTERD, "zone", "import", ZONE, str(zone)], IMPORT_SECONDS, None)


@contextmanager
def _asked(
    place: Place, file: Path, rate: int, seconds: float, felt: list[Paced]
) -> Iterator[None]:
    """Ask a server at a rate while the block runs."""
    if not rate:
        yield
        return
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(pace, place.dns, file, seconds + 2 * LEAD, rate, naps=True)
        time.sleep(LEAD)
        yield
        felt.append(asking.result())


class _Writer:
    """Writes by the API of the first server, and asks all until they answer so."""

    def __init__(self, etcd: int, places: Sequence[Place], token: str, stack: ExitStack) -> None:
        self._etcd = stack.enter_context(closing(_connected(etcd)[0]))
        self._api, self._http = _connected(places[0].api)
        stack.enter_context(closing(self._api))
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._sockets: list[socket.socket] = []
        for place in places:
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.connect(("127.0.0.1", place.dns))
            self._sockets.append(sock)

    def put(self, value: str, times: Times) -> None:
        """Put a key to etcd itself, over its JSON gateway."""
        began = time.perf_counter()
        key, held = (b64encode(text.encode()).decode() for text in ("bench", value))
        self._etcd.request("POST", "/v3/kv/put", json.dumps({"key": key, "value": held}))
        self._etcd.getresponse().read()
        times.floor.append((time.perf_counter() - began) * 1000)

    def write(self, name: str, address: str, times: Times) -> None:
        """Put a record, and note how long it takes until each server answers it."""
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
        """When the write was acknowledged, and when each server first answered so."""
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
            raise BenchError(f"a write was refused: {answer.status}")
        return None if waiting else list(seen.values())


def _connected(port: int) -> tuple[http.client.HTTPConnection, socket.socket]:
    """A connection that is kept, and its socket."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GIVE_UP)
    connection.sock = socket.create_connection(("127.0.0.1", port), GIVE_UP)
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection, connection.sock


def _write(
    etcd: int, places: Sequence[Place], token: str, seconds: float, numbers: Iterator[int]
) -> Times:
    """Write one record after the other for a while, no address twice."""
    times = Times()
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        writer = _Writer(etcd, places, token, stack)
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


def _part(values: Sequence[float], part: float) -> float:
    """A percentile; infinity of none."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else float("inf")


def _table(times: Mapping[str, Sequence[Times]]) -> Table:
    rows = []
    for load, found in times.items():
        cells = [
            f"{median(_part(getattr(one, name), part) for one in found):.2f}"
            for name in ("floor", "acknowledged", "one", "all")
            for part in (0.5, 0.99)
        ]
        ratio = median(_part(one.all, 0.5) / _part(one.floor, 0.5) for one in found)
        writes = sum(len(one.all) for one in found)
        never = sum(one.never for one in found)
        rows.append([load, f"{writes:,}", *cells, f"{ratio:.2f}", str(never)])
    columns = ["meanwhile", "writes", "etcd p50", "p99", "acknowledged p50", "p99"]
    columns += ["answered by the first p50", "p99", "by all p50", "p99", "all/etcd", "never"]
    return Table(f"Milliseconds, {SERVERS} servers on {MEMBERS} etcds", columns, rows)


def _felt(felt: Sequence[Paced]) -> Table:
    names = ("p50", "p99", "p999", "late_p99", "lost", "errors")
    cells = [f"{median(getattr(one, name) for one in felt):,.1f}" for name in names]
    columns = ["queries/s", "p50", "p99", "p99.9", "sender late p99", "lost", "errors"]
    return Table("Latency of the queries meanwhile in µs", columns, [[f"{QUERIES:,}", *cells]])


def _targets(times: Mapping[str, Sequence[Times]]) -> list[Target]:
    return [
        Target(
            f"ms to answers of all with {load} meanwhile, p99",
            median(_part(each.all, 0.99) for each in found),
            ALL_MILLISECONDS,
        )
        for load, found in times.items()
    ]


def _notes() -> list[str]:
    return [
        f"{MEMBERS} etcds, which write to disk, {SERVERS} servers, and who writes to the first and "
        "asks it share all CPUs: on two, the tail is the wait for one. Who asks sleeps in between.",
        "etcd: a put to it over its own JSON gateway, the floor of all others. all/etcd: ratio of "
        "the medians. The time is that from sending the request; an answer is seen at most "
        f"{AGAIN * 1000:.1f} ms after it could be.",
    ]
