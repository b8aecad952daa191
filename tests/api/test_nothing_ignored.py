"""Parameters, JSON members and content types of a request are evaluated or rejected."""

import json

import pytest

from musterd.api.routing import load_json
from tests.api.kit import ApiKit
from tests.api.test_auth import BODIES, ROUTES, filled

ONE = "/records/lab.internal/web/A/one"
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_unknown_parameter_is_refused(api: ApiKit, method: str, path: str) -> None:
    await api.ok("PUT", "/records/lab.internal/web/A/0123456789abcdef", {"data": "10.0.0.1"})
    before = (await api.ok("GET", "/records"))["records"]
    target = filled(path)
    for name in ("dry-run", "id", "Zone", "replace%20", "", "after;x"):
        query = f"{'&' if '?' in target else '?'}{name}=true"
        if name == "id" and path == "/v1/history":
            continue
        problem = await api.refused(422, method, target + query, BODIES.get((method, path)))
        assert "is unknown" in problem["detail"]
        assert problem["errors"][0]["problem"].startswith("is unknown")
    assert (await api.ok("GET", "/records"))["records"] == before


async def test_parameter_in_question_changes_nothing(api: ApiKit) -> None:
    await api.ok("PUT", ONE, {"data": "10.0.0.1"})
    for method, path in (
        ("POST", "/zones/lab.internal/import?replace=true&dry-run=true"),
        ("DELETE", "/records/lab.internal/web/A?id=two"), ("DELETE", f"{ONE}?x=1"),
        ("GET", "/watch?zome=lab.internal"),
    ):  # fmt: skip
        await api.refused(422, method, path, content=b"web A 10.0.0.9\n")
        assert api.answers("web") == ["10.0.0.1"]


@pytest.mark.parametrize(
    "path",
    ["/zones/lab.internal/import?dry_run=true&dry_run=false", "/records?limit=1&limit=2",
     "/watch?zone=lab.internal&zone=other.test", "/history?after=1&after=2"],
)  # fmt: skip
async def test_repeated_parameter_is_refused(api: ApiKit, path: str) -> None:
    method = "POST" if "import" in path else "GET"
    problem = await api.refused(422, method, path, content=b"web A 10.0.0.9\n")
    assert "is repeated" in problem["detail"]


async def test_list_may_be_repeated(api: ApiKit) -> None:
    await api.ok("GET", "/records?label=a=b&label=c=d")


async def test_description_takes_no_parameters(api: ApiKit) -> None:
    response = await api.client.get("/openapi.json?x=1")
    assert response.status_code == 422


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        '{"data": "10.0.0.1", "data": "10.0.0.2"}', '{"data": "10.0.0.1", "data": "10.0.0.1"}',
        '{"data": "10.0.0.1", "ttl": 1, "ttl": 2}', '{"data": "10.0.0.1", "d\\u0061ta": "x"}',
        '{"data": "10.0.0.1", "labels": {"a": "b", "a": "c"}}',
        '{"data": "10.0.0.1", "x": [{"a": 1, "a": 1}]}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
async def test_repeated_member_is_refused(api: ApiKit, body: str, kind: str, *, fast: bool) -> None:
    api.fast = fast
    problem = await api.refused(
        422, "PUT", ONE, content=body.encode(), headers={"content-type": kind}
    )
    assert "is repeated" in problem["detail"]
    rrset = f'{{"records": [{body}]}}'.encode()
    await api.refused(422, "PUT", ONE.removesuffix("/one"), content=rrset, headers=JSON)
    await api.refused(404, "GET", ONE)


async def test_repeated_member_of_a_token_is_refused(api: ApiKit) -> None:
    body = b'{"name": "x", "scopes": ["read"], "scopes": ["admin"]}'
    await api.refused(422, "POST", "/tokens", content=body, headers=JSON)
    assert len((await api.ok("GET", "/tokens"))["tokens"]) == 1


@pytest.mark.parametrize(
    "text", ["{}", "[]", '"x"', "1", '{"a": {"b": 1}, "b": {"a": 1}}', '[{"a": 1}, {"a": 2}]']
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_is_parsed_as_before(text: str, encoding: str) -> None:
    assert load_json(text.encode(encoding)) == json.loads(text)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "x"])
async def test_import_of_another_content_type_is_refused(api: ApiKit, kind: str) -> None:
    problem = await api.refused(
        415, "POST", "/zones/lab.internal/import", content=b"web A 10.0.0.1\n",
        headers={"content-type": kind},
    )  # fmt: skip
    assert "text/dns" in problem["detail"]
    assert api.answers("web") == []


@pytest.mark.parametrize(
    "kind", ["text/dns", "Text/DNS; charset=utf-8", "text/plain", "application/octet-stream", None]
)
async def test_import_of_text_is_accepted(api: ApiKit, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    await api.ok("POST", "/zones/lab.internal/import", content=b"web A 10.0.0.1\n", headers=headers)
    assert api.answers("web") == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("path", "after"),
    [
        ("/records", "foo"), ("/records", "lab.internal"), ("/records", "lab.internal/web/A"),
        ("/records", "lab.internal/web/A/one/two"), ("/records", "/lab.internal/web/A/one"),
        ("/records", "a/b/c/d/"),
        ("/records/lab.internal", "other.test/web/A/one"),
        ("/records/lab.internal/web", "lab.internal/web2/A/one"),
        ("/records/lab.internal/web/A", "lab.internal/web/AAAA/one"), ("/records", "null"),
    ],
)  # fmt: skip
async def test_invalid_place_in_a_list_is_refused(api: ApiKit, path: str, after: str) -> None:
    await api.ok("PUT", ONE, {"data": "10.0.0.1"})
    problem = await api.refused(422, "GET", f"{path}?after={after}")
    assert "after" in problem["detail"]


async def test_list_goes_on_after_a_deleted_record(api: ApiKit) -> None:
    for name in ("one", "two"):
        await api.ok("PUT", f"/records/lab.internal/web/A/{name}", {"data": "10.0.0.1"})
    page = await api.ok("GET", "/records?limit=1")
    await api.ok("DELETE", ONE)
    rest = await api.ok("GET", f"/records?after={page['next']}")
    assert [record["id"] for record in rest["records"]] == ["two"]
