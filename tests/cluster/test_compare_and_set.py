"""Compare-and-set through two servers loses no update."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.cluster.cluster import Cluster, lasting
from tests.cluster.server import ZONE
from tests.cluster.writer import PATIENCE, UNSURE, address

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TIMES = round(lasting(1000, 60))
"""Total number of increments."""

Count = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


def body(number: int) -> dict[str, str]:
    return {"data": address(number), "description": str(number)}


def record_counter(owner: str) -> Count:
    """Return a function that increments a counter in a record."""
    path = f"/records/{ZONE}/{owner}/A/one"

    async def count(client: httpx.AsyncClient) -> httpx.Response:
        found = await client.get(path)
        if not found.is_success:
            return found
        number = int(found.json()["description"]) + 1
        return await client.put(
            path, json=body(number), headers={"if-match": found.headers["etag"]}
        )

    return count


def rrset_counter(owner: str) -> Count:
    """Return a function that increments a counter in an RRset whose record changes."""
    path = f"/records/{ZONE}/{owner}/A"

    async def count(client: httpx.AsyncClient) -> httpx.Response:
        found = await client.get(path)
        if not found.is_success:
            return found
        (record,) = found.json()["records"]
        new = {"records": [body(int(record["description"]) + 1)]}
        return await client.put(path, json=new, headers={"if-match": found.headers["etag"]})

    return count


class Counting:
    """Counts through one server. done: acknowledged; unsure: may have been counted."""

    def __init__(self, count: Count, client: httpx.AsyncClient) -> None:
        self.done = self.unsure = self.beaten = 0
        self._count = count
        self._client = client

    async def run(self, until: int, competed: Callable[[], bool]) -> None:
        """Count until ``until`` increments are acknowledged, and the servers have competed."""
        while self.done < until or not competed():
            answer = await self._count(self._client)
            if answer.is_success:
                self.done += 1
            elif answer.status_code == httpx.codes.PRECONDITION_FAILED:
                self.beaten += 1
            else:
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
                self.unsure += UNSURE in answer.text
                await asyncio.sleep(0.05)


async def counted(cluster: Cluster, owner: str, meanwhile: Awaitable[None], count: Count) -> None:
    servers = cluster.servers[:2]
    async with servers[0].client(PATIENCE) as first, servers[1].client(PATIENCE) as second:
        path = f"/records/{ZONE}/{owner}/A/one"
        (await first.put(path, json=body(0))).raise_for_status()
        both = [Counting(count, client) for client in (first, second)]

        def competed() -> bool:
            return any(each.beaten for each in both)

        await asyncio.gather(*(each.run(TIMES // 2, competed) for each in both), meanwhile)
        answer = await first.get(f"/records/{ZONE}/{owner}/A")
        (record,) = answer.json()["records"]
        done, unsure = sum(each.done for each in both), sum(each.unsure for each in both)
        assert done <= int(record["description"]) <= done + unsure
        for server in cluster.servers:
            assert record["data"] in {each.data for each in await cluster.exported(server)}


@pytest.mark.parametrize("count", [record_counter, rrset_counter])
async def test_compare_and_set_loses_no_update(
    cluster: Cluster, count: Callable[[str], Count]
) -> None:
    owner = f"cas-{count.__name__.replace('_', '-')}"
    await counted(cluster, owner, asyncio.sleep(0), count(owner))


async def test_compare_and_set_survives_loss_of_leader(cluster: Cluster) -> None:
    async def lose() -> None:
        leader = await cluster.leader()
        cluster.etcd.kill(leader)
        await asyncio.sleep(lasting(20, 1))
        await cluster.etcd.start(leader)

    await counted(cluster, "cas-leader", lose(), rrset_counter("cas-leader"))
