"""Servers that log in to etcd with short-lived tokens."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from musterd.registry.tokens import new_text
from tests.cluster.cluster import LENGTH, Cluster, lasting
from tests.cluster.server import ClusterServer
from tests.etcdkit import BINARIES, Etcd, binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TTL = 1
"""TTL of an unused token, seconds."""
LOGIN = {"name": "musterd", "password": "s3cret-of-musterd"}
ROOT = {"name": "root", "password": "root"}


VERSIONS = list(BINARIES)
"""The short run uses only the first."""


@pytest.fixture(params=VERSIONS if LENGTH >= 1 else VERSIONS[:1])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    etcd = Etcd(tmp_path / "etcd", binary(request.param), flags=("--auth-token-ttl", str(TTL)))
    store = 'user = "{name}"\npassword = "{password}"'.format(**LOGIN)
    first = new_text()
    servers = [
        ClusterServer(tmp_path / f"s{number}", etcd.endpoints, first, store=store)
        for number in range(2)
    ]
    made = Cluster(etcd, servers, login=ROOT)
    try:
        await etcd.start()
        await etcd.with_users((LOGIN["name"], LOGIN["password"], "/musterd/"))
        await made.start()
        yield made
    finally:
        made.close()


async def test_servers_survive_expired_tokens(cluster: Cluster) -> None:
    async with cluster.watched():
        for _ in range(round(lasting(4, 1))):
            # No token is used without writes.
            await cluster.stop_writes()
            await asyncio.sleep(TTL + lasting(10, 1.5))
            cluster.resume_writes()
            await cluster.acknowledged(*cluster.servers)
        # A change of roles invalidates every token; a restart drops them all.
        await cluster.add_role("another")
        await cluster.acknowledged(*cluster.servers)
        await cluster.etcd.restart()
        await cluster.acknowledged(*cluster.servers)
        if LENGTH >= 1:
            await cluster.restart(cluster.servers[0])
            await cluster.crash(cluster.servers[1])
    for server in cluster.servers:
        assert LOGIN["password"] not in server.text()
