"""Leases: records that stay while somebody renews them."""

from tests.api.kit import ApiKit

ONE = "/records/lab.internal/web/A/one"


async def test_records_are_removed_with_their_lease(api: ApiKit) -> None:
    response = await api.call("POST", "/leases", {"ttl": 60})
    assert response.status_code == 201
    lease = response.json()
    assert response.headers["location"] == f"/v1/leases/{lease['id']}"
    assert lease == {"id": lease["id"], "ttl": 60, "remaining": 60}
    record = await api.ok("PUT", ONE, {"data": "10.0.0.1", "lease": lease["id"]})
    assert record["lease"] == lease["id"]
    found = await api.ok("GET", f"/leases/{lease['id']}")
    assert found["keys"] == ["lab.internal/web/A/one"]
    assert 0 < found["remaining"] <= 60
    await api.ok("DELETE", f"/leases/{lease['id']}")
    assert api.answers("web") == []
    await api.refused(404, "GET", f"/leases/{lease['id']}")
    await api.refused(404, "DELETE", f"/leases/{lease['id']}")
    await api.refused(404, "POST", f"/leases/{lease['id']}/keepalive")
    body = {"data": "10.0.0.1", "lease": lease["id"]}
    problem = await api.refused(409, "PUT", ONE, body)
    assert problem["type"] == "urn:musterd:problem:lease-ended"


async def test_keepalive_extends_lease(api: ApiKit) -> None:
    lease = (await api.ok("POST", "/leases", {"ttl": 60}))["id"]
    assert (await api.ok("POST", f"/leases/{lease}/keepalive"))["remaining"] == 60


async def test_lease_limits_ttl(api: ApiKit) -> None:
    short = (await api.ok("POST", "/leases", {"ttl": 10}))["id"]
    long = (await api.ok("POST", "/leases", {"ttl": 600}))["id"]
    cases = [(short, None, 10), (short, 60, 10), (short, 5, 5), (long, None, 30), (long, 60, 60)]
    for lease, ttl, answered in cases:
        record = await api.ok("PUT", ONE, {"data": "10.0.0.1", "ttl": ttl, "lease": lease})
        assert record["ttl"] == ttl
        assert api.reply("web.lab.internal.").answer[0].ttl == answered


async def test_record_can_leave_its_lease(api: ApiKit) -> None:
    lease = (await api.ok("POST", "/leases", {"ttl": 60}))["id"]
    await api.ok("PUT", ONE, {"data": "10.0.0.1", "lease": lease})
    assert (await api.ok("PUT", ONE, {"data": "10.0.0.1"}))["lease"] is None
    await api.ok("DELETE", f"/leases/{lease}")
    assert api.answers("web") == ["10.0.0.1"]


async def test_lease_belongs_to_its_token(api: ApiKit) -> None:
    mine = await api.token("read", "write:lab.internal")
    other = await api.token("read", "write:other.test")
    lease = (await api.ok("POST", "/leases", {"ttl": 60}, token=mine))["id"]
    await api.ok("PUT", ONE, {"data": "10.0.0.1", "lease": lease}, token=mine)
    await api.refused(409, "DELETE", f"/leases/{lease}", token=other)
    await api.refused(409, "POST", f"/leases/{lease}/keepalive", token=other)
    body = {"data": "10.0.0.1", "lease": lease}
    await api.refused(409, "PUT", "/records/other.test/a/A/x", body, token=other)
    assert api.answers("web") == ["10.0.0.1"]
    await api.ok("DELETE", f"/leases/{lease}")


async def test_invalid_lease_is_rejected(api: ApiKit) -> None:
    for ttl in (0, -1, 31_536_001, 1.5, "1", None):
        await api.refused(422, "POST", "/leases", {"ttl": ttl})
    for name in ("0" * 16, "f" * 16):
        await api.refused(404, "GET", f"/leases/{name}")
        await api.refused(404, "DELETE", f"/leases/{name}")
    await api.refused(422, "GET", "/leases/x")
