"""TCP: CPU per query over 100 pipelined connections."""

from contextlib import ExitStack

from bench.context import Context
from bench.load import Shape, dnsperf, mean_size
from bench.peers import Bind, Knot, Musterd, Nsd
from bench.report import Result, Target
from bench.running import running
from bench.udp import interleave, measure, plain, ratio, table
from bench.zone import questions, write_text, write_zone

CONNECTIONS = 100
PIPELINED = 20
SHAPE = Shape(mode="tcp", clients=CONNECTIONS, outstanding=CONNECTIONS * PIPELINED)


def run(context: Context) -> Result:
    """Measure musterd beside Knot, NSD and BIND."""
    asked = questions()
    zone = write_zone(context.scratch / "zone")
    file = write_text(context.scratch / "questions", asked)
    peers = context.present([Musterd(), Knot(), Nsd(), Bind()])
    with ExitStack() as stack:
        servers = [stack.enter_context(running(peer, zone)) for peer in peers]
        sizes = {s.peer.label: mean_size(s.port, asked) for s in servers}
        for server in servers:
            dnsperf(server.port, file, 1, SHAPE)
        seconds = context.options.seconds
        rounds = interleave(
            context,
            servers,
            lambda s: measure(s, lambda port: dnsperf(port, file, seconds, SHAPE)),
        )
    title = f"TCP, {CONNECTIONS} connections, {PIPELINED} queries in flight on each"
    value = ratio(rounds, "musterd", "knot")
    targets = [] if value is None else [Target("CPU per query, musterd / knot", value, 1.0)]
    versions = {peer.label: peer.version() for peer in peers}
    drawn = table(title, rounds, sizes, ("knot", "nsd"))
    return Result("tcp", [drawn], plain(rounds), targets, (), versions)
