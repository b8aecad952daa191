"""A source on a real etcd: it answers all writes, and survives all failures of etcd."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from musterd.catalog import Catalog
from musterd.catalog.rows import GENERATION_BYTES, SOURCE_BYTES
from musterd.etcd import EtcdClient
from musterd.sources.changes import Lost
from musterd.sources.etcd import EtcdSource, lease_ttl
from tests.catalogkit import ManualClock, RecordingCore, until
from tests.etcd_records.kit import NAME, ZONE, Fed, IndexModel, feeding, settings, wire
from tests.etcdkit import BINARIES, Etcd, Proxy, running
from tests.needs import needs

pytestmark = needs("etcd")
BASE = "/skydns/internal/lab/"


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[Etcd]:
    async with running(tmp_path / "etcd", "etcd-3.4") as etcd:
        yield etcd


class DirectWriter:
    """Writes past the proxy."""

    def __init__(self, etcd: Etcd) -> None:
        self._client = EtcdClient(etcd.options())

    async def __aenter__(self) -> "DirectWriter":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def __call__(self, path: str, value: Any) -> int:
        """Put a value, or delete the key for None; return the revision."""
        key = (BASE + path).encode()
        if value is None:
            return (await self._client.delete(key))[0]
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return await self._client.put(key, raw)


async def put(fed: Fed, path: str, value: Any, lease: int = 0) -> None:
    key = path if path.startswith("/") else BASE + path
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    await fed.client.put(key.encode(), raw, lease=lease)


def address(number: int) -> dict[str, Any]:
    return {"host": f"10.0.0.{number}", "port": -1}


def lines(core: RecordingCore, name: str) -> list[str]:
    """Return the answers of a name below the zone."""
    return [
        line.split(" ", 1)[1] for line in core.text(ZONE) if line.startswith(f"{name}.{ZONE}. ")
    ]


async def answered(core: RecordingCore, name: str, *expected: str) -> None:
    await until(lambda: lines(core, name) == list(expected))


async def test_list_and_changes_are_answered(etcd: Etcd) -> None:
    core = RecordingCore()
    async with feeding(etcd.options(), core) as fed:
        await put(fed, "web/a", address(1))
        await put(fed, "web/b", {**address(2), "ttl": 5})
        await answered(core, "web", "5 A 10.0.0.1", "5 A 10.0.0.2")
        await fed.client.delete(f"{BASE}web/b".encode())
        await answered(core, "web", "300 A 10.0.0.1")
    core = RecordingCore()
    async with feeding(etcd.options(), core) as fed:
        assert lines(core, "web") == ["300 A 10.0.0.1"]
        assert fed.state == "synced"
        (given,) = fed.catalog.explain(b"\x03lab\x08internal\0", b"\1a\3web\x03lab\x08internal\0")
        assert given.key == f"{BASE}web/a"
        assert given.revision == 2


async def test_unreadable_value_is_reported_and_others_are_answered(etcd: Etcd) -> None:
    core = RecordingCore()
    async with feeding(etcd.options(), core) as fed:
        await put(fed, "web/a", b'{"host":')
        await put(fed, "web/b", address(2))
        await answered(core, "web", "300 A 10.0.0.2")
        assert fed.problems == [f"{BASE}web/a"]
        await put(fed, "web/a", address(1))
        await answered(core, "web", "300 A 10.0.0.1", "300 A 10.0.0.2")
        assert fed.problems == []
        await put(fed, "web/c", b"{")
        await put(fed, "w b", address(1))
        await until(lambda: len(fed.problems) == 2)
        await fed.client.delete(f"{BASE}web/c".encode())
        await fed.client.delete(f"{BASE}w b".encode())
        await until(lambda: fed.problems == [])
        (report,) = fed.catalog.source_reports()
        assert report.problems_total == 3


@pytest.mark.parametrize("version", BINARIES)
async def test_login_limited_to_the_prefix(version: str, tmp_path: Path) -> None:
    """A role may read these keys only, although a lease may have others, too."""
    async with running(tmp_path, version) as etcd:
        await _reads(etcd)


async def _reads(etcd: Etcd) -> None:
    async with EtcdClient(etcd.options()) as client:
        lease = (await client.leases.grant(60)).id
        for key in (f"{BASE}web/a", "/other/a", f"{BASE}web/b"):
            await client.put(key.encode(), json.dumps(address(1)).encode(), lease=lease)
    await etcd.with_users(("reader", "secret", "/skydns/"), read_only=True)
    root = EtcdClient(etcd.options(user="root", password="root"))  # noqa: S106
    login = etcd.options(user="reader", password="secret")  # noqa: S106
    core = RecordingCore()
    async with root, feeding(login, core) as fed:
        await answered(core, "web", "60 A 10.0.0.1")
        lease = (await root.leases.grant(90)).id
        for key in ("/other/b", f"{BASE}one"):
            await root.put(key.encode(), json.dumps(address(2)).encode(), lease=lease)
        await answered(core, "one", "90 A 10.0.0.2")
        assert fed.state == "synced"
        assert fed.problems == []


async def test_login_without_permission_is_reported(etcd: Etcd) -> None:
    await etcd.with_users(("reader", "secret", "/other/"), read_only=True)
    login = etcd.options(user="reader", password="secret")  # noqa: S106
    source = EtcdSource(NAME, login, "skydns", "/skydns", wire(ZONE), 300)
    async with asyncio.timeout(10), aclosing(source.changes()) as changes:
        lost = await anext(changes)
    assert isinstance(lost, Lost)
    assert "user reader may not read /skydns/: grant it a role with this permission" in lost.reason


async def test_lease_ttl_is_the_granted_time(etcd: Etcd) -> None:
    core = RecordingCore()
    async with feeding(etcd.options(), core) as fed:
        for name, ttl in (("short", 5), ("some", 60), ("long", 100_000)):
            lease = await fed.client.leases.grant(ttl)
            await put(fed, name, {**address(1), "ttl": 100_000}, lease.id)
            least, most = lease_ttl.MIN_TTL, lease_ttl.MAX_TTL
            await answered(core, name, f"{min(max(ttl, least), most)} A 10.0.0.1")
            await fed.client.leases.revoke(lease.id)
            await answered(core, name)


async def test_restart_of_etcd_needs_no_second_list(etcd: Etcd) -> None:
    core = RecordingCore()
    async with feeding(etcd.options(), core) as fed:
        await put(fed, "web", address(1))
        await answered(core, "web", "300 A 10.0.0.1")
        await etcd.restart()
        core.forget()
        await put(fed, "web", address(2))
        await answered(core, "web", "300 A 10.0.0.2")
        assert {row[1] for batch in core.batches for row in batch} <= {
            b"\3lab\10internal\0",
            b"\3web\3lab\10internal\0",
        }


@pytest.mark.slow
async def test_source_recovers_after_a_partition(etcd: Etcd) -> None:
    core = RecordingCore()
    async with (
        Proxy(etcd.endpoints[0]) as proxy,
        feeding(etcd.options(endpoints=(proxy.address,)), core) as fed,
        DirectWriter(etcd) as write,
    ):
        await write("web", address(1))
        await answered(core, "web", "300 A 10.0.0.1")
        proxy.silence()
        async with asyncio.timeout(10):
            await until(lambda: fed.state == "lost")
        assert lines(core, "web") == ["300 A 10.0.0.1"]
        other = fed.synced
        proxy.cut()
        proxy.forward()
        await until(lambda: fed.state == "synced")
        assert fed.synced == other + 1
        await write("web", address(2))
        await answered(core, "web", "300 A 10.0.0.2")


@pytest.mark.slow
async def test_compaction_causes_a_resync(etcd: Etcd) -> None:
    core = RecordingCore()
    async with (
        Proxy(etcd.endpoints[0]) as proxy,
        feeding(etcd.options(endpoints=(proxy.address,)), core) as fed,
        DirectWriter(etcd) as write,
    ):
        for number in range(1, 4):
            await write(f"w{number}", address(number))
        await write("Odd", address(8))
        await write("bad", b"{")
        await answered(core, "odd", "300 A 10.0.0.8")
        proxy.silence()
        await write("w1", None)
        await write("Odd", None)
        await write("bad", None)
        await write("w2", address(7))
        await write("w4", address(4))
        revision = await write("last", address(9))
        await etcd.gateway("kv/compaction", {"revision": revision, "physical": True})
        await until(lambda: fed.state == "lost")
        core.forget()
        proxy.cut()
        proxy.forward()
        await answered(core, "last", "300 A 10.0.0.9")
        await until(lambda: fed.state == "synced")
        assert fed.problems == []
        found = {name: lines(core, name) for name in ("w1", "w2", "w3", "w4", "odd")}
        assert found == {
            "w1": [], "w2": ["300 A 10.0.0.7"], "w3": ["300 A 10.0.0.3"],
            "w4": ["300 A 10.0.0.4"], "odd": [],
        }  # fmt: skip
        updated = {row[1] for batch in core.batches for row in batch}
        assert b"\2w3\3lab\10internal\0" not in updated


async def test_status_keys_are_followed(etcd: Etcd) -> None:
    core = RecordingCore()
    base = "/containerdns/internal/lab/web/"
    async with feeding(etcd.options(), core, layout="containerdns") as fed:
        for number in (1, 2):
            await put(fed, f"{base}{number}/", {"host": f"10.0.0.{number}", "type": "A"})
        await answered(core, "web", "300 A 10.0.0.1", "300 A 10.0.0.2")
        status = "/containerdns/monitor/status/10.0.0.1"
        await put(fed, status, {"status": "DOWN", "ports": ["80"]})
        await answered(core, "web", "300 A 10.0.0.2")
        zone, web = wire(ZONE, f"web.{ZONE}")
        up, down = fed.catalog.explain(zone, web)
        assert (up.hidden, down.hidden) == ("", f"{status} reports it as down")
        assert (up.rrset.records, down.rrset.records) == (
            ((1, bytes((10, 0, 0, 2))),), ((1, bytes((10, 0, 0, 1))),),
        )  # fmt: skip
        assert (down.key, down.revision, down.rrset.ttl) == (up.key, up.revision, 300)
    core = RecordingCore()
    async with feeding(etcd.options(), core, layout="containerdns") as fed:
        assert lines(core, "web") == ["300 A 10.0.0.2"]
        await fed.client.delete(status.encode())
        await answered(core, "web", "300 A 10.0.0.1", "300 A 10.0.0.2")


async def test_snapshot_answers_until_the_list(etcd: Etcd) -> None:
    core = RecordingCore()
    async with feeding(etcd.options(), core) as fed:
        await put(fed, "web/a", address(1))
        await put(fed, "gone", address(2))
        await answered(core, "gone", "300 A 10.0.0.2")
        taken = fed.catalog.snapshot(NAME)
        assert taken
        before = core.text(ZONE)
        await fed.client.delete(f"{BASE}gone".encode())
        await answered(core, "gone")
    saved = [(key[SOURCE_BYTES:], row[GENERATION_BYTES:]) for key, row in taken[0].items()]
    core = RecordingCore()
    catalog = Catalog(core, ManualClock())
    await catalog.reconfigure(settings([ZONE]))
    assert await catalog.restore(NAME, 1.0, iter(saved))
    assert core.text(ZONE) == before
    async with feeding(etcd.options(), core, catalog=catalog):
        assert lines(core, "gone") == []
        assert lines(core, "web") == ["300 A 10.0.0.1"]


async def test_many_keys_are_listed_in_pages(etcd: Etcd) -> None:
    """Several pages of keys, and more keys below a name than it answers with."""
    model = IndexModel()
    core = RecordingCore()
    async with DirectWriter(etcd) as write:
        for at in range(0, 1200, 100):
            await asyncio.gather(
                *(
                    write(f"n{n}", {"host": f"10.1.{n // 200}.{n % 200}"})
                    for n in range(at, at + 100)
                )
            )
    for n in range(1200):
        model.put(f"n{n}", {"host": f"10.1.{n // 200}.{n % 200}"})
    async with feeding(etcd.options(), core) as fed:
        assert fed.problems == [f"{ZONE}."]
        expected = [line for line in model.text() if line.startswith("n")]
        assert len(expected) == 2400
        found = [line for line in core.text(ZONE) if line.startswith("n")]
        assert len(found) == 2400
        assert len([line for line in core.text(ZONE) if line.startswith(f"{ZONE}. 300 A ")]) == 1000
