"""A leased record stays while its lease is renewed, through faults, and then expires."""

import asyncio
from contextlib import suppress
from itertools import cycle

import httpx
import pytest

from tests.cluster.cluster import Cluster, lasting
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


async def register(cluster: Cluster) -> str:
    """Register a record with a lease; return the id of the lease."""
    async with cluster.servers[0].client(PATIENCE) as client:
        granted = await client.post("/leases", json={"ttl": TTL})
        assert granted.is_success, granted.text
        lease: str = granted.json()["id"]
        body = {"data": ADDRESS, "lease": lease}
        put = await client.put(f"/records/{ZONE}/leased/A/x", json=body)
        assert put.is_success, put.text
        return lease


async def renew(cluster: Cluster, lease: str) -> None:
    """Renew through each server in turn; skip servers that can't."""
    for server in cycle(cluster.servers):
        await asyncio.sleep(RENEW)
        if server.dns is not None:
            with suppress(httpx.HTTPError):
                async with server.client(RENEW) as client:
                    answer = await client.post(f"/leases/{lease}/keepalive")
                    assert answer.is_success or answer.status_code == 503, answer.text


async def test_leased_record_stays_while_lease_is_renewed(cluster: Cluster) -> None:
    async with cluster.watched():
        lease = await register(cluster)
        probers = [Prober(server, ["leased"]) for server in cluster.servers]
        renewing = asyncio.create_task(renew(cluster, lease))
        asking = [asyncio.create_task(prober.run()) for prober in probers]
        try:
            await cluster.until(lambda: all(map(answers, probers)), "the record on a lease")
            began = [len(prober.seen) for prober in probers]
            for _ in range(round(lasting(3, 1))):
                leader = await cluster.leader()
                cluster.etcd.kill(leader)
                await cluster.acknowledged(*cluster.servers)
                await asyncio.sleep(lasting(2 * TTL, 0))
                await cluster.etcd.start(leader)
            assert not renewing.done(), renewing.result()
            for prober, first in zip(probers, began, strict=True):
                assert all(seen.value == {ADDRESS} for seen in prober.seen[first:]), prober.seen
            renewing.cancel()
            await cluster.until(lambda: not any(map(answers, probers)), "the end of a lease")
        finally:
            for task in (renewing, *asking):
                task.cancel()
            await asyncio.wait([renewing, *asking])


def answers(prober: Prober) -> bool:
    """Return whether a server answers the record."""
    last = prober.seen[-1:]
    return bool(last) and last[0].kind is Answer.VALUE and last[0].value == Value([ADDRESS])
