"""A server is cut off from etcd while both keep running, each in its own network."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from musterd.registry.tokens import new_text
from tests.cluster.cluster import AT_ONCE, LENGTH, Cluster, lasting
from tests.cluster.invariants import LOST_SECONDS, Outcome, marked
from tests.cluster.server import STALE_AFTER, ClusterServer
from tests.cluster.wires import Wires, wires
from tests.etcdkit import Etcd, binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
VERSION = "etcd-3.5"


_ELSEWHERE = """#!/bin/sh
# Runs etcd on another host, where clients of other hosts reach it; its members stay on loopback.
left=$#
while [ $left -gt 0 ]; do
    word=$1; shift
    [ "$flag" != --listen-client-urls ] || word=http://0.0.0.0:${word##*:}
    set -- "$@" "$word"; flag=$word; left=$((left - 1))
done
exec %s "$@"
"""


class Parted:
    """A cluster whose servers can be cut off from etcd."""

    def __init__(self, folder: Path, net: Wires) -> None:
        self.net = net
        there = net.host("etcd")
        program = folder / "etcd.sh"
        program.write_text(_ELSEWHERE % " ".join([*there.before, binary(VERSION)]))
        program.chmod(0o700)
        etcd = Etcd(folder / "etcd", str(program), size=1 if LENGTH < 1 else 3)
        behind = [f"{there.back}:{member.port}" for member in etcd.members]
        self.hosts = [net.host(f"s{number}") for number in range(2)]
        token = new_text()
        servers = [
            ClusterServer(folder / host.name, behind, token, address=host.front, before=host.before)
            for host in self.hosts
        ]
        self.cluster = Cluster(etcd, servers, host=there.front)


@pytest.fixture
async def parted(tmp_path: Path) -> AsyncIterator[Parted]:
    with wires() as net:
        made = Parted(tmp_path, net)
        try:
            await made.cluster.start()
            yield made
        finally:
            made.cluster.close()


@pytest.mark.parametrize("ending", ["restart", "crash"] if LENGTH >= 1 else ["restart"])
async def test_server_cut_off_from_etcd_marks_answers_and_refuses_writes(
    parted: Parted, ending: str
) -> None:
    """A cut-off server answers with stale marks and refuses writes; the other isn't affected.

    The changes it missed are compacted, so it must list again.
    """
    cluster, net = parted.cluster, parted.net
    lonely, other = cluster.servers
    loop = asyncio.get_running_loop()
    late = LOST_SECONDS + STALE_AFTER
    async with cluster.watched():
        net.cut(parted.hosts[0])
        since = loop.time()
        await cluster.until(lambda: cluster.seen(lonely)[-1].stale, "an answer that is marked")
        await asyncio.sleep(since + lasting(30, 0) - loop.time())
        noticed = loop.time()
        again = cluster.restart if ending == "restart" else cluster.crash
        await again(lonely, synced=False)
        ready = loop.time()
        if ending == "restart":
            await cluster.answered(lonely)
        await asyncio.sleep(lasting(30, 0.2))
        until = loop.time()
        await cluster.compact()
        net.mend(parted.hosts[0])
        await cluster.acknowledged(lonely, other)
    for begin, end in ((since + late, noticed), (ready, until)):
        assert list(marked(cluster.seen(lonely), begin, end, stale=True)) == []
    assert list(marked(cluster.seen(other), since, until, stale=False)) == []
    writes = [w for w in cluster.writes(lonely) if since + late < w.begun and w.ended < noticed]
    slow = [w for w in writes if w.outcome is not Outcome.REFUSED or w.ended - w.begun >= AT_ONCE]
    assert slow == []
    assert writes or LENGTH < 1
