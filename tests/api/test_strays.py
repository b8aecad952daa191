"""Records whose name no longer belongs to the zone that they were registered under."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from musterd.kv import PutOp
from musterd.registry.keys import RECORDS
from musterd.server.store import open_etcd
from musterd.settings import StoreSettings
from tests.api.kit import ApiKit, running, settings
from tests.catalogkit import until
from tests.etcdkit import running as etcd_running
from tests.servers import MUSTERD, ServerFixture

PARENT = "/records/lab.test/q.kid/A"
CHILD = "/records/kid.lab.test/q/A"
LAB, KID = {"name": "lab.test"}, {"name": "kid.lab.test"}
BOTH = (LAB, KID)
DIRECTIONS = [((LAB,), BOTH, PARENT, CHILD), (BOTH, (LAB,), CHILD, PARENT)]
Zones = Sequence[dict[str, Any]]


@pytest.fixture(params=["embedded", pytest.param("etcd", marks=pytest.mark.slow)])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ApiKit]:
    """An API on each kind of store."""
    if request.param == "embedded":
        async with running(tmp_path, BOTH) as opened:
            yield opened
        return
    async with etcd_running(tmp_path / "etcd", "etcd-3.5") as etcd:
        store = await open_etcd(StoreSettings(url=f"etcd://{','.join(etcd.endpoints)}"))
        try:
            async with running(tmp_path, BOTH, other=store) as opened:
                yield opened
        finally:
            await store.close()


async def declare(api: ApiKit, zones: Zones) -> None:
    await api.context.catalog.reconfigure(settings(zones))


async def strand(api: ApiKit, before: Zones, after: Zones, old: str) -> dict[str, Any]:
    """Register a record, and change the zones so that its name belongs to another."""
    await declare(api, before)
    record: dict[str, Any] = await api.ok(
        "PUT", f"{old}/one", {"data": "10.0.0.1", "labels": {"a": "b"}}
    )
    await declare(api, after)
    assert "10.0.0.1" in answers(api)
    return record


def answers(api: ApiKit, name: str = "q.kid.lab.test.", rtype: str = "A") -> list[str]:
    return api.answers(name, rtype)


async def listed(api: ApiKit, path: str) -> list[str]:
    return sorted(record["data"] for record in (await api.ok("GET", path))["records"])


directions = pytest.mark.parametrize(("before", "after", "old", "new"), DIRECTIONS)


@directions
async def test_stray_is_shown(api: ApiKit, before: Zones, after: Zones, old: str, new: str) -> None:
    record = await strand(api, before, after, old)
    assert await api.ok("GET", f"{new}/one") == record
    found = await api.call("GET", new)
    assert found.json()["records"] == [record]
    assert found.headers["etag"] == f'"{record["revision"]}-1"'
    owner = new.rpartition("/")[0]
    assert (await api.ok("GET", owner))["records"] == [record]
    assert (await api.ok("GET", f"{owner}?type=TXT"))["records"] == []
    assert (await api.ok("GET", new.replace("/A", "/TXT")))["records"] == []
    # Where it was registered, too.
    assert await api.ok("GET", f"{old}/one") == record


@directions
async def test_stray_is_deleted(
    api: ApiKit, before: Zones, after: Zones, old: str, new: str
) -> None:
    for path in (new, old, f"{new}/one", f"{old}/one"):
        await strand(api, before, after, old)
        await api.ok("DELETE", path)
        assert answers(api) == []
        await api.refused(404, "GET", f"{new}/one")
        await api.refused(404, "DELETE", path)
        assert await listed(api, "/records") == []


@directions
async def test_stray_is_replaced(
    api: ApiKit, before: Zones, after: Zones, old: str, new: str
) -> None:
    record = await strand(api, before, after, old)
    written = await api.ok("PUT", f"{new}/one", {"data": "10.0.0.2"})
    assert (written["created"], written["registrant"]) == (record["created"], "first")
    assert answers(api) == ["10.0.0.2"]
    await strand_again(api, before, after, old)
    await api.ok("PUT", new, {"records": [{"data": "10.0.0.4"}]})
    assert answers(api) == ["10.0.0.4"]
    assert await listed(api, "/records") == ["10.0.0.4"]


async def strand_again(api: ApiKit, before: Zones, after: Zones, old: str) -> None:
    await declare(api, before)
    await api.ok("PUT", f"{old}/two", {"data": "10.0.0.3"})
    await declare(api, after)


@directions
async def test_record_added_beside_stray_moves_it(
    api: ApiKit, before: Zones, after: Zones, old: str, new: str
) -> None:
    await strand(api, before, after, old)
    await api.ok("POST", new, {"data": "10.0.0.2"})
    assert answers(api) == ["10.0.0.1", "10.0.0.2"] == await listed(api, new)
    moved = await api.ok("GET", f"{new}/one")
    assert moved["labels"] == {"a": "b"}
    assert {f"/records/{r['zone']}/{r['owner']}/A" for r in
            (await api.ok("GET", "/records"))["records"]} == {new}  # fmt: skip


@directions
async def test_same_data_added_beside_stray_is_one_record(
    api: ApiKit, before: Zones, after: Zones, old: str, new: str
) -> None:
    await declare(api, before)
    await api.ok("POST", old, {"data": "10.0.0.1"})
    await declare(api, after)
    await api.ok("POST", new, {"data": "10.0.0.1", "ttl": 5})
    assert len((await api.ok("GET", "/records"))["records"]) == 1


@directions
async def test_id_in_both_zones_keeps_both_records(
    api: ApiKit, before: Zones, after: Zones, old: str, new: str
) -> None:
    await strand(api, before, after, old)
    (entry,) = (await api.store.range(RECORDS)).entries
    key = RECORDS + f"{new.removeprefix('/records/')}/one".encode()
    await api.store.transaction((), (PutOp(key, entry.value.replace(b".1", b".2")),))
    await until(lambda: answers(api) == ["10.0.0.1", "10.0.0.2"])
    assert (await api.ok("GET", f"{new}/one"))["data"] == "10.0.0.2"
    assert await listed(api, new) == ["10.0.0.1", "10.0.0.2"]
    await api.ok("DELETE", f"{new}/one")
    assert answers(api) == ["10.0.0.1"]
    await api.ok("DELETE", new)
    assert answers(api) == []


@directions
async def test_preconditions_hold_for_stray(
    api: ApiKit, before: Zones, after: Zones, old: str, new: str
) -> None:
    record = await strand(api, before, after, old)
    revision = record["revision"]
    body = {"data": "10.0.0.2"}
    await api.refused(412, "PUT", f"{new}/one", body, headers={"if-none-match": "*"})
    await api.refused(412, "PUT", f"{new}/one", body, headers={"if-match": f'"{revision + 7}"'})
    await api.refused(412, "DELETE", new, headers={"if-match": f'"{revision}-2"'})
    assert answers(api) == ["10.0.0.1"]
    await api.ok("PUT", f"{new}/one", body, headers={"if-match": f'"{revision}"'})
    assert answers(api) == ["10.0.0.2"]
    await strand_again(api, before, after, old)
    tag = (await api.call("GET", new)).headers["etag"]
    rrset = {"records": [{"data": "10.0.0.9"}]}
    await api.ok("PUT", new, rrset, headers={"if-match": tag})
    assert answers(api) == ["10.0.0.9"]
    await strand_again(api, before, after, old)
    await api.ok("DELETE", f"{new}/two", headers={"if-match": "*"})
    assert answers(api) == ["10.0.0.9"]


@directions
async def test_alias_excludes_stray(
    api: ApiKit, before: Zones, after: Zones, old: str, new: str
) -> None:
    await strand(api, before, after, old)
    alias = new.replace("/A", "/CNAME")
    await api.refused(409, "PUT", f"{alias}/1", {"data": "web.lab.test."})
    await api.ok("DELETE", new)
    await api.ok("PUT", f"{alias}/1", {"data": "web.lab.test."})
    await declare(api, before)
    await api.refused(409, "PUT", f"{old}/1", {"data": "10.0.0.1"})


@directions
async def test_stray_keeps_its_lease(
    api: ApiKit, before: Zones, after: Zones, old: str, new: str
) -> None:
    await declare(api, before)
    lease = (await api.ok("POST", "/leases", {"ttl": 60}))["id"]
    await api.ok("PUT", f"{old}/one", {"data": "10.0.0.1", "lease": lease})
    await declare(api, after)
    await api.ok("POST", new, {"data": "10.0.0.2"})
    path = f"{new.removeprefix('/records/')}/one"
    assert (await api.ok("GET", f"/leases/{lease}"))["keys"] == [path]
    await api.ok("DELETE", f"/leases/{lease}")
    assert answers(api) == ["10.0.0.2"]


async def test_leased_stray_has_the_ttl_of_the_zone_of_its_name(tmp_path: Path) -> None:
    zones = ({"name": "lab.test", "ttl": 50},)
    async with running(tmp_path, zones) as api:
        await declare(api, [*zones, {"name": "kid.lab.test"}])
        lease = (await api.ok("POST", "/leases", {"ttl": 60}))["id"]
        await api.ok("PUT", f"{CHILD}/one", {"data": "10.0.0.1", "lease": lease})
        await declare(api, zones)
        assert api.reply("q.kid.lab.test.").answer[0].ttl == 50


@directions
async def test_history_of_a_name_includes_its_strays(
    api: ApiKit, before: Zones, after: Zones, old: str, new: str
) -> None:
    await strand(api, before, after, old)
    await api.ok("PUT", f"{new}/one", {"data": "10.0.0.2"})
    _, _, zone, owner, _ = new.split("/")
    query = f"/history?zone={zone}&owner={owner}&type=A&id=one"
    actions = [(e["action"], e["who"]) for e in (await api.ok("GET", query))["entries"]]
    assert sorted(actions[1:3]) == [("created", "first"), ("deleted", "first")]
    assert actions[0] == ("changed", "first")
    assert actions[3] == ("created", "first")
    pages, after_ = [], ""
    while after_ is not None:
        page = await api.ok("GET", f"{query}&limit=1{after_ and f'&after={after_}'}")
        pages += page["entries"]
        after_ = page["next"]
    assert [e["revision"] for e in pages] == sorted((e["revision"] for e in pages), reverse=True)
    assert len(pages) == 4


async def test_history_of_an_id_has_no_longer_ids(api: ApiKit) -> None:
    await api.ok("PUT", f"{CHILD}/1", {"data": "10.0.0.1"})
    await api.ok("PUT", f"{CHILD}/10", {"data": "10.0.0.2"})
    found = await api.ok("GET", "/history?zone=kid.lab.test&owner=q&type=A&id=1")
    assert [entry["record"]["id"] for entry in found["entries"]] == ["1"]


@directions
async def test_import_knows_strays(
    api: ApiKit, before: Zones, after: Zones, old: str, new: str
) -> None:
    await strand(api, before, after, old)
    zone = new.split("/")[2]
    text = (await api.call("GET", f"/zones/{zone}/export")).content
    assert b"10.0.0.1" in text
    done = await api.ok("POST", f"/zones/{zone}/import?replace=true", content=b"a 60 A 10.0.0.5\n",
                        headers={"content-type": "text/dns"})  # fmt: skip
    assert (done["added"], done["removed"]) == (1, 1)
    assert answers(api) == []
    await strand(api, before, after, old)
    again = await api.ok("POST", f"/zones/{zone}/import", content=text,
                         headers={"content-type": "text/dns"})  # fmt: skip
    assert again["added"] == 0
    assert answers(api) == ["10.0.0.1"]


async def test_records_of_a_zone_that_is_gone_are_listed_and_deleted(api: ApiKit) -> None:
    await api.ok("PUT", f"{CHILD}/one", {"data": "10.0.0.1"})
    await declare(api, ({"name": "other.test"},))
    assert await listed(api, "/records") == ["10.0.0.1"] == await listed(api, CHILD)
    assert await listed(api, "/records/kid.lab.test") == ["10.0.0.1"]
    await api.refused(404, "PUT", f"{CHILD}/one", {"data": "10.0.0.2"})
    assert (await api.ok("GET", f"{CHILD}/one"))["data"] == "10.0.0.1"
    await api.refused(404, "GET", "/records/nope.test/a/A/one")
    await api.ok("DELETE", f"{CHILD}/one")
    assert await listed(api, "/records") == []


async def test_records_of_a_zone_without_registrations_are_deleted(
    api: ApiKit, tmp_path: Path
) -> None:
    (tmp_path / "kid.zone").write_text("@ SOA ns h 1 1 1 1 1\n")
    source = {"name": "f", "path": str(tmp_path / "kid.zone"), "zone": "kid.lab.test"}
    zones: Zones = [LAB, {**KID, "sources": ["f"]}]
    config = settings(zones, sources={"zonefile": [source]})
    for path in (f"{CHILD}/one", f"{PARENT}/two"):
        await declare(api, BOTH if path.startswith(CHILD) else (LAB,))
        await api.ok("PUT", path, {"data": "10.0.0.1"})
    await api.context.catalog.reconfigure(config)
    assert await listed(api, CHILD) == ["10.0.0.1", "10.0.0.1"]
    await api.refused(409, "PUT", f"{CHILD}/one", {"data": "10.0.0.2"})
    await api.ok("DELETE", CHILD)
    assert await listed(api, "/records") == []


async def test_scope_of_the_zone_of_a_name_is_needed_for_its_strays(api: ApiKit) -> None:
    await strand(api, (LAB,), BOTH, PARENT)
    parent, child = await api.token("write:lab.test"), await api.token("write:kid.lab.test")
    await api.refused(403, "DELETE", f"{CHILD}/one", token=parent)
    await api.ok("DELETE", f"{CHILD}/one", token=child)
    await strand(api, (LAB,), BOTH, PARENT)
    await api.ok("PUT", f"{CHILD}/two", {"data": "10.0.0.2"}, token=child)
    assert await listed(api, CHILD) == ["10.0.0.1", "10.0.0.2"]
    await strand(api, (LAB,), BOTH, PARENT)
    # The record of this zone, and none of the other.
    await api.ok("DELETE", f"{PARENT}/one", token=parent)
    assert await listed(api, CHILD) == ["10.0.0.2"]


@pytest.mark.parametrize("path", [
    "lab.test/WEB/A/1", "Lab.test/web/A/1", "lab.test/web/a/1", "lab.test/web/TYPE1/1",
    "lab.test/web/A/a b", "lab.test/w\\101b/A/1", "lab.test./web/A/1", "lab.test/web./A/1",
])  # fmt: skip
async def test_record_under_a_key_that_no_path_names_is_reported(api: ApiKit, path: str) -> None:
    value = b'{"data":"10.0.0.1"}'
    await api.store.transaction((), (PutOp(RECORDS + path.encode(), value),))
    await api.ok("PUT", "/records/lab.test/end/A/1", {"data": "10.0.0.2"})
    assert answers(api, "web.lab.test.") == []
    assert await listed(api, "/records") == ["10.0.0.2"]
    (problem,) = (await api.ok("GET", "/status"))["problems"]
    assert path in problem


async def test_many_strays_move_at_once(api: ApiKit) -> None:
    await declare(api, (LAB,))
    records = [{"data": f"10.0.{n >> 8}.{n & 255}"} for n in range(40)]
    await api.ok("PUT", PARENT, {"records": records})
    await declare(api, BOTH)
    await api.ok("POST", CHILD, {"data": "10.1.0.0"})
    found = await listed(api, f"{CHILD}?limit=1000")
    assert len(found) == 41
    assert (await api.ok("GET", "/records/lab.test"))["records"] == []


@pytest.mark.slow
async def test_reload_reports_strays(fixture: ServerFixture) -> None:
    fixture.set(('name = "lab.internal"', 'name = "lab.test"'))
    async with fixture.process() as server:
        await server.ready()
        async with server.client() as client:
            put = await client.put("/records/lab.test/q.kid/A/one", json={"data": "10.0.0.1"})
            assert put.is_success
        more = fixture.settings.read_text()
        fixture.settings.write_text(f'{more}[[zones]]\nname = "kid.lab.test"\n')
        found = await server.logged("records belong to another zone now")
        assert (found["zone"], found["registered_in"]) == ("kid.lab.test", "lab.test")
        assert (found["records"], found["example"]) == (1, "lab.test/q.kid/A/one")
        await server.stop()
    async with fixture.process() as server:
        await server.logged("records belong to another zone now")
        fixture.settings.write_text(more.replace("lab.test", "other.test"))
        await server.logged("records are not answered: no zone is declared for them")
        environ = {"MUSTERD_SERVER": server.api.removesuffix("/v1"),
                   "MUSTERD_TOKEN_FILE": str(fixture.state / "token")}  # fmt: skip
        for line, expected in (
            ("show q.kid.lab.test", b"10.0.0.1"),
            ("history q.kid.lab.test", b"created"),
            ("list", b"q.kid.lab.test"),
            ("delete q.kid.lab.test A", b"deleted"),
        ):
            process = await asyncio.create_subprocess_exec(
                *MUSTERD, "record", *line.split(), env={**os.environ, **environ},
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, _ = await process.communicate()
            assert expected in out
            assert process.returncode == 0
