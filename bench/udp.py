"""UDP: CPU of a server for each query that it answers, beside the floor and the peers."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.context import Context
from bench.load import Load, closed_loop, dnsperf, mean_size
from bench.peers import Musterd, Nsd, Peer, everyone
from bench.procs import BenchError, Cpu
from bench.report import Result, Table, Target
from bench.running import Running, running
from bench.zone import CLIENT_COOKIE, Question, questions, write_text, write_wire, write_zone

NEVER = 1_000_000
CLIENTS = 1024
WINDOW = 512
ADDRESSES = 4


@dataclass(frozen=True)
class Round:
    """A server in one round; microseconds of CPU per answer."""

    user: float
    system: float
    rate: float
    lost: int

    @property
    def total(self) -> float:
        """User and system time."""
        return self.user + self.system


Rounds = Mapping[str, Sequence[Round]]


def measure(server: Running, load: Callable[[int], Load]) -> Round:
    """Run ``load`` on a server and divide the CPU time by the answers."""
    before: Cpu = server.process.cpu()
    done = load(server.port)
    each = (server.process.cpu() - before).per(done.answered)
    return Round(each.user, each.system, done.rate, done.lost)


def interleave(
    context: Context, servers: Sequence[Running], load: Callable[[Running], Round]
) -> dict[str, list[Round]]:
    """Measure every server once a round, so that other work on the machine affects all."""
    found: dict[str, list[Round]] = {server.peer.label: [] for server in servers}
    for number in range(context.options.rounds):
        for server in servers:
            got = load(server)
            found[server.peer.label].append(got)
            context.say(
                f"round {number + 1}/{context.options.rounds} {server.peer.label}: "
                f"{got.rate:,.0f}/s, {got.total:.2f} µs per query, {got.lost} lost"
            )
    return found


def ratio(rounds: Rounds, name: str, other: str) -> float | None:
    """Return the median over the rounds of the ratio of two servers' CPU time."""
    if name not in rounds or other not in rounds:
        return None
    pairs = zip(rounds[name], rounds[other], strict=True)
    return median(a.total / b.total for a, b in pairs)


def table(title: str, rounds: Rounds, sizes: Mapping[str, float], against: Sequence[str]) -> Table:
    """Return a table of medians, with ratios to those of ``against`` that ran."""
    others = [name for name in against if name in rounds]
    columns = ["server", "answer bytes", "answers/s", "user µs", "system µs", "CPU µs", "lost"]
    rows = []
    for name, got in rounds.items():
        cells = [name, f"{sizes[name]:.0f}", f"{median(r.rate for r in got):,.0f}"]
        cells += [f"{median(r.user for r in got):.2f}", f"{median(r.system for r in got):.2f}"]
        cells += [f"{median(r.total for r in got):.2f}", str(sum(r.lost for r in got))]
        cells += [f"{ratio(rounds, name, other) or 0:.3f}" for other in others]
        rows.append(cells)
    return Table(title, [*columns, *(f"/ {name}" for name in others)], rows)


def run(context: Context) -> Result:
    """Query all servers with ``dnsperf``, then variants of musterd from many clients."""
    asked = questions()
    zone = write_zone(context.scratch / "zone")
    file = write_text(context.scratch / "questions", asked)
    peers = context.present(everyone(_size_of_answers(context, zone, asked)))
    with ExitStack() as stack:
        servers = [stack.enter_context(running(peer, zone)) for peer in peers]
        sizes = {s.peer.label: mean_size(s.port, asked) for s in servers}
        for server in servers:
            dnsperf(server.port, file, 1)  # fill caches and set up sockets
        rounds = interleave(
            context,
            servers,
            lambda s: measure(s, lambda port: dnsperf(port, file, context.options.seconds)),
        )
    tables = [table("UDP, one CPU, 10,000 names", rounds, sizes, ("floor", "nsd", "bind"))]
    data: dict[str, object] = {"dnsperf": plain(rounds)}
    if "musterd" in rounds:
        more, sizes = _variants(context, asked)
        tables.append(table(f"musterd, {CLIENTS} clients", more, sizes, ("musterd plain",)))
        data["variants"] = plain(more)
    versions = {peer.label: peer.version() for peer in peers}
    return Result("udp", tables, data, _targets(rounds), _notes(), versions)


def _size_of_answers(context: Context, zone: Path, asked: Sequence[Question]) -> int:
    """Return the mean size of musterd's answers in bytes, else NSD's."""
    for peer in (Musterd(), Nsd()):
        if not peer.missing():
            try:
                with running(peer, zone) as server:
                    return round(mean_size(server.port, asked))
            except BenchError as error:
                context.say(str(error))
    return 90


def _variants(
    context: Context, asked: Sequence[Question]
) -> tuple[dict[str, list[Round]], dict[str, float]]:
    """Measure musterd from many client addresses, plain and with costly features enabled."""
    single = write_zone(context.scratch / "zone")
    four = write_zone(context.scratch / "zone-of-four", addresses=ADDRESSES)
    plain = write_wire(context.scratch / "plain", asked)
    cookies = write_wire(context.scratch / "cookies", asked, CLIENT_COOKIE)
    kinds: list[tuple[Peer, Path, Path, bytes]] = [
        (Musterd("plain"), single, plain, b""),
        (Musterd("cookies"), single, cookies, CLIENT_COOKIE),
        (Musterd("rate limit", rate_limit=NEVER), single, plain, b""),
        (Musterd(f"{ADDRESSES} addresses, all"), four, plain, b""),
        (Musterd(f"{ADDRESSES} addresses, sticky", policy="sticky"), four, plain, b""),
        (
            Musterd("all features", policy="sticky", rate_limit=NEVER),
            four,
            cookies,
            CLIENT_COOKIE,
        ),
    ]
    files = {peer.label: file for peer, _, file, _ in kinds}
    with ExitStack() as stack:
        servers = [stack.enter_context(running(peer, zone)) for peer, zone, _, _ in kinds]
        sizes = {
            server.peer.label: mean_size(server.port, asked, cookie)
            for server, (_, _, _, cookie) in zip(servers, kinds, strict=True)
        }
        rounds = interleave(
            context,
            servers,
            lambda s: measure(s, lambda port: _closed(context, port, files[s.peer.label])),
        )
    return rounds, sizes


def _closed(context: Context, port: int, file: Path) -> Load:
    got = closed_loop(port, file, context.options.seconds, WINDOW, CLIENTS)
    return Load(got.received, got.lost, got.rate)


def _targets(rounds: Rounds) -> list[Target]:
    targets = []
    for other, limit in (("floor", 1.10), ("nsd", 1.0)):
        value = ratio(rounds, "musterd", other)
        if value is not None:
            targets.append(Target(f"CPU per query, musterd / {other}", value, limit))
    if "musterd" in rounds:
        user = median(r.user for r in rounds["musterd"])
        targets.append(Target("user µs per query, musterd", user, 0.5))
    return targets


def plain(rounds: Rounds) -> dict[str, list[dict[str, float]]]:
    """Return rounds in a form for JSON."""
    return {name: [asdict(r) for r in got] for name, got in rounds.items()}


def _notes() -> list[str]:
    return [
        "Ratios are medians of the ratios within each round. The load generator limits the fast "
        "servers: compare CPU per query, not answers/s.",
        "The kernel splits user from system time by sampling (about 250 samples per second of "
        "CPU), which is accurate to a tenth or so; the sum is exact.",
        "Hades claimed 0.29 of BIND's time per query.",
    ]
