"""The log of writes: each change with its author; writes that change nothing are not logged."""

import pytest

from tests.servers import ServerFixture

pytestmark = pytest.mark.slow
WEB = "/records/lab.internal/web/A"


async def test_each_write_is_logged_once(fixture: ServerFixture) -> None:
    async with fixture.process() as server:
        await server.ready()
        async with server.client() as client:
            made = await client.post("/tokens", json={"name": "ci", "scopes": ["write:*"]})
            ci = {"authorization": f"Bearer {made.json()['token']}"}
            lease = (await client.post("/leases", json={"ttl": 60}, headers=ci)).json()["id"]
            one = {"data": "10.0.0.1", "lease": lease}
            both = {"records": [{"data": "10.0.0.1"}, {"data": "10.0.0.2"}]}
            revisions = []
            for body, path, method in (
                (one, f"{WEB}/x", "PUT"), (one, f"{WEB}/x", "PUT"), (both, WEB, "PUT"),
                (both, WEB, "PUT"), (None, f"{WEB}/none", "DELETE"),
                ({"data": "nope"}, WEB, "POST"), (None, WEB, "DELETE"),
            ):  # fmt: skip
                done = await client.request(method, path, json=body, headers=ci)
                revisions.append(done.json()["revision"] if done.status_code < 202 else None)
            text = b"a A 10.0.0.1\nb A 10.0.0.1\n"
            for _ in range(2):
                done = await client.post("/zones/lab.internal/import", content=text)
                assert done.is_success
            await client.delete(f"/leases/{lease}", headers=ci)
            await client.delete(f"/tokens/{made.json()['id']}")
        await server.stop()
        kept = ("who", "action", "what", "revision")
        lines = [[entry.get(key) for key in kept] for entry in server.log
                if entry["event"] == "write"]  # fmt: skip
    last = lines[4][3]
    assert isinstance(last, int)
    assert lines == [
        ["first", "create", "credential ci", None],
        ["ci", "grant", f"lease {lease}", None],
        ["ci", "put", "lab.internal/web/A/x", revisions[0]],
        ["ci", "put", "lab.internal/web/A/* (2)", revisions[2]],
        ["ci", "delete", "lab.internal/web/A/* (2)", last],
        ["first", "import", "lab.internal/ (2 added, 0 changed, 0 removed)", last + 1],
        ["ci", "revoke", f"lease {lease}", last + 2],
        ["first", "revoke", "credential ci", None],
    ]
