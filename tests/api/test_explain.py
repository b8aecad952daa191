"""Explanations of answers, and the status of the server."""

from typing import Any

import pytest

from musterd.api.status import MAX_PROBLEMS
from musterd.kv import PutOp as StorePut
from musterd.rr.names import name_from_text
from musterd.rr.rrset import Record, pack
from musterd.server.hidden import HiddenSearch
from musterd.sources.changes import Fault, Lost, Put, PutMany, Withheld, WithheldRecord
from tests.api.kit import ApiKit, settings
from tests.catalogkit import rows


async def explain(api: ApiKit, name: str, **query: str) -> Any:
    more = "".join(f"&{key}={value}" for key, value in query.items())
    return await api.ok("GET", f"/explain?name={name}{more}")


async def test_explain_shows_registered_records(api: ApiKit) -> None:
    await api.ok("PUT", "/records/lab.internal/web/A/one", {"data": "10.0.0.1", "policy": "one"})
    record = await api.ok("PUT", "/records/lab.internal/web/A/two", {"data": "10.0.0.2", "ttl": 9})
    found = await explain(api, "web.lab.internal")
    answer = found.pop("answer")
    assert answer["rcode"] == "NOERROR"
    assert len(answer["records"]) == 1
    assert answer["records"][0].startswith("web.lab.internal. 9 IN A 10.0.0.")
    given = found.pop("records")
    assert {record["key"] for record in given} == {
        "lab.internal/web/A/one",
        "lab.internal/web/A/two",
    }
    assert given[1] == {
        "source": "registry", "key": "lab.internal/web/A/two", "revision": record["revision"],
        "time": record["modified"], "type": "A", "ttl": 9, "data": "10.0.0.2", "weight": 1,
        "hidden": "", "refused": "",
    }  # fmt: skip
    assert found == {"name": "web.lab.internal.", "type": "A", "client": "127.0.0.1",
                     "zone": "lab.internal", "state": "live", "policy": "one",
                     "matching": [], "left_out": []}  # fmt: skip


async def test_explain_depends_on_client(api: ApiKit) -> None:
    records = [{"data": f"10.0.0.{n}", "policy": "sticky"} for n in range(1, 9)]
    await api.ok("PUT", "/records/lab.internal/web/A", {"records": records})
    for client in ("10.1.1.1", "10.2.2.2", "fd00::1"):
        found = await explain(api, "web.lab.internal", client=client)
        assert found["client"] == client
        assert [line.split()[-1] for line in found["answer"]["records"]] == api.answers(
            "web", client=client
        )


async def test_explain_accepts_types(api: ApiKit) -> None:
    await api.ok("PUT", "/records/lab.internal/a/TXT/1", {"data": "x"})
    assert (await explain(api, "a.lab.internal"))["type"] == "TXT"
    assert (await explain(api, "a.lab.internal", type="a"))["records"] == []
    soa = await explain(api, "lab.internal", type="SOA")
    assert [record["source"] for record in soa["records"]] == ["(zone)"]
    nothing = await explain(api, "nope.lab.internal")
    assert (nothing["type"], nothing["answer"]["rcode"]) == ("A", "NXDOMAIN")


async def test_explain_shows_wildcard(api: ApiKit) -> None:
    """The records of a wildcard are shown only for names that they answer for."""
    await api.ok("PUT", "/records/lab.internal/*.w/A/1", {"data": "10.0.0.1", "policy": "one"})
    await api.ok("PUT", "/records/lab.internal/x.y.w/TXT/1", {"data": "x"})
    found = await explain(api, "A.b.w.lab.internal", type="A")
    assert [record["key"] for record in found["records"]] == ["lab.internal/*.w/A/1"]
    assert found["policy"] == "one"
    assert found["answer"]["rcode"] == "NOERROR"
    for name in ("y.w", "x.y.w", "z.y.w", "w", "*.x"):
        assert (await explain(api, f"{name}.lab.internal", type="A"))["records"] == []
    assert (await explain(api, "b.w.lab.internal", type="TXT"))["records"] == []


async def test_explain_follows_cname(api: ApiKit) -> None:
    await api.ok("PUT", "/records/lab.internal/w/CNAME/1", {"data": "v.lab.internal"})
    await api.ok("PUT", "/records/lab.internal/v/A/1", {"data": "10.0.0.1"})
    found = await explain(api, "w.lab.internal", type="A")
    assert len(found["answer"]["records"]) == 2
    assert [record["key"] for record in found["records"]] == ["lab.internal/w/CNAME/1"]


@pytest.mark.parametrize(
    ("query", "status"),
    [("name=a.nope.test", 404), ("name=a..b", 422), ("", 422), ("name=", 422),
     ("name=lab.internal&type=NOPE", 422), ("name=lab.internal&client=x", 422),
     ("name=lab.internal&nope=1", 422)],
)  # fmt: skip
async def test_invalid_question_is_rejected(api: ApiKit, query: str, status: int) -> None:
    await api.refused(status, "GET", f"/explain?{query}")


async def test_status_shows_sources(api: ApiKit) -> None:
    await api.ok("PUT", "/records/lab.internal/web/A/one", {"data": "10.0.0.1"})
    status = await api.ok("GET", "/status")
    assert (status["version"], status["listeners"]) == ("1", ["127.0.0.1:53"])
    assert [zone["name"] for zone in status["zones"]] == [
        "lab.internal", "sub.lab.internal", "other.test",
    ]  # fmt: skip
    (source,) = status["sources"]
    assert (source["name"], source["state"], source["keys"]) == ("registry", "synced", 1)
    assert status["store"] == {
        "kind": "embedded",
        "revision": api.context.registry.applied.revision,
    }
    assert status["problems"] == []


async def test_status_counts_omitted_problems(api: ApiKit) -> None:
    faults = [Fault(f"key {number}", "wrong") for number in range(MAX_PROBLEMS + 2)]
    api.context.catalog.apply("registry", *faults)
    first, newest, *_ = (await api.ok("GET", "/status"))["problems"]
    assert first.startswith("source registry: up to 2 older problems are not shown:")
    assert newest == f"source registry: key {MAX_PROBLEMS + 1}: wrong"


async def test_status_lists_problems(api: ApiKit) -> None:
    key = b"/musterd/v1/records/lab.internal/bad/A/1"
    value = b'{"data": "nope"}'
    done = await api.store.transaction((), (StorePut(key, value),))
    await api.context.registry.applied.reached(done.revision)
    packed = pack(1, [(1, b"x")])
    put = Put("k", 1, 0.0, (Record(name_from_text("a.lab.internal"), 1, packed),))
    api.context.catalog.apply("registry", put, Lost("no reason"))
    problems = (await api.ok("GET", "/status"))["problems"]
    assert problems[0] == "source registry is lost: no reason"
    assert problems[1].startswith("a.lab.internal. A is not answered: ")
    assert problems[2].startswith(
        'source registry: lab.internal/bad/A/1: "nope" is not valid A data'
    )


async def test_explain_shows_referral(api: ApiKit) -> None:
    await api.ok("PUT", "/records/lab.internal/cut/NS/1", {"data": "ns.cut.lab.internal."})
    await api.ok("PUT", "/records/lab.internal/ns.cut/A/1", {"data": "10.0.0.9"})
    for name in ("web.cut", "cut", "ns.cut"):
        answer = (await explain(api, f"{name}.lab.internal", type="A"))["answer"]
        assert answer["referral"] is True
        assert answer["records"] == []
        assert answer["authority"] == ["cut.lab.internal. 30 IN NS ns.cut.lab.internal."]
    for name, rcode in (("lab.internal", "NOERROR"), ("nope.lab.internal", "NXDOMAIN")):
        answer = (await explain(api, name, type="TXT"))["answer"]
        assert (answer["referral"], answer["rcode"]) == (False, rcode)
        assert " SOA " in answer["authority"][0]


async def test_explain_is_not_counted_as_a_query(api: ApiKit) -> None:
    before = api.core.counters()
    await explain(api, "web.lab.internal", type="A")
    assert api.core.counters() == before


async def test_explain_shows_what_was_left_out(api: ApiKit) -> None:
    key = b"/musterd/v1/records/lab.internal/bad/A/1"
    done = await api.store.transaction((), (StorePut(key, b'{"data": "nope"}'),))
    await api.context.registry.applied.reached(done.revision)
    found = await explain(api, "bad.lab.internal")
    assert found["records"] == []
    (left_out,) = found["left_out"]
    assert (left_out["source"], left_out["where"]) == ("registry", "lab.internal/bad/A/1")
    assert '"nope" is not valid A data' in left_out["reason"]
    for name in ("bad.sub.lab.internal", "lab.internal", "x.bad.lab.internal"):
        assert (await explain(api, name))["left_out"] == []


async def test_explain_shows_keys_below_a_name_that_were_left_out(api: ApiKit) -> None:
    owner = name_from_text("x1.web.lab.internal")
    below = Fault("/skydns/internal/lab/web/x1", "not JSON", owner)
    api.context.catalog.apply("registry", below, Fault("z.zone:3", "wrong"))
    found = await explain(api, "web.lab.internal")
    assert {each["where"] for each in found["left_out"]} == {below.where, "z.zone:3"}
    # A line without an owner is shown only if nothing else is known.
    await api.ok("PUT", "/records/lab.internal/web/A/1", {"data": "10.0.0.1"})
    found = await explain(api, "web.lab.internal")
    assert [each["where"] for each in found["left_out"]] == [below.where]
    faults = [Fault(f"key {number}", "wrong", owner) for number in range(50)]
    api.context.catalog.apply("registry", *faults)
    assert len((await explain(api, "web.lab.internal"))["left_out"]) == 20


async def test_explain_shows_the_names_that_wildcard_labels_match(api: ApiKit) -> None:
    for name in ("a.r", "b.r"):
        await api.ok("PUT", f"/records/lab.internal/{name}/A/1", {"data": f"10.0.0.{len(name)}"})
    assert (await explain(api, "any.r.lab.internal"))["matching"] == []
    api.core.set_wildcard_queries(name_from_text("lab.internal"), True)
    found = await explain(api, "any.r.lab.internal")
    assert found["matching"] == ["a.r.lab.internal.", "b.r.lab.internal."]
    assert [record["key"] for record in found["records"]] == [
        "lab.internal/a.r/A/1",
        "lab.internal/b.r/A/1",
    ]
    assert found["answer"]["rcode"] == "NOERROR"
    assert found["answer"]["records"] == ["any.r.lab.internal. 30 IN A 10.0.0.3"]
    assert (await explain(api, "any.none.lab.internal"))["answer"]["rcode"] == "NXDOMAIN"


async def test_explain_shows_sources_that_the_zone_does_not_list(api: ApiKit) -> None:
    zones: Any = [{"name": "lab.internal"}, {"name": "kid.lab.internal", "sources": ["f"]}]
    source = {"name": "f", "path": "unused.zone", "zone": "kid.lab.internal"}
    await api.ok("PUT", "/records/lab.internal/q.kid/A/1", {"data": "10.0.0.1"})
    await api.context.catalog.reconfigure(settings(zones, sources={"zonefile": [source]}))
    (record,) = (await explain(api, "q.kid.lab.internal"))["records"]
    assert record["key"] == "lab.internal/q.kid/A/1"
    assert record["hidden"] == "the zone kid.lab.internal. does not list this source"


async def test_explain_shows_withheld_records_of_a_type_that_has_no_others(api: ApiKit) -> None:
    owner = name_from_text("web.lab.internal")
    record = WithheldRecord(1, 1, bytes((10, 0, 0, 1)), "its status is DOWN")
    api.context.catalog.apply("registry", Withheld(owner, (record,)))
    (shown,) = (await explain(api, "web.lab.internal"))["records"]
    assert (shown["data"], shown["hidden"]) == ("10.0.0.1", "its status is DOWN")


async def test_status_lists_records_that_are_never_answered(api: ApiKit) -> None:
    lines = "cut 30 NS ns.elsewhere.test.", "www.cut 30 A 10.0.0.1"
    catalog = api.context.catalog
    catalog.apply("registry", PutMany(1, 0.0, rows(*lines)))
    await HiddenSearch(api.core, catalog).search()
    reason = (
        "cut.lab.internal. is delegated by NS records, so below it only the addresses of "
        "name servers are answered"
    )
    status = await api.ok("GET", "/status")
    assert status["problems"] == [f"www.cut.lab.internal. A is not answered: {reason}"]
    found = await explain(api, "www.cut.lab.internal")
    assert [record["hidden"] for record in found["records"]] == [reason]
    zone = catalog.zones[name_from_text("lab.internal")]
    zone.hidden_total = 7
    more = "zone lab.internal.: 6 more RRsets are not answered for such reasons"
    assert (await api.ok("GET", "/status"))["problems"][1] == more
