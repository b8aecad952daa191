"""Servers on an etcd of three, whose members are killed, frozen, compacted."""

import asyncio

import pytest

from tests.cluster.house import AT_ONCE, LENGTH, House, lasting
from tests.cluster.invariants import LOST_SECONDS, marked
from tests.cluster.server import STALE_AFTER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LATE = LOST_SECONDS + STALE_AFTER
"""Seconds from the loss of etcd until answers must be marked."""


def now() -> float:
    return asyncio.get_running_loop().time()


async def again(house: House, number: int, *, synced: bool = True) -> None:
    """In the long run, start a server anew in the midst of a fault, and again after a crash."""
    server = house.servers[number % len(house.servers)]
    for way in (house.restart, house.crash) if LENGTH >= 1 else ():
        await way(server, synced=synced)


async def test_each_member_is_killed_in_turn(house: House) -> None:
    async with house.watched():
        for number in range(3):
            house.etcd.kill(number)
            await asyncio.sleep(lasting(10, 0.2))
            await again(house, number)
            await house.acknowledged(*house.servers)
            await house.etcd.start(number)


async def test_the_leader_is_killed(house: House) -> None:
    async with house.watched():
        for number in range(round(lasting(2, 1))):
            leader = await house.leader()
            house.etcd.kill(leader)
            await asyncio.sleep(lasting(10, 0))
            await again(house, number, synced=False)
            await house.acknowledged(*house.servers)
            await house.etcd.start(leader)


async def test_all_members_are_killed_at_once(house: House) -> None:
    """Two servers start anew meanwhile, and answer from what they have on disk."""
    steady, ended, crashed = house.servers
    async with house.watched():
        house.etcd.kill()
        since = now()
        await asyncio.sleep(lasting(10, 0))
        await house.restart(ended, synced=False)
        ready = now()
        await house.crash(crashed, synced=False)
        await house.answered(ended)
        await asyncio.sleep(since + lasting(30, 4) - now())
        until = now()
        await house.etcd.start()
        await house.acknowledged(*house.servers)
    assert list(marked(house.seen(steady), since + LATE, until, stale=True)) == []
    assert list(marked(house.seen(ended), ready, until, stale=True)) == []
    refused = [w for w in house.writes(steady) if since + LATE < w.begun and w.ended < until]
    assert all(write.ended - write.begun < AT_ONCE for write in refused)


async def test_each_member_is_frozen_in_turn(house: House) -> None:
    async with house.watched():
        for number in range(3):
            house.etcd.freeze(number)
            await asyncio.sleep(lasting(15, 0.5))
            await again(house, number + 1, synced=False)
            house.etcd.thaw(number)
            await house.acknowledged(*house.servers)


async def test_it_is_compacted_all_the_time(house: House) -> None:
    async with house.watched():
        end = now() + lasting(20, 1)
        while now() < end:
            await house.compact()
            await asyncio.sleep(0.1)
        await again(house, 0)


async def test_a_server_sleeps_while_it_is_compacted(house: House) -> None:
    """What it missed may be forgotten when it wakes; its first answers are marked."""
    sleeper = house.servers[-1]
    async with house.watched():
        for _ in range(round(lasting(3, 1))):
            sleeper.freeze()
            await asyncio.sleep(asleep := lasting(12, 0.5))
            await house.compact()
            woken = now()
            sleeper.thaw()
            await house.acknowledged(*house.servers)
            if asleep > LOST_SECONDS:
                seen = house.seen(sleeper)
                assert list(marked(seen, woken, woken + LOST_SECONDS - 1, stale=True)) == []


@pytest.mark.skipif(LENGTH < 1, reason="a server sleeps for long: make faults")
async def test_etcd_is_lost_while_a_server_sleeps(house: House) -> None:
    """It finds so when it wakes, and its answers are marked until etcd is back."""
    sleeper = house.servers[-1]
    async with house.watched():
        await house.quiet(sleeper)
        sleeper.freeze()
        await asyncio.sleep(LOST_SECONDS + 2)
        house.etcd.kill()
        woken = now()
        sleeper.thaw()
        await asyncio.sleep(2 * LOST_SECONDS + 2)
        until = now()
        await house.etcd.start()
        house.loud()
        await house.acknowledged(*house.servers)
    assert list(marked(house.seen(sleeper), woken, until, stale=True)) == []
