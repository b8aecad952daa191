"""Workers: the gain of more workers, server and load generator sharing all CPUs."""

import os
from contextlib import ExitStack
from statistics import median

from bench.context import Context
from bench.load import Shape, dnsperf, mean_size
from bench.peers import Musterd, Peer
from bench.report import Result
from bench.running import running
from bench.udp import interleave, measure, plain, table
from bench.zone import questions, write_text, write_zone


def run(context: Context) -> Result:
    """Measure 1, 2, 4, ... workers up to one per CPU; nothing is pinned."""
    cores = os.cpu_count() or 1
    counts = [2**i for i in range(max(cores, 2).bit_length()) if 2**i <= max(cores, 2)]
    threads = max(1, cores // 2)
    shape = Shape(clients=32, outstanding=400, threads=threads, cpu=None)
    asked = questions()
    zone = write_zone(context.scratch / "zone")
    file = write_text(context.scratch / "questions", asked)
    wanted: list[Peer] = [Musterd(f"workers {count}", workers=count) for count in counts]
    peers = context.present(wanted)
    with ExitStack() as stack:
        servers = [stack.enter_context(running(peer, zone, cpu=None)) for peer in peers]
        sizes = {s.peer.label: mean_size(s.port, asked) for s in servers}
        seconds = context.options.seconds
        rounds = interleave(
            context,
            servers,
            lambda s: measure(s, lambda port: dnsperf(port, file, seconds, shape)),
        )
    base = peers[0].label
    gains = ", ".join(
        f"{name} {median(r.rate for r in got) / median(r.rate for r in rounds[base]):.2f}"
        for name, got in rounds.items()
    )
    notes = [
        f"Answers/s in relation to one worker: {gains}.",
        f"This machine has {cores} cores, and the load generator needs {threads} or more of them; "
        "workers scale only to the rest.",
    ]
    versions = {peer.name: peer.version() for peer in peers}
    drawn = table("UDP, not pinned", rounds, sizes, (base,))
    return Result("workers", [drawn], plain(rounds), (), notes, versions)
