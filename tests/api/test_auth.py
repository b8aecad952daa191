"""Tokens at the API: each route allows what the scopes of the token allow, and nothing else."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from musterd.api.app import described
from tests.api.kit import LATER, ApiKit

BODIES: dict[tuple[str, str], object] = {
    ("PUT", "/v1/records/{zone}/{owner}/{type}"): {"records": [{"data": "10.0.0.1"}]},
    ("POST", "/v1/records/{zone}/{owner}/{type}"): {"data": "10.0.0.1"},
    ("PUT", "/v1/records/{zone}/{owner}/{type}/{id}"): {"data": "10.0.0.1"},
    ("POST", "/v1/leases"): {"ttl": 60},
    ("POST", "/v1/tokens"): {"name": "new", "scopes": ["read"]},
}
ADMIN = "/v1/tokens"
QUERIES = {"/v1/explain": "?name=web.lab.internal"}


def routes() -> Iterator[tuple[str, str]]:
    """Return the method and path of every route."""
    for path, methods in described("1").openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path


ROUTES = sorted(routes())


def needs(method: str, path: str) -> str:
    """Return the scope that a route needs."""
    if path.startswith(ADMIN):
        return "admin"
    return "read" if method == "GET" else "write"


def filled(path: str) -> str:
    """Return a path with its parameters filled in, without its prefix."""
    values = {"zone": "lab.internal", "owner": "web", "type": "A", "id": "0123456789abcdef"}
    made = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], path)
    return (made + QUERIES.get(path, "")).removeprefix("/v1")


def test_every_route_is_found() -> None:
    assert len(ROUTES) == 25
    assert {needs(*route) for route in ROUTES} == {"read", "write", "admin"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_route_requires_token(api: ApiKit, method: str, path: str) -> None:
    body, target = BODIES.get((method, path)), filled(path)
    now = api.context.clock()
    ended, _ = await api.context.tokens.create("ended", ["admin"], now + 1000)
    revoked, token = await api.context.tokens.create("revoked", ["admin"], None)
    await api.context.tokens.revoke(token.id)
    api.context.tokens._clock = lambda: now + 1000
    before = await state(api)
    missing = await api.refused(401, method, target, body, token="")
    assert missing["type"] == "urn:musterd:problem:no-token"
    unknown = (
        b"",
        b"x",
        b"mst_" + b"x" * 43,
        b"mst_" + b"x" * 42,
        b"\xe9",
        api.admin[:-1].encode(),
    )
    for text in (*unknown, ended.encode(), revoked.encode()):
        headers = {"authorization": b"Bearer " + text}
        problem = await api.refused(401, method, target, body, token="", headers=headers)
        assert problem["type"] == "urn:musterd:problem:bad-token"
    assert await state(api) == before


WRONG: dict[str, list[list[str]]] = {
    "read": [["write:lab.internal"], ["write:*"]],
    "write": [["read"]],
    "admin": [["read"], ["write:lab.internal"], ["read", "write:*"]],
}
OF_OTHERS = [["read", "write:other.test"], ["write:sub.lab.internal"], ["write:internal"]]
"""Scopes that do not allow writing to ``lab.internal``."""


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_route_requires_its_scope(api: ApiKit, method: str, path: str) -> None:
    body, scope = BODIES.get((method, path)), needs(method, path)
    of_others = OF_OTHERS if scope == "write" and "{zone}" in path else []
    tokens = [await api.token(*scopes) for scopes in (*WRONG[scope], *of_others)]
    before = await state(api)
    for token in tokens:
        problem = await api.refused(403, method, filled(path), body, token=token)
        assert problem["type"] == "urn:musterd:problem:no-scope"
        assert problem["scope"].partition(":")[0] == scope
    assert await state(api) == before


async def state(api: ApiKit) -> Any:
    """Return the revision of the store; a refused request does not change it."""
    return (await api.store.range(b"")).revision, api.context.tokens.all()


# A watch never ends; test_watch tests it.
@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[1] != "/v1/watch"])
async def test_route_accepts_its_scope(api: ApiKit, method: str, path: str) -> None:
    body, scope = BODIES.get((method, path)), needs(method, path)
    for wide in (["write:*"], ["write:lab.internal"]) if scope == "write" else ([scope], ["admin"]):
        token = await api.token(*wide)
        response = await api.call(method, filled(path), body, token=token)
        assert response.status_code not in (401, 403), response.text


async def test_token_writes_only_to_its_zone(api: ApiKit) -> None:
    body = {"data": "10.0.0.1"}
    token = await api.token("write:Other.Test.")
    await api.ok("POST", "/records/other.test/a/A", body, token=token)
    await api.refused(403, "POST", "/records/lab.internal/a/A", body, token=token)
    await api.refused(403, "POST", "/zones/lab.internal/import", content=b"", token=token)
    parent = await api.token("write:lab.internal")
    await api.refused(403, "POST", "/records/sub.lab.internal/a/A", body, token=parent)
    await api.refused(409, "POST", "/records/lab.internal/a.sub/A", body, token=parent)


async def test_tokens_are_created_listed_and_revoked(api: ApiKit) -> None:
    wanted = {"name": "ci", "scopes": ["read", "write:Lab.INTERNAL.", "read"], "expires": LATER}
    response = await api.call("POST", "/tokens", wanted)
    assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
    made = response.json()
    text = made.pop("token")
    assert made["scopes"] == ["read", "write:lab.internal"]
    assert made["expires"] == LATER
    await api.ok("GET", "/records", token=text)
    listed = await api.ok("GET", "/tokens")
    assert made in listed["tokens"]
    assert text not in str(listed)
    assert (await api.refused(409, "POST", "/tokens", wanted))["type"].endswith("token-exists")
    await api.ok("DELETE", f"/tokens/{made['id']}")
    await api.refused(401, "GET", "/records", token=text)
    await api.refused(404, "DELETE", f"/tokens/{made['id']}")


@pytest.mark.parametrize(
    "body",
    [{"name": "", "scopes": ["read"]}, {"name": "a b", "scopes": ["read"]},
     {"name": "x", "scopes": []}, {"name": "x", "scopes": ["all"]},
     {"name": "x", "scopes": ["write"]}, {"name": "x", "scopes": ["write:"]},
     {"name": "x", "scopes": ["write:a..b"]}, {"name": "x", "scopes": "read"},
     {"name": "x", "scopes": ["read"], "expires": 1}, {"name": "x", "scopes": ["read"], "a": 1}],
)  # fmt: skip
async def test_invalid_token_request_is_rejected(api: ApiKit, body: object) -> None:
    await api.refused(422, "POST", "/tokens", body)


async def test_token_expires(api: ApiKit) -> None:
    now = api.context.clock()
    text, _ = await api.context.tokens.create("brief", ["read"], now + 1000)
    await api.ok("GET", "/records", token=text)
    api.context.tokens._clock = lambda: now + 1000
    await api.refused(401, "GET", "/records", token=text)


async def test_openapi_description_needs_no_token(api: ApiKit) -> None:
    response = await api.client.get("/openapi.json")
    assert response.status_code == 200
    assert response.json()["security"] == [{"token": []}]
    for path in ("/docs", "/redoc", "/"):
        assert (await api.client.get(path)).status_code == 401


async def test_token_is_read_from_authorization_header(api: ApiKit) -> None:
    for scheme in ("bearer", "BEARER", "Bearer "):
        headers = {"authorization": f"{scheme} {api.admin}"}
        await api.ok("GET", "/status", token="", headers=headers)
    headers = {"authorization": f"Basic {api.admin}"}
    await api.refused(401, "GET", "/status", token="", headers=headers)
    await api.refused(401, "GET", f"/status?token={api.admin}", token="")
