"""Single records and RRsets: written, read, answered, compared and set, removed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.api.kit import ZONE, ApiKit, running

WEB = "/records/lab.internal/web/A"


@pytest.fixture(params=["fast", "fastapi"])
def api(api: ApiKit, request: pytest.FixtureRequest) -> ApiKit:
    """Run each test over the fast path and over FastAPI."""
    api.fast = request.param == "fast"
    return api


async def test_record_is_in_answers_when_its_write_returns(api: ApiKit) -> None:
    wanted = {
        "data": "10.0.0.1",
        "ttl": 60,
        "weight": 3,
        "description": "front",
        "labels": {"a": "b"},
    }
    response = await api.call("PUT", f"{WEB}/one", wanted)
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1{WEB}/one"
    record = response.json()
    assert response.headers["etag"] == f'"{record["revision"]}"'
    expected = {"zone": "lab.internal", "owner": "web", "type": "A", "id": "one", "policy": None,
                "ptr": None, "registrant": "first", "lease": None, **wanted}  # fmt: skip
    assert expected.items() <= record.items()
    assert record["created"] == record["modified"]
    assert api.answers("web") == ["10.0.0.1"]
    assert api.reply("web.lab.internal.").answer[0].ttl == 60
    assert await api.ok("GET", f"{WEB}/one") == record


async def test_unchanged_write_keeps_revision(api: ApiKit) -> None:
    first = await api.ok("PUT", f"{WEB}/one", {"data": "10.0.0.1"})
    response = await api.call("PUT", f"{WEB}/one", {"data": "10.0.0.1"})
    assert response.status_code == 200
    assert response.json() == first


async def test_change_keeps_registrant_and_creation_time(api: ApiKit) -> None:
    first = await api.ok("PUT", f"{WEB}/one", {"data": "10.0.0.1"})
    other = await api.token("write:lab.internal", name="other")
    second = await api.ok("PUT", f"{WEB}/one", {"data": "10.0.0.2"}, token=other)
    assert second["registrant"] == "first"
    assert second["created"] == first["created"]
    assert second["modified"] > first["modified"]
    assert second["revision"] > first["revision"]
    assert api.answers("web") == ["10.0.0.2"]


async def test_post_derives_id_from_data(api: ApiKit) -> None:
    response = await api.call("POST", WEB, {"data": "10.0.0.1"})
    assert response.status_code == 201
    one = response.json()
    assert response.headers["location"] == f"/v1{WEB}/{one['id']}"
    again = await api.call("POST", WEB, {"data": "10.0.0.1"})
    assert (again.status_code, again.json()) == (200, one)
    changed = await api.ok("POST", WEB, {"data": "10.0.0.1", "ttl": 5})
    assert (changed["id"], changed["ttl"]) == (one["id"], 5)
    await api.ok("POST", WEB, {"data": "10.0.0.2"})
    assert api.answers("web") == ["10.0.0.1", "10.0.0.2"]


async def test_data_id_ignores_case_of_names(api: ApiKit) -> None:
    path = "/records/lab.internal/web/CNAME"
    one = await api.ok("POST", path, {"data": "Host.Example."})
    two = await api.ok("POST", path, {"data": "host.example"})
    assert one["id"] == two["id"]


async def test_deleted_record_is_not_found(api: ApiKit) -> None:
    await api.ok("PUT", f"{WEB}/one", {"data": "10.0.0.1"})
    response = await api.call("DELETE", f"{WEB}/one")
    assert (response.status_code, response.content) == (204, b"")
    assert api.answers("web") == []
    await api.refused(404, "GET", f"{WEB}/one")
    await api.refused(404, "DELETE", f"{WEB}/one")


async def test_rrset_is_replaced_at_once(api: ApiKit) -> None:
    await api.ok("PUT", f"{WEB}/old", {"data": "10.0.0.1"})
    kept = await api.ok("PUT", f"{WEB}/kept", {"data": "10.0.0.2"})
    records = [{"data": "10.0.0.2", "id": "kept"}, {"data": "10.0.0.3"}]
    response = await api.call("PUT", WEB, {"records": records})
    found = response.json()
    assert response.headers["etag"] == f'"{found["revision"]}-2"'
    assert [record for record in found["records"] if record["id"] == "kept"] == [kept]
    assert api.answers("web") == ["10.0.0.2", "10.0.0.3"]
    history = await api.ok("GET", "/history?zone=lab.internal&owner=web&limit=1")
    assert {entry["revision"] for entry in history["entries"]} == {found["revision"]}


async def test_unchanged_rrset_is_not_written(api: ApiKit) -> None:
    records = {"records": [{"data": "10.0.0.1"}, {"data": "10.0.0.2"}]}
    assert await api.ok("PUT", WEB, records) == await api.ok("PUT", WEB, records)


async def test_rrset_is_deleted_at_once(api: ApiKit) -> None:
    await api.ok("PUT", WEB, {"records": [{"data": "10.0.0.1"}, {"data": "10.0.0.2"}]})
    assert (await api.call("DELETE", WEB)).status_code == 204
    assert api.answers("web") == []
    await api.refused(404, "DELETE", WEB)


async def test_rrset_with_invalid_record_is_rejected(api: ApiKit) -> None:
    await api.ok("PUT", WEB, {"records": [{"data": "10.0.0.1"}]})
    records = [{"data": "10.0.0.2"}, {"data": "10.0.0.300"}]
    problem = await api.refused(422, "PUT", WEB, {"records": records})
    assert '"10.0.0.300" is not valid A data' in problem["detail"]
    assert api.answers("web") == ["10.0.0.1"]
    twice = [{"data": "10.0.0.2"}, {"data": "10.0.0.2"}]
    await api.refused(422, "PUT", WEB, {"records": twice})


async def test_if_match_and_if_none_match(api: ApiKit) -> None:
    one = f"{WEB}/one"
    body = {"data": "10.0.0.1"}
    await api.refused(412, "PUT", one, body, headers={"If-Match": "*"})
    created = await api.call("PUT", one, body, headers={"If-None-Match": "*"})
    assert created.status_code == 201
    problem = await api.refused(412, "PUT", one, body, headers={"If-None-Match": "*"})
    assert problem["current"] == created.json()["revision"]
    tag = created.headers["etag"]
    changed = await api.call("PUT", one, {"data": "10.0.0.2"}, headers={"If-Match": tag})
    assert changed.status_code == 200
    problem = await api.refused(412, "PUT", one, body, headers={"If-Match": tag})
    assert problem["current"] == changed.json()["revision"]
    assert problem["type"] == "urn:musterd:problem:mismatch"
    await api.refused(412, "DELETE", one, headers={"If-Match": tag})
    either = f'"1", {changed.headers["etag"]}'
    assert (await api.call("DELETE", one, headers={"If-Match": either})).status_code == 204


@pytest.mark.parametrize("value", ["12", '"12', '"1" "2"', "W/"])
async def test_invalid_entity_tag_is_rejected(api: ApiKit, value: str) -> None:
    path, body = f"{WEB}/one", {"data": "10.0.0.1"}
    await api.refused(422, "PUT", path, body, headers={"If-Match": value})


async def test_weak_tags_never_match(api: ApiKit) -> None:
    record = await api.ok("PUT", f"{WEB}/one", {"data": "10.0.0.1"})
    weak = f'W/"{record["revision"]}"'
    await api.refused(412, "PUT", f"{WEB}/one", {"data": "10.0.0.2"}, headers={"If-Match": weak})


async def test_rrset_is_compared_and_set(api: ApiKit) -> None:
    two = {"records": [{"data": "10.0.0.1", "id": "a"}, {"data": "10.0.0.2", "id": "b"}]}
    revision = (await api.ok("PUT", WEB, two))["revision"]
    tag = (await api.call("GET", WEB)).headers["etag"]
    assert tag == f'"{revision}-2"'
    await api.ok("DELETE", f"{WEB}/a")
    one = {"records": [{"data": "10.0.0.3"}]}
    await api.refused(412, "PUT", WEB, one, headers={"If-Match": tag})
    await api.refused(412, "DELETE", WEB, headers={"If-Match": tag})
    # The revision alone, as clients know it from the records.
    await api.ok("PUT", WEB, one, headers={"If-Match": f'"{revision}"'})
    assert api.answers("web") == ["10.0.0.3"]


async def test_cname_excludes_other_types(api: ApiKit) -> None:
    name = "/records/lab.internal/web"
    await api.ok("PUT", f"{name}/A/one", {"data": "10.0.0.1"})
    problem = await api.refused(409, "POST", f"{name}/CNAME", {"data": "x.test"})
    assert "web has A records" in problem["detail"]
    await api.refused(409, "PUT", f"{name}/CNAME", {"records": [{"data": "x.test"}]})
    await api.ok("DELETE", f"{name}/A/one")
    await api.ok("PUT", f"{name}/CNAME/one", {"data": "x.test"})
    assert api.answers("web") == ["x.test."]
    await api.refused(409, "PUT", f"{name}/A/one", {"data": "10.0.0.1"})
    await api.refused(409, "POST", f"{name}/CNAME", {"data": "y.test"})
    await api.ok("PUT", f"{name}/CNAME/one", {"data": "z.test"})
    await api.ok("PUT", f"{name}/CNAME", {"records": [{"data": "y.test"}]})
    assert api.answers("web") == ["y.test."]
    two = {"records": [{"data": "y.test"}, {"data": "z.test"}]}
    await api.refused(422, "PUT", f"{name}/CNAME", two)


async def test_concurrent_conditional_rrset_writes_have_one_winner(api: ApiKit) -> None:
    """The writes have no record in common that could be compared."""
    wanted = [[f"10.0.{n}.1", f"10.0.{n}.2"] for n in range(8)]
    bodies = [{"records": [{"data": data} for data in each]} for each in wanted]
    for _ in range(5):
        await asyncio.gather(*(api.ok("PUT", WEB, body) for body in bodies))
        assert api.answers("web") in wanted
        await api.ok("DELETE", WEB)
    new = {"If-None-Match": "*"}
    done = await asyncio.gather(*(api.call("PUT", WEB, body, headers=new) for body in bodies))
    assert sorted(response.status_code for response in done) == [200] + [412] * 7
    assert api.answers("web") in wanted
    kept = {"data": "10.9.9.9"}
    tag = await tagged(api, [kept])
    both = [{"records": [kept, *body["records"]]} for body in bodies]
    match = {"If-Match": tag}
    done = await asyncio.gather(*(api.call("PUT", WEB, body, headers=match) for body in both))
    assert sorted(response.status_code for response in done) == [200] + [412] * 7
    assert len(api.answers("web")) == 3


async def tagged(api: ApiKit, records: list[dict[str, str]]) -> str:
    """The tag of an RRset, just written."""
    done = await api.call("PUT", WEB, {"records": records})
    return str(done.headers["etag"])


async def test_concurrent_writes_keep_cname_alone(api: ApiKit) -> None:
    name = "/records/lab.internal/web"
    for number in range(10):
        asked = [api.call("POST", f"{name}/CNAME", {"data": f"x{n}.test"}) for n in range(3)]
        asked += [api.call("POST", f"{name}/A", {"data": f"10.0.0.{n}"}) for n in range(3)]
        whole = {"records": [{"data": "10.1.0.1"}, {"data": "10.1.0.2"}]}
        asked.append(api.call("PUT", f"{name}/A", whole))
        asked.append(api.call("PUT", f"{name}/CNAME", {"records": [{"data": "y.test"}]}))
        asked = asked[number % 8 :] + asked[: number % 8]
        statuses = {response.status_code for response in await asyncio.gather(*asked)}
        assert statuses <= {200, 201, 409}
        assert 409 in statuses
        found = (await api.ok("GET", f"{name}"))["records"]
        kinds = [record["type"] for record in found]
        assert set(kinds) == {"A"} or kinds == ["CNAME"]
        for kind in set(kinds):
            await api.ok("DELETE", f"{name}/{kind}")


async def test_policy_and_weight_reach_the_answers(api: ApiKit) -> None:
    records = [{"data": f"10.0.0.{n}", "policy": "sticky", "weight": n} for n in (1, 2, 3)]
    await api.ok("PUT", WEB, {"records": records})
    assert len(api.answers("web")) == 1
    assert api.answers("web", client="10.9.9.9") == api.answers("web", client="10.9.9.9")
    clients = [f"10.1.{n}.1" for n in range(100)]
    assert len({tuple(api.answers("web", client=client)) for client in clients}) == 3


@pytest.mark.parametrize(
    "body",
    [{}, {"data": 1}, {"data": "10.0.0.1", "ttl": -1}, {"data": "10.0.0.1", "ttl": 2**31},
     {"data": "10.0.0.1", "ttl": "30"}, {"data": "10.0.0.1", "ttl": True},
     {"data": "10.0.0.1", "weight": 65536}, {"data": "10.0.0.1", "policy": "best"},
     {"data": "10.0.0.1", "policy": "subset:0"}, {"data": "10.0.0.1", "policy": "subset:256"},
     {"data": "10.0.0.1", "nope": 1}, {"data": "10.0.0.1", "labels": {"": "x"}},
     {"data": "10.0.0.1", "labels": {"a": 1}}, {"data": "10.0.0.1", "labels": {"a": "x" * 256}},
     {"data": "10.0.0.1", "labels": {f"l{n}": "" for n in range(65)}},
     {"data": "10.0.0.1", "description": "x" * 1001}, {"data": "10.0.0.1", "lease": "x"}, [], "x"],
)  # fmt: skip
async def test_invalid_body_is_rejected(api: ApiKit, body: Any) -> None:
    await api.refused(422, "PUT", f"{WEB}/1", body)
    await api.refused(422, "PUT", WEB, {"records": [body]})


async def test_body_that_is_not_json_is_rejected(api: ApiKit) -> None:
    headers = {"content-type": "application/json"}
    await api.refused(422, "PUT", f"{WEB}/1", content=b"{", headers=headers)
    await api.refused(422, "PUT", f"{WEB}/1", content=b"\xff", headers=headers)
    await api.refused(422, "PUT", f"{WEB}/1", content=b'{"data": "10.0.0.1"}')


async def test_write_to_wrong_zone_is_rejected(api: ApiKit) -> None:
    body = {"data": "10.0.0.1"}
    problem = await api.refused(404, "PUT", "/records/nope.test/a/A/1", body)
    assert problem["zones"] == ["lab.internal", "other.test", "sub.lab.internal"]
    problem = await api.refused(409, "PUT", "/records/lab.internal/a.sub/A/1", body)
    assert "belongs to the zone sub.lab.internal" in problem["detail"]
    await api.refused(409, "PUT", "/records/lab.internal/sub/A/1", body)
    await api.refused(422, "PUT", "/records/lab.internal/a.other.test./A/1", body)
    await api.refused(422, "PUT", "/records/mus..ter/a/A/1", body)


@pytest.mark.parametrize("name", ["a b", "ä", "x" * 65, "a,b"])
async def test_invalid_id_is_rejected(api: ApiKit, name: str) -> None:
    await api.refused(422, "PUT", f"{WEB}/{name}", {"data": "10.0.0.1"})
    body = {"records": [{"data": "10.0.0.1", "id": name}]}
    await api.refused(422, "PUT", WEB, body)


async def test_large_rrset_is_written(api: ApiKit) -> None:
    records = [{"data": f"10.0.{n >> 8}.{n & 255}"} for n in range(1000)]
    found = await api.ok("PUT", WEB, {"records": records})
    assert len(found["records"]) == 1000
    others = [{"data": f"10.1.{n >> 8}.{n & 255}"} for n in range(1000)]
    await api.ok("PUT", WEB, {"records": others})
    assert (await api.ok("GET", f"{WEB}?limit=1000"))["records"][0]["data"].startswith("10.1.")
    await api.refused(422, "PUT", WEB, {"records": [*records, {"data": "10.2.0.0"}]})


async def test_record_at_the_apex(api: ApiKit) -> None:
    await api.ok("POST", "/records/lab.internal/@/A", {"data": "10.0.0.1"})
    assert api.answers("lab.internal.") == ["10.0.0.1"]
    await api.ok("POST", "/records/lab.internal/lab.internal./A", {"data": "10.0.0.2"})
    assert api.answers("lab.internal.") == ["10.0.0.1", "10.0.0.2"]


async def test_ptr_field_of_record_controls_its_ptr_record(tmp_path: Path) -> None:
    zones = ({"name": ZONE, "ptr": True}, {"name": "10.in-addr.arpa"})
    one = "1.0.0.10.in-addr.arpa."
    async with running(tmp_path, zones) as api:
        await api.ok("PUT", f"{WEB}/1", {"data": "10.0.0.1"})
        assert api.answers(one, "PTR") == ["web.lab.internal."]
        record = await api.ok("PUT", f"{WEB}/1", {"data": "10.0.0.1", "ptr": False})
        assert (record["ptr"], api.answers(one, "PTR")) == (False, [])
        await api.ok("PUT", f"{WEB}/1", {"data": "10.0.0.1", "ptr": True})
        assert api.answers(one, "PTR") == ["web.lab.internal."]
        await api.refused(422, "PUT", f"{WEB}/1", {"data": "10.0.0.1", "ptr": "no"})
