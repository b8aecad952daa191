"""etcd: records in etcd: start, memory per key, time from a put to an answer, a new list."""

import asyncio
import contextlib
import random
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from bench.context import Context
from bench.load import pace
from bench.peers import CoreDns, Musterd, Peer
from bench.procs import BenchError, Process
from bench.report import Result, Table, Target
from bench.running import Running, free_port, running
from bench.zone import ZONE, Question, address, host, questions, write_wire
from musterd.etcd import EtcdClient, EtcdOptions
from musterd.etcd import rpc_pb2 as rpc

SIZES = (1_000, 500_000)
RATE = 50_000.0
"""Queries a second while keys are put."""
PUTS = 50.0
"""Puts a second."""
MAX_MILLISECONDS = 10.0
BYTES_PER_KEY = 1000
START_SECONDS = 10.0
MAX_RELIST_PEAK = 1.3
"""Ratio of the peak memory during a new list to the memory before."""
BATCH = 100
"""Puts per transaction."""
PATIENCE = 2.0
"""Seconds after which a put counts as missed."""


@dataclass(frozen=True)
class MusterdEtcd(Musterd):
    """musterd with records from etcd."""

    endpoint: str = ""

    def prepare(self, home: Path, zone: Path, port: int) -> list[str]:
        """Write the settings, without snapshots so that every start lists all keys."""
        argv = super().prepare(home, zone, port)
        config = home / "musterd.toml"
        text, _, _ = config.read_text().partition("[[sources.zonefile]]")
        source = f'name = "bench"\nzones = ["{ZONE}"]\nendpoints = ["{self.endpoint}"]\n'
        config.write_text(f"{text}[[sources.etcd]]\n{source}")
        return argv


@dataclass(frozen=True)
class CorednsEtcd(CoreDns):
    """CoreDNS with its etcd plugin."""

    endpoint: str = ""

    def prepare(self, home: Path, zone: Path, port: int) -> list[str]:
        """Write the configuration, without a cache: CoreDNS asks etcd for each query."""
        argv = super().prepare(home, zone, port)
        (home / "Corefile").write_text(
            f".:{port} {{\n bind 127.0.0.1\n etcd {ZONE} {{\n  path /skydns\n"
            f"  endpoint http://{self.endpoint}\n }}\n}}\n"
        )
        return argv


@dataclass(frozen=True)
class Puts:
    """Milliseconds from a put to the first answer with it, and the load's fraction answered."""

    p50: float
    p99: float
    max: float
    bare: float
    """p99 of the put alone, until etcd has it."""
    answered: float
    missed: int
    """Puts that were not answered within PATIENCE."""


class Etcd:
    """A running etcd."""

    def __init__(self, home: Path) -> None:
        """Start it without keys."""
        program = shutil.which("etcd")
        if program is None:
            raise BenchError("etcd is missing: install the package etcd-server")
        client, peer = free_port(), free_port()
        argv = [program, "--data-dir", f"{home}/data", "--quota-backend-bytes", str(8 << 30)]
        for option, port in (("client", client), ("peer", peer)):
            argv += [f"--listen-{option}-urls", f"http://127.0.0.1:{port}"]
        argv += ["--advertise-client-urls", f"http://127.0.0.1:{client}"]
        argv += ["--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"]
        argv += ["--initial-cluster", f"default=http://127.0.0.1:{peer}", "--logger", "zap"]
        self.endpoint = f"127.0.0.1:{client}"
        self._argv, self._log = argv, home / "log"
        self._process = Process(argv, self._log, None)

    def stop(self) -> None:
        """Stop it and keep its keys."""
        self._process.stop()

    def start(self) -> None:
        """Start it again."""
        self._process = Process(self._argv, self._log, None)


@contextlib.contextmanager
def etcd() -> Iterator[Etcd]:
    """Run an empty etcd with its data in memory, independent of the speed of the disk."""
    memory = Path("/dev/shm")  # noqa: S108 - holds a new directory.
    with TemporaryDirectory(prefix="bench-", dir=memory if memory.is_dir() else None) as home:
        running = Etcd(Path(home))
        try:
            yield running
        finally:
            running.stop()


def key(number: int) -> bytes:
    """Return the key of host ``number``."""
    labels = [*reversed(ZONE.split(".")), host(number)]
    return ("/skydns/" + "/".join(labels)).encode()


def value(number: int, which: int = 0) -> bytes:
    """Return the value of host ``number`` with address ``which``."""
    return b'{"host":"%s","port":8080}' % address(number, which).encode()


async def fill(endpoint: str, size: int) -> None:
    """Put ``size`` keys."""
    async with EtcdClient(EtcdOptions((endpoint,), request=60.0)) as client:
        for at in range(0, size, BATCH):
            puts = [
                rpc.RequestOp(put=rpc.PutRequest(key=key(n), value=value(n)))
                for n in range(at, min(size, at + BATCH))
            ]
            await client.transaction(rpc.TxnRequest(success=puts))


def run(context: Context) -> Result:
    """Measure each server with few and with many keys, each round."""
    starts: dict[str, dict[int, list[tuple[float, int]]]] = {}
    puts: dict[str, dict[int, list[Puts]]] = {}
    peaks: list[float] = []
    versions: dict[str, str] = {}
    for size in SIZES:
        with etcd() as store:
            endpoint = store.endpoint
            asyncio.run(fill(endpoint, size))
            peers: list[Peer] = [MusterdEtcd(endpoint=endpoint), CorednsEtcd(endpoint=endpoint)]
            present = context.present(peers)
            file = write_wire(context.scratch / f"questions-{size}", questions(hosts=size))
            for number in range(context.options.rounds):
                for peer in present:
                    with running(peer, context.scratch, hosts=size, cpu=None) as server:
                        start = server.ready_after, server.process.memory()
                        found = asyncio.run(
                            _puts(server, endpoint, size, file, context.options.seconds)
                        )
                        if isinstance(peer, MusterdEtcd) and size == SIZES[-1]:
                            peaks.append(_relist(server, store, size))
                            context.say(f"new list: {peaks[-1]:.2f} times the memory")
                    starts.setdefault(peer.label, {}).setdefault(size, []).append(start)
                    puts.setdefault(peer.label, {}).setdefault(size, []).append(found)
                    versions[peer.label] = peer.version()
                    context.say(
                        f"round {number + 1}/{context.options.rounds} {peer.label}, {size:,}: "
                        f"{start[0]:.2f} s, put p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms, "
                        f"{found.missed} missed, {100 * found.answered:.0f} % answered"
                    )
    data: dict[str, object] = {
        "starts": {name: {str(n): got for n, got in by.items()} for name, by in starts.items()},
        "puts": {
            name: {str(n): [asdict(each) for each in got] for n, got in by.items()}
            for name, by in puts.items()
        },
    }
    data["peaks"] = peaks
    tables = [_starts_table(starts), _puts_table(puts)]
    targets = _targets(starts, puts)
    if peaks:
        targets.append(Target("peak memory of a new list / before", max(peaks), MAX_RELIST_PEAK))
    return Result("etcd", tables, data, targets, _notes(), versions)


async def _puts(server: Running, endpoint: str, size: int, file: Path, seconds: float) -> Puts:
    """Put keys, one after the other, under load."""
    load = asyncio.create_task(asyncio.to_thread(pace, server.port, file, seconds, RATE, naps=True))
    took: list[float] = []
    bare: list[float] = []
    missed = 0
    pick = random.Random(size)
    async with EtcdClient(EtcdOptions((endpoint,))) as client:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.05)
            sock.connect(("127.0.0.1", server.port))
            turn = 0
            while not load.done():
                turn += 1
                number, which = pick.randrange(size), 1 + turn % 15
                begun = time.perf_counter()
                await client.put(key(number), value(number, which))
                bare.append(1000 * (time.perf_counter() - begun))
                if await asyncio.to_thread(_seen, sock, number, which):
                    took.append(1000 * (time.perf_counter() - begun))
                else:
                    missed += 1
                await asyncio.sleep(max(0.0, begun + 1 / PUTS - time.perf_counter()))
    paced = await load
    limit = 1000 * PATIENCE
    cuts = quantiles(took, n=100) if len(took) > 1 else [limit] * 99
    alone = quantiles(bare, n=100)[98] if len(bare) > 1 else limit
    answered = paced.received / max(1, paced.sent)
    return Puts(median(cuts), cuts[98], max(took, default=limit), alone, answered, missed)


def _relist(server: Running, store: Etcd, size: int) -> float:
    """Return the ratio of the peak memory during a new list to the memory before.

    The server must list again because its revision is compacted while it is stopped.
    """
    server.process.forget_peak()
    _, before = server.process.peak()
    server.process.signal(signal.SIGSTOP)
    number, which = size // 2, 15
    asyncio.run(_compact(store.endpoint, number, which))
    store.stop()
    store.start()
    server.process.signal(signal.SIGCONT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.05)
        sock.connect(("127.0.0.1", server.port))
        deadline = time.monotonic() + 12 * START_SECONDS
        while not _seen(sock, number, which):
            if time.monotonic() > deadline:
                raise BenchError("the answers lack the new list")
    # Wait for the end of the list: the changed key is in its middle.
    time.sleep(START_SECONDS)
    return server.process.peak()[0] / before


async def _compact(endpoint: str, number: int, which: int) -> None:
    """Put a key and compact all earlier revisions."""
    async with EtcdClient(EtcdOptions((endpoint,))) as client:
        await client.put(key(number), value(number, which))
        await client.compact(await client.put(b"/other", b""))


def _seen(sock: socket.socket, number: int, which: int) -> bool:
    """Query until the answer has an address; return whether it did within PATIENCE."""
    question = Question(f"{host(number)}.{ZONE}", "A").wire(7)
    wanted = socket.inet_aton(address(number, which))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            sock.send(question)
            if wanted in sock.recv(4096):
                return True
    return False


def _starts_table(found: dict[str, dict[int, list[tuple[float, int]]]]) -> Table:
    columns = ["server", *(f"{size:,}: s" for size in SIZES), "bytes per key"]
    rows = []
    for name, by_size in found.items():
        cells = [name, *(f"{median(s for s, _ in by_size[size]):.2f}" for size in SIZES)]
        rows.append([*cells, f"{_bytes_per_key(by_size):.0f}"])
    return Table("From exec to the right answer for the last key", columns, rows)


def _bytes_per_key(by_size: dict[int, list[tuple[float, int]]]) -> float:
    few, many = SIZES
    grown = median(m for _, m in by_size[many]) - median(m for _, m in by_size[few])
    return grown / (many - few)


def _puts_table(found: dict[str, dict[int, list[Puts]]]) -> Table:
    columns = [
        "server, keys",
        "p50 ms",
        "p99 ms",
        "max ms",
        "put alone p99",
        "p99 / CoreDNS",
        "missed",
        "answered %",
    ]
    rows = []
    for name, by_size in found.items():
        for size, got in by_size.items():
            other = found.get("coredns", {}).get(size)
            p99 = median(each.p99 for each in got)
            ratio = f"{p99 / median(each.p99 for each in other):.2f}" if other else ""
            rows.append(
                [
                    f"{name}, {size:,}",
                    f"{median(each.p50 for each in got):.2f}",
                    f"{p99:.2f}",
                    f"{max(each.max for each in got):.1f}",
                    f"{median(each.bare for each in got):.2f}",
                    ratio,
                    str(sum(each.missed for each in got)),
                    f"{100 * median(each.answered for each in got):.0f}",
                ]
            )
    return Table(f"From a put to an answer with it, at {RATE:,.0f} queries/s", columns, rows)


def _targets(
    starts: dict[str, dict[int, list[tuple[float, int]]]], puts: dict[str, dict[int, list[Puts]]]
) -> list[Target]:
    if "musterd" not in starts:
        return []
    mine = starts["musterd"]
    return [
        *(
            Target(f"p99 ms of a put among {size:,}", median(p.p99 for p in got), MAX_MILLISECONDS)
            for size, got in puts["musterd"].items()
        ),
        Target(f"bytes per key of {SIZES[1]:,}", _bytes_per_key(mine), BYTES_PER_KEY),
        Target(
            f"s to answer from {SIZES[1]:,}", median(s for s, _ in mine[SIZES[1]]), START_SECONDS
        ),
    ]


def _notes() -> list[str]:
    return [
        "A put is measured from sending it to the first answer with it, including etcd's own time; "
        "etcd has its data in memory. The server, etcd, the writer and the load generator share "
        "all CPUs; the load generator sleeps between its queries.",
        "CoreDNS asks etcd for every query, so a put is in its next answer, if there is one: see "
        "the fraction of the load that it answers.",
    ]
