"""The history of records: author, time and change."""

import pytest

from tests.api.kit import ApiKit
from tests.catalogkit import until

ONE = "/records/lab.internal/web/A/one"


async def test_change_has_an_author(api: ApiKit) -> None:
    other = await api.token("write:*", name="other")
    first = await api.ok("PUT", ONE, {"data": "10.0.0.1"})
    second = await api.ok("PUT", ONE, {"data": "10.0.0.2"}, token=other)
    await api.ok("DELETE", ONE, token=other)
    entries = (await api.ok("GET", "/history"))["entries"]
    assert [(e["action"], e["who"]) for e in entries] == [
        ("deleted", "other"), ("changed", "other"), ("created", "first"),
    ]  # fmt: skip
    assert [(e["before"], e["record"]) for e in entries] == [
        (second, None), (first, second), (None, first),
    ]  # fmt: skip
    revisions = [e["revision"] for e in entries]
    assert revisions[1:] == [second["revision"], first["revision"]]
    assert revisions == sorted(revisions, reverse=True)


async def test_lease_expiry_has_no_author(api: ApiKit) -> None:
    lease = (await api.ok("POST", "/leases", {"ttl": 60}))["id"]
    await api.ok("PUT", ONE, {"data": "10.0.0.1", "lease": lease})
    await api.ok("DELETE", f"/leases/{lease}")
    last = (await api.ok("GET", "/history?zone=lab.internal"))["entries"][0]
    assert (last["action"], last["who"], last["record"]) == ("expired", "", None)


async def test_history_is_filtered_by_path(api: ApiKit) -> None:
    for path in ("lab.internal/a/A/1", "lab.internal/a/A/2", "lab.internal/a/TXT/1",
                 "lab.internal/ab/A/1", "other.test/a/A/1"):  # fmt: skip
        data = "x" if "TXT" in path else "10.0.0.1"
        await api.ok("PUT", f"/records/{path}", {"data": data})
    query = ["zone=lab.internal", "owner=a", "type=A", "id=1"]
    counts = []
    for upto in range(len(query) + 1):
        found = await api.ok("GET", "/history?" + "&".join(query[:upto]))
        counts.append(len(found["entries"]))
    assert counts == [5, 4, 3, 2, 1]
    await api.refused(422, "GET", "/history?owner=a")
    await api.refused(422, "GET", "/history?zone=lab.internal&type=A")
    await api.refused(404, "GET", "/history?zone=nope.test")


async def test_history_is_paged(api: ApiKit) -> None:
    for number in range(7):
        await api.ok("PUT", ONE, {"data": f"10.0.0.{number}"})
    found: list[str] = []
    after = ""
    while after is not None:
        page = await api.ok("GET", f"/history?limit=3{after and f'&after={after}'}")
        assert len(page["entries"]) <= 3
        found += [entry["record"]["data"] for entry in page["entries"]]
        after = page["next"]
    assert found == [f"10.0.0.{number}" for number in reversed(range(7))]


async def test_rrset_write_is_one_change(api: ApiKit) -> None:
    path = "/records/lab.internal/web/A"
    await api.ok("PUT", path, {"records": [{"data": f"10.0.0.{n}"} for n in range(5)]})
    page = await api.ok("GET", "/history?limit=2")
    assert len(page["entries"]) == 5
    rest = await api.ok("GET", f"/history?after={page['next']}")
    assert rest == {"entries": [], "next": None}


async def test_compacted_history_is_not_an_error(api: ApiKit) -> None:
    record = await api.ok("PUT", ONE, {"data": "10.0.0.1"})
    await api.store.compact(record["revision"])
    assert await api.ok("GET", "/history") == {"entries": [], "next": None}


@pytest.mark.slow
async def test_expired_lease_is_in_history(api: ApiKit) -> None:
    lease = (await api.ok("POST", "/leases", {"ttl": 1}))["id"]
    await api.ok("PUT", ONE, {"data": "10.0.0.1", "lease": lease})
    assert api.answers("web") == ["10.0.0.1"]
    await until(lambda: api.answers("web") == [])
    last = (await api.ok("GET", "/history"))["entries"][0]
    assert last["action"] == "expired"
