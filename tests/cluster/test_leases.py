"""A record on a lease stays while that is renewed, whatever fails, and goes when it isn't."""

import asyncio
from contextlib import suppress
from itertools import cycle

import httpx
import pytest

from tests.cluster.house import House, lasting
from tests.cluster.invariants import Answer, Value
from tests.cluster.prober import Prober
from tests.cluster.server import ZONE
from tests.cluster.writer import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TTL = 3
"""Seconds: longer than etcd needs for another leader, which gives each lease its whole time."""
RENEW = 0.5
"""Seconds between two renewals, each by another server."""
ADDRESS = "10.3.0.1"


async def register(house: House) -> str:
    """A lease with a record on it; its id."""
    async with house.servers[0].client(PATIENCE) as client:
        granted = await client.post("/leases", json={"ttl": TTL})
        assert granted.is_success, granted.text
        lease: str = granted.json()["id"]
        body = {"data": ADDRESS, "lease": lease}
        put = await client.put(f"/records/{ZONE}/leased/A/x", json=body)
        assert put.is_success, put.text
        return lease


async def renew(house: House, lease: str) -> None:
    """Renew by one server after the other; who can't is not waited for."""
    for server in cycle(house.servers):
        await asyncio.sleep(RENEW)
        if server.dns is not None:
            with suppress(httpx.HTTPError):
                async with server.client(RENEW) as client:
                    told = await client.post(f"/leases/{lease}/keepalive")
                    assert told.is_success or told.status_code == 503, told.text


async def test_it_stays_while_it_is_renewed(house: House) -> None:
    async with house.watched():
        lease = await register(house)
        probers = [Prober(server, ["leased"]) for server in house.servers]
        renewing = asyncio.create_task(renew(house, lease))
        asking = [asyncio.create_task(prober.run()) for prober in probers]
        try:
            await house.until(lambda: all(map(answers, probers)), "the record on a lease")
            began = [len(prober.seen) for prober in probers]
            for _ in range(round(lasting(3, 1))):
                leader = await house.leader()
                house.etcd.kill(leader)
                await house.acknowledged(*house.servers)
                await asyncio.sleep(lasting(2 * TTL, 0))
                await house.etcd.start(leader)
            assert not renewing.done(), renewing.result()
            for prober, first in zip(probers, began, strict=True):
                assert all(one.value == {ADDRESS} for one in prober.seen[first:]), prober.seen
            renewing.cancel()
            await house.until(lambda: not any(map(answers, probers)), "the end of a lease")
        finally:
            for task in (renewing, *asking):
                task.cancel()
            await asyncio.wait([renewing, *asking])


def answers(prober: Prober) -> bool:
    """Whether a server has the record."""
    last = prober.seen[-1:]
    return bool(last) and last[0].kind is Answer.VALUE and last[0].value == Value([ADDRESS])
