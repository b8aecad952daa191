"""Servers with a registry in etcd: alone, beside another server, and while etcd is down."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import httpx
import pytest
from dns.edns import EDEOption

from musterd.cli import run
from musterd.etcd import ALL, EtcdClient
from musterd.registry.tokens import new_text
from musterd.server.server import Server
from tests.catalogkit import until
from tests.etcdkit import BINARIES, SMALL, Etcd, running
from tests.servers import ServerFixture, answers

pytestmark = pytest.mark.slow
ONE = "/records/lab.internal/web/A/one"
TWO = "/records/lab.internal/web/A/two"
VERSION = "etcd-3.5"
TOO_MUCH = (422, "urn:musterd:problem:too-much")


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[Etcd]:
    async with running(tmp_path / "etcd", VERSION) as etcd:
        yield etcd


def etcd_fixture(etcd: Etcd, folder: Path, more: str = "") -> ServerFixture:
    """Create the directory of a server that uses an etcd."""
    folder.mkdir()
    fixture = ServerFixture(folder)
    url = "etcd://" + ",".join(etcd.endpoints)
    fixture.set(("[state]\n", f'[store]\nurl = "{url}"\ntimeout = 1.0\n{more}\n[state]\n'))
    return fixture


async def ready(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Wait until the server knows the token of a client; another server may have created it."""
    async with asyncio.timeout(20):
        while not (await client.get("/records")).is_success:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return client


async def until_servers(client: httpx.AsyncClient, count: int) -> dict[str, Any]:
    """Return the status once it shows a number of servers, each with its DNS and API addresses."""

    def known(status: dict[str, Any]) -> bool:
        rows = status["servers"]
        return len(rows) >= count and all(len(row["addresses"]) == 2 for row in rows)

    return await until_status(client, known)


async def put(client: httpx.AsyncClient, path: str, data: str) -> None:
    answer = await client.put(path, json={"data": data})
    assert answer.is_success, answer.text


async def test_two_servers_share_one_etcd(etcd: Etcd, tmp_path: Path) -> None:
    one, two = (etcd_fixture(etcd, tmp_path / name) for name in ("one", "two"))
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(fixture.serve()) for fixture in (one, two)]
        # The first server creates a token; both may have done so.
        await until(lambda: any((fixture.state / "token").exists() for fixture in (one, two)))
        token = next(fixture.token for fixture in (one, two) if (fixture.state / "token").exists())
        clients = [
            await ready(await stack.enter_async_context(one.client(server, token=token)))
            for server in servers
        ]
        await put(clients[0], ONE, "10.0.0.1")
        await put(clients[1], TWO, "10.0.0.2")
        status = await until_servers(clients[0], 2)
        assert status["store"]["kind"] == "etcd"
        assert all(server["running"] for server in status["servers"])
        assert {server["addresses"][0] for server in status["servers"]} == {
            server.state.listening[0] for server in servers
        }
        for server in servers:
            await until_answered(server, "web", ["10.0.0.1", "10.0.0.2"])
        await clients[1].delete(ONE)
        await until_answered(servers[0], "web", ["10.0.0.2"])
        entries = (await clients[0].get("/history")).json()["entries"]
        assert [entry["action"] for entry in entries] == ["deleted", "created", "created"]
        assert all(entry["time"] > 1_700_000_000 for entry in entries)


MANY = "/records/lab.internal/many/A"
ALL_OF_MANY = f"{MANY}?limit=1000"


def many_body(count: int) -> dict[str, Any]:
    return {"records": [{"data": f"10.1.{n // 250}.{n % 250}"} for n in range(count)]}


async def test_rrset_write_over_transaction_limit_is_rejected(
    etcd: Etcd,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A write too large for one step is rejected; single records still work."""
    fixture = etcd_fixture(etcd, tmp_path / "one")
    async with fixture.serve() as server:
        await until((fixture.state / "token").exists)
        monkeypatch.setenv("MUSTERD_SERVER", f"http://{server.api_address}")
        monkeypatch.setenv("MUSTERD_TOKEN_FILE", str(fixture.state / "token"))
        async with fixture.client(server) as client:
            await ready(client)
            refused = await client.put(MANY, json=many_body(129))
            assert (refused.status_code, refused.json()["type"]) == TOO_MUCH
            for count in range(126, 131):
                assert (await client.put(MANY, json=many_body(min(count, 128)))).is_success
                for record in many_body(count)["records"][128:]:
                    assert (await client.post(MANY, json=record)).is_success
                there = (await client.get(ALL_OF_MANY)).json()["records"]
                assert len(there) == count
                # Two more conditions than records: no other record, and no alias.
                fewer = await client.put(MANY, json=many_body(count - 1))
                assert fewer.status_code == (200 if count <= 126 else 422)
                if count > 126:
                    assert fewer.json()["type"] == TOO_MUCH[1]
                    assert "the store takes 128 of each" in fewer.json()["detail"]
                    assert "single records" in fewer.json()["detail"]
                    # An equal record is no change.
                    assert count > 128 or (await client.put(MANY, json=many_body(count))).is_success
                    assert (await client.get(ALL_OF_MANY)).json()["records"] == there
                gone = await client.delete(MANY, headers={"if-match": "*"})
                assert gone.status_code == (204 if count <= 127 else 422)
                if count > 127:
                    assert (await client.get(ALL_OF_MANY)).json()["records"] == there
                    line = ["record", "delete", "many.lab.internal", "A"]
                    held = [*line, "--if-revision", str(max(r["revision"] for r in there))]
                    assert await asyncio.to_thread(run, held) == 1
                    assert "single records" in capsys.readouterr().err
                    assert await asyncio.to_thread(run, line) == 0
                    assert capsys.readouterr().out == "many.lab.internal A: deleted\n"
                assert (await client.get(ALL_OF_MANY)).json()["records"] == []
            await until_answered(server, "many", [])


async def test_status_lists_other_servers(
    etcd: Etcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server was killed, or etcd is unavailable."""
    token = new_text()
    environ = {"MUSTERD_API__FIRST_TOKEN": token}
    one, two = (etcd_fixture(etcd, tmp_path / name) for name in ("one", "two"))
    async with one.serve(environ) as server, one.client(server, token=token) as client:
        await ready(client)
        async with two.process(**environ) as other:
            await other.ready()
            status = await until_servers(client, 2)
            found = {row["addresses"][0]: row for row in status["servers"]}
            own = found.pop(server.state.listening[0])
            (stranger,) = found.values()
            assert own["running"]
            assert stranger["running"]
            assert stranger["lag"] == 0
            # No server lags, and none is reported as lagging.
            if own["lag"] == 0:
                assert own["revision"] == stranger["revision"] == status["store"]["revision"]
        gone = await until_status(
            client, lambda status: not all(row["running"] for row in status["servers"])
        )
        (row,) = (row for row in gone["servers"] if not row["running"])
        assert {name: row[name] for name in ("name", "version", "started", "addresses")} == {
            name: stranger[name] for name in ("name", "version", "started", "addresses")
        }
        assert (row["revision"], row["lag"]) == (None, None)
        monkeypatch.setenv("MUSTERD_TOKEN", token)
        line = ["status", "--server", f"http://{server.api_address}"]
        assert await asyncio.to_thread(run, line) == 0
        out = capsys.readouterr().out
        (row_text,) = (line for line in out.splitlines() if line.startswith(row["name"] + " "))
        assert row_text.split()[1] == "stopped"
        etcd.kill()
        lost = await until_status(client, lambda status: status["servers"][0]["lag"] > 0)
        (row,) = lost["servers"]
        assert row["running"]
        assert row["name"] == own["name"]
        assert any("the other servers that share the store" in each for each in lost["problems"])
        await until_status(client, lambda status: status["servers"][0]["lag"] > row["lag"])


async def until_status(
    client: httpx.AsyncClient, wanted: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Return the status once it meets a condition."""
    async with asyncio.timeout(40):
        while True:
            status: dict[str, Any] = (await client.get("/status")).json()
            if wanted(status):
                return status
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("version", BINARIES)
async def test_full_etcd_is_reported(version: str, tmp_path: Path) -> None:
    """Writes fail with advice that works; everything else continues."""
    async with running(tmp_path / "etcd", version, flags=SMALL) as etcd:
        fixture = etcd_fixture(etcd, tmp_path / "one")
        async with fixture.serve() as server:
            await until((fixture.state / "token").exists)
            async with fixture.client(server) as client:
                await put(await ready(client), ONE, "10.0.0.1")
                lease = (await client.post("/leases", json={"ttl": 60})).json()["id"]
                await etcd.fill()
                assert (await client.post("/leases", json={"ttl": 60})).status_code == 503
                assert (await client.post(f"/leases/{lease}/keepalive")).is_success
                for path in (ONE, TWO):
                    answer = await client.put(path, json={"data": "10.0.0.2"})
                    assert answer.status_code == 503
                    assert answer.json()["type"] == "urn:musterd:problem:store-full"
                    for step in ("compact", "defragment", "etcdctl alarm disarm"):
                        assert step in answer.text
                assert (await client.delete(ONE)).status_code == 503
                assert (await client.get(ONE)).json()["data"] == "10.0.0.1"
                assert len((await client.get("/history")).json()["entries"]) == 1
                assert await answers(server, "web") == ["10.0.0.1"]
                assert state(server) == "synced"
                async with EtcdClient(etcd.options()) as raw:
                    await raw.compact((await raw.range(b"x")).revision)
                await etcd.gateway("maintenance/defragment", {})
                # Same as `etcdctl alarm disarm`.
                for alarm in (await etcd.gateway("maintenance/alarm", {"action": "GET"}))["alarms"]:
                    disarm = {"action": "DEACTIVATE", **alarm}
                    await etcd.gateway("maintenance/alarm", disarm)
                await put(client, TWO, "10.0.0.2")
                await until_answered(server, "web", ["10.0.0.1", "10.0.0.2"])


async def until_answered(server: Server, name: str, wanted: list[str]) -> None:
    async with asyncio.timeout(10):
        while await answers(server, name) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_server_starts_without_etcd(etcd: Etcd, tmp_path: Path) -> None:
    """The server starts, reports what is missing, and recovers once etcd runs."""
    etcd.kill()
    fixture = etcd_fixture(etcd, tmp_path / "one")
    async with fixture.serve() as server:
        assert await rcode(server) == "SERVFAIL"
        async with fixture.client(server, token=new_text()) as client:
            async with asyncio.timeout(10):
                answer = await client.get("/records")
        assert answer.status_code == 503
        assert "can't be read yet" in answer.text
        await etcd.start()
        await until((fixture.state / "token").exists)
        async with fixture.client(server) as client:
            await put(await ready(client), ONE, "10.0.0.1")
            await until_answered(server, "web", ["10.0.0.1"])


async def test_server_survives_etcd_outage(etcd: Etcd, tmp_path: Path) -> None:
    """Answers continue, writes fail clearly, and a restarted server uses its snapshot."""
    fixture = etcd_fixture(etcd, tmp_path / "one")
    async with fixture.serve() as server:
        await until((fixture.state / "token").exists)
        async with fixture.client(server) as client:
            await put(await ready(client), ONE, "10.0.0.1")
            await until_answered(server, "web", ["10.0.0.1"])
            etcd.kill()
            answer = await client.put(ONE, json={"data": "10.0.0.2"})
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:musterd:problem:store"
            assert etcd.endpoints[0] in answer.text
            assert await answers(server, "web") == ["10.0.0.1"]
            await until(lambda: state(server) == "lost")
            await etcd.start()
            await until(lambda: state(server) == "synced")
            await put(client, TWO, "10.0.0.2")
            assert await answers(server, "web") == ["10.0.0.1", "10.0.0.2"]
    etcd.kill()
    async with fixture.serve() as server:
        await until_answered(server, "web", ["10.0.0.1", "10.0.0.2"])
        assert state(server) in {"restored", "lost"}
        await etcd.start()
        await until(lambda: state(server) == "synced")


def state(server: Server) -> str:
    (report,) = server.catalog.source_reports()
    return report.state


async def rcode(server: Server) -> str:
    host, port = server.state.listening[0].rsplit(":", 1)
    query = dns.message.make_query("web.lab.internal", "A", use_edns=0)
    reply = await dns.asyncquery.udp(query, host, port=int(port), timeout=10)
    # RFC 8914 section 4.15: not ready.
    assert [option.code for option in reply.options if isinstance(option, EDEOption)] == [14]
    return dns.rcode.to_text(reply.rcode())


async def test_server_runs_without_state_directory(etcd: Etcd, tmp_path: Path) -> None:
    text = new_text()
    fixture = etcd_fixture(etcd, tmp_path / "one", 'prefix = "/prod"')
    fixture.text = fixture.settings.read_text()
    fixture.set((f'dir = "{fixture.state}"', 'dir = ""'))
    async with (
        fixture.serve({"MUSTERD_API__FIRST_TOKEN": text}) as server,
        fixture.client(server, token=text) as client,
    ):
        await put(await ready(client), ONE, "10.0.0.1")
        await until_answered(server, "web", ["10.0.0.1"])
    async with EtcdClient(etcd.options()) as raw:
        found = await raw.range(ALL, ALL, keys_only=True)
    assert found.entries
    assert all(entry.key.startswith(b"/prod/musterd/v1/") for entry in found.entries)
