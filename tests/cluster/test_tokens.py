"""Servers that log in to etcd, whose tokens are good for a moment only."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from musterd.registry.tokens import new_text
from tests.cluster.house import LENGTH, House, lasting
from tests.cluster.server import Server
from tests.etcdkit import BINARIES, Etcd, binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TTL = 1
"""Of a token that nobody uses, seconds."""
LOGIN = {"name": "musterd", "password": "s3cret-of-musterd"}
ROOT = {"name": "root", "password": "root"}


VERSIONS = list(BINARIES)
"""The first in the short run."""


@pytest.fixture(params=VERSIONS if LENGTH >= 1 else VERSIONS[:1])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    etcd = Etcd(tmp_path / "etcd", binary(request.param), flags=("--auth-token-ttl", str(TTL)))
    store = 'user = "{name}"\npassword = "{password}"'.format(**LOGIN)
    first = new_text()
    servers = [
        Server(tmp_path / f"s{number}", etcd.endpoints, first, store=store) for number in range(2)
    ]
    made = House(etcd, servers, login=ROOT)
    try:
        await etcd.start()
        await etcd.with_users((LOGIN["name"], LOGIN["password"], "/musterd/"))
        await made.start()
        yield made
    finally:
        made.close()


async def test_tokens_expire(house: House) -> None:
    async with house.watched():
        for _ in range(round(lasting(4, 1))):
            # While nobody writes no token is used.
            await house.quiet()
            await asyncio.sleep(TTL + lasting(10, 1.5))
            house.loud()
            await house.acknowledged(*house.servers)
        # What changes who may what makes every token too old; a restart forgets them all.
        await house.allow("another")
        await house.acknowledged(*house.servers)
        await house.etcd.restart()
        await house.acknowledged(*house.servers)
        if LENGTH >= 1:
            await house.restart(house.servers[0])
            await house.crash(house.servers[1])
    for server in house.servers:
        assert LOGIN["password"] not in server.text()
