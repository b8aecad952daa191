"""Renewed leases survive restarts of etcd."""

import asyncio
from pathlib import Path

import pytest

from musterd.etcd import EtcdClient
from musterd.kv import LeaseNotFound
from tests.etcdkit import Etcd, running

pytestmark = pytest.mark.slow


async def test_concurrent_renewals_return_their_own_leases(client: EtcdClient) -> None:
    leases = [await client.leases.grant(60) for _ in range(20)]
    renewed = await asyncio.gather(*(client.leases.renew(lease.id) for lease in leases * 20))
    assert [lease.id for lease in renewed] == [lease.id for lease in leases] * 20
    await client.leases.revoke(leases[0].id)
    outcomes = await asyncio.gather(
        *(client.leases.renew(lease.id) for lease in leases), return_exceptions=True
    )
    assert isinstance(outcomes[0], LeaseNotFound)
    assert [lease.id for lease in leases[1:]] == [o.id for o in outcomes[1:]]  # type: ignore[union-attr]


async def test_lease_survives_restarts(client: EtcdClient, etcd: Etcd) -> None:
    lease = (await client.leases.grant(4)).id
    await client.put(b"key", b"", lease=lease)
    for _ in range(2):
        await etcd.restart()
        await asyncio.sleep(2.5)
        await client.leases.renew(lease)
    assert (await client.range(b"key")).entries
    await client.leases.revoke(lease)
    assert not (await client.range(b"key")).entries


async def test_renewal_waits_for_restart(client: EtcdClient, etcd: Etcd) -> None:
    lease = await client.leases.grant(60)
    etcd.kill()
    renewing = asyncio.create_task(client.leases.renew(lease.id))
    await asyncio.sleep(0)
    await etcd.start()
    assert (await renewing).id == lease.id


async def test_expired_login_token_disturbs_neither_lease_nor_watch(
    home: Path, version: str
) -> None:
    async with running(home, version, flags=["--auth-token-ttl", "1"]) as etcd:
        await etcd.with_users(("app", "secret", "a/"))
        options = etcd.options(user="app", password="secret")  # noqa: S106
        async with EtcdClient(options) as client:
            lease = (await client.leases.grant(5)).id
            async with client.watch(b"a/", b"a0") as watch:
                for number in range(3):
                    await client.put(b"a/%d" % number, b"", lease=lease)
                    await asyncio.sleep(1.5)
                    await client.leases.renew(lease)
                await etcd.restart()
                await client.put(b"a/3", b"")
                found = [(await anext(watch)).events[0].key for _ in range(4)]
            assert found == [b"a/0", b"a/1", b"a/2", b"a/3"]
            assert len((await client.range(b"a/", b"a0")).entries) == 4
            async with client.watch(b"a/", b"a0") as late:
                await client.delete(b"a/3")
                assert (await anext(late)).events[0].key == b"a/3"
