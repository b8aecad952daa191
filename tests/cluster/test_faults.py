"""Servers on three etcd members that are killed, frozen and compacted."""

import asyncio

import pytest

from tests.cluster.cluster import AT_ONCE, LENGTH, Cluster, lasting
from tests.cluster.invariants import LOST_SECONDS, marked
from tests.cluster.server import STALE_AFTER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LATE = LOST_SECONDS + STALE_AFTER
"""Seconds from the loss of etcd until answers must be marked as stale."""


def now() -> float:
    return asyncio.get_running_loop().time()


async def again(cluster: Cluster, number: int, *, synced: bool = True) -> None:
    """In the long run, restart a server during a fault, and again after a crash."""
    server = cluster.servers[number % len(cluster.servers)]
    for way in (cluster.restart, cluster.crash) if LENGTH >= 1 else ():
        await way(server, synced=synced)


async def test_answers_stay_consistent_as_each_member_is_killed(cluster: Cluster) -> None:
    async with cluster.watched():
        for number in range(3):
            cluster.etcd.kill(number)
            await asyncio.sleep(lasting(10, 0.2))
            await again(cluster, number)
            await cluster.acknowledged(*cluster.servers)
            await cluster.etcd.start(number)


async def test_answers_stay_consistent_as_leader_is_killed(cluster: Cluster) -> None:
    async with cluster.watched():
        for number in range(round(lasting(2, 1))):
            leader = await cluster.leader()
            cluster.etcd.kill(leader)
            await asyncio.sleep(lasting(10, 0))
            await again(cluster, number, synced=False)
            await cluster.acknowledged(*cluster.servers)
            await cluster.etcd.start(leader)


async def test_answers_are_stale_while_all_members_are_down(cluster: Cluster) -> None:
    """Two servers restart meanwhile and answer from their snapshots."""
    steady, ended, crashed = cluster.servers
    async with cluster.watched():
        cluster.etcd.kill()
        since = now()
        await asyncio.sleep(lasting(10, 0))
        await cluster.restart(ended, synced=False)
        ready = now()
        await cluster.crash(crashed, synced=False)
        await cluster.answered(ended)
        await asyncio.sleep(since + lasting(30, 4) - now())
        until = now()
        await cluster.etcd.start()
        await cluster.acknowledged(*cluster.servers)
    assert list(marked(cluster.seen(steady), since + LATE, until, stale=True)) == []
    assert list(marked(cluster.seen(ended), ready, until, stale=True)) == []
    refused = [w for w in cluster.writes(steady) if since + LATE < w.begun and w.ended < until]
    assert all(write.ended - write.begun < AT_ONCE for write in refused)


async def test_answers_stay_consistent_as_each_member_is_frozen(cluster: Cluster) -> None:
    async with cluster.watched():
        for number in range(3):
            cluster.etcd.freeze(number)
            await asyncio.sleep(lasting(15, 0.5))
            await again(cluster, number + 1, synced=False)
            cluster.etcd.thaw(number)
            await cluster.acknowledged(*cluster.servers)


async def test_answers_stay_consistent_under_constant_compaction(cluster: Cluster) -> None:
    async with cluster.watched():
        end = now() + lasting(20, 1)
        while now() < end:
            await cluster.compact()
            await asyncio.sleep(0.1)
        await again(cluster, 0)


async def test_server_that_slept_through_compaction_marks_answers(cluster: Cluster) -> None:
    """The events it missed may be compacted; its first answers are marked as stale."""
    sleeper = cluster.servers[-1]
    async with cluster.watched():
        for _ in range(round(lasting(3, 1))):
            sleeper.freeze()
            await asyncio.sleep(asleep := lasting(12, 0.5))
            await cluster.compact()
            woken = now()
            sleeper.thaw()
            await cluster.acknowledged(*cluster.servers)
            if asleep > LOST_SECONDS:
                seen = cluster.seen(sleeper)
                assert list(marked(seen, woken, woken + LOST_SECONDS - 1, stale=True)) == []


@pytest.mark.skipif(LENGTH < 1, reason="a server sleeps for long: make faults")
async def test_server_that_slept_as_etcd_was_lost_marks_answers(cluster: Cluster) -> None:
    """A server that wakes up marks its answers as stale until etcd returns."""
    sleeper = cluster.servers[-1]
    async with cluster.watched():
        await cluster.stop_writes(sleeper)
        sleeper.freeze()
        await asyncio.sleep(LOST_SECONDS + 2)
        cluster.etcd.kill()
        woken = now()
        sleeper.thaw()
        await asyncio.sleep(2 * LOST_SECONDS + 2)
        until = now()
        await cluster.etcd.start()
        cluster.resume_writes()
        await cluster.acknowledged(*cluster.servers)
    assert list(marked(cluster.seen(sleeper), woken, until, stale=True)) == []
