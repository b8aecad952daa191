"""If-Match and If-None-Match: on every method and route, joined, strong and weak."""

import pytest

from musterd.registry import preconditions
from musterd.registry.errors import Invalid, Mismatch
from tests.api.kit import ApiKit

RRSET = "/records/lab.internal/web/A"
ONE = f"{RRSET}/one"
BODY = {"data": "10.0.0.1"}
WHOLE = {"records": [{"data": "10.0.0.1", "id": "one"}]}
WRITES = [("PUT", ONE, BODY), ("DELETE", ONE, None), ("PUT", RRSET, WHOLE), ("POST", RRSET, BODY),
          ("DELETE", RRSET, None)]  # fmt: skip


@pytest.fixture(params=["fast", "general"], autouse=True)
def path(api: ApiKit, request: pytest.FixtureRequest) -> None:
    api.fast = request.param == "fast"


def tag(method: str, path: str, revision: int) -> str:
    """Return the entity tag that a write expects."""
    return f'"{revision}"' if path == ONE else f'"{revision}-1"'


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_every_write_evaluates_preconditions(
    api: ApiKit, method: str, path: str, body: object
) -> None:
    revision = (await api.ok("PUT", ONE, BODY))["revision"]
    right = tag(method, path, revision)
    for name, value in (
        ("if-match", '"999"'), ("if-match", '"999-1"'), ("if-match", f"W/{right}"),
        ("if-match", ""), ("if-match", ","), ("if-none-match", "*"), ("if-none-match", right),
        ("if-none-match", f"W/{right}"), ("if-none-match", f'"7", {right}'),
        ("if-none-match", f'"{revision}"'),
    ):  # fmt: skip
        problem = await api.refused(412, method, path, body, headers={name: value})
        assert problem["type"].endswith("mismatch"), (name, value)
        assert (await api.ok("GET", ONE))["revision"] == revision
    await api.ok(method, path, body, headers={"if-match": f'"7", {right} , "8-1"'})


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_precondition_that_holds_lets_the_write_pass(
    api: ApiKit, method: str, path: str, body: object
) -> None:
    for headers in ({"if-match": "*"}, {"if-none-match": '"999"'}, {"if-none-match": 'W/"x"'}):
        await api.ok("PUT", ONE, BODY)
        await api.ok(method, path, body, headers=headers)


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_precondition_never_matches_missing_record(
    api: ApiKit, method: str, path: str, body: object
) -> None:
    for value in ("*", '"1"'):
        await api.refused(412, method, path, body, headers={"if-match": value})
    if method == "DELETE":
        await api.refused(404, method, path, body, headers={"if-none-match": "*"})
    else:
        await api.ok(method, path, body, headers={"if-none-match": "*"})


@pytest.mark.parametrize(("method", "body"), [("PUT", WHOLE), ("POST", BODY), ("DELETE", None)])
async def test_mismatch_of_an_rrset_gives_its_own_tag(
    api: ApiKit, method: str, body: object
) -> None:
    await api.ok("PUT", ONE, BODY)
    second = (await api.ok("PUT", f"{RRSET}/two", {"data": "10.0.0.2"}))["revision"]
    # Later changes of other names don't count.
    await api.ok("PUT", "/records/lab.internal/other/A/one", BODY)
    for headers, current in (
        ({"if-match": '"1-1"'}, f"{second}-2"),
        ({"if-none-match": "*"}, f"{second}-2"),
        ({"if-match": '"1"'}, second),
    ):
        problem = await api.refused(412, method, RRSET, body, headers=headers)
        assert problem["current"] == current
        assert f'the current revision is "{current}"' in problem["detail"]
    await api.ok(method, RRSET, body, headers={"if-match": f'"{second}"'})
    gone = await api.refused(412, method, "/records/lab.internal/no/A", body,
                             headers={"if-match": '"1-1"'})  # fmt: skip
    assert gone["current"] == 0


async def test_added_record_must_find_the_rrset_as_expected(api: ApiKit) -> None:
    await api.ok("POST", RRSET, BODY, headers={"if-none-match": "*"})
    await api.refused(412, "POST", RRSET, {"data": "10.0.0.2"}, headers={"if-none-match": "*"})
    etag = (await api.call("GET", RRSET)).headers["etag"]
    await api.ok("POST", RRSET, {"data": "10.0.0.2"}, headers={"if-match": etag})
    await api.refused(412, "POST", RRSET, {"data": "10.0.0.3"}, headers={"if-match": etag})
    etag = (await api.call("GET", RRSET)).headers["etag"]
    await api.ok("DELETE", f"{RRSET}/{(await api.ok('GET', RRSET))['records'][0]['id']}")
    await api.refused(412, "POST", RRSET, {"data": "10.0.0.3"}, headers={"if-match": etag})


@pytest.mark.parametrize("path", [ONE, RRSET])
async def test_read_is_conditional(api: ApiKit, path: str) -> None:
    revision = (await api.ok("PUT", ONE, BODY))["revision"]
    right = tag("GET", path, revision)
    for value in (right, f"W/{right}", "*", f'"1", {right}'):
        response = await api.call("GET", path, headers={"if-none-match": value})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == right
    for value in ('"1"', f"W/{right}"):
        await api.refused(412, "GET", path, headers={"if-match": value})
    await api.ok("GET", path, headers={"if-none-match": '"1"'})
    await api.ok("GET", path, headers={"if-match": right, "if-none-match": '"1"'})
    await api.refused(422, "GET", path, headers={"if-match": "1"})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/records", None), ("GET", "/records/lab.internal", None), ("GET", "/zones", None),
        ("GET", f"{RRSET}?limit=1&type=A", None), ("GET", "/history", None),
        ("GET", "/zones/lab.internal/export", None), ("GET", "/status", None),
        ("GET", "/watch", None), ("POST", "/leases", {"ttl": 60}),
        ("POST", "/tokens", {"name": "x", "scopes": ["read"]}), ("DELETE", "/tokens/x", None),
        ("DELETE", "/leases/0123456789abcdef", None),
        ("POST", "/leases/0123456789abcdef/keepalive", None),
        ("POST", "/zones/lab.internal/import?replace=true", None),
    ],
)  # fmt: skip
async def test_precondition_is_not_ignored_without_entity_tag(
    api: ApiKit, method: str, path: str, body: object
) -> None:
    await api.ok("PUT", ONE, BODY)
    problem = await api.refused(412, method, path, body, headers={"if-match": '"12"'})
    assert problem["type"].endswith("mismatch")
    if method == "GET":
        response = await api.call(method, path, headers={"if-none-match": "*"})
        assert (response.status_code, response.content) == (304, b"")
    else:
        problem = await api.refused(412, method, path, body, headers={"if-none-match": "*"})
        assert problem["type"].endswith("mismatch")
    await api.refused(422, method, path, body, headers={"if-match": "12"})
    assert len(await _tokens(api)) == 1
    assert (await api.ok("GET", RRSET))["records"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/zones/none.test", 404), ("/records/none.test", 404), ("/explain?name=a.none.test", 404),
        (f"{ONE}x", 404), (RRSET, 200), ("/history?limit=x", 422),
        ("/leases/0123456789abcdef", 404),
    ],
)  # fmt: skip
async def test_missing_resource_is_not_unmodified(api: ApiKit, path: str, status: int) -> None:
    response = await api.call("GET", path, headers={"if-none-match": "*"})
    assert response.status_code == status


async def _tokens(api: ApiKit) -> list[object]:
    found: list[object] = (await api.ok("GET", "/tokens"))["tokens"]
    return found


@pytest.mark.parametrize(
    ("value", "match", "none"),
    [
        ('"1"', {"1"}, {"1"}), ('W/"4-1"', set(), {"4-1"}), ('"1", W/"2","3"', {"1", "3"},
        {"1", "2", "3"}), ("", set(), set()), (" , ,", set(), set()), ('"1",,"2",', {"1", "2"},
        {"1", "2"}), ('"\xe4"', {"\xe4"}, {"\xe4"}), ("*", {"*"}, {"*"}), (" * ", {"*"}, {"*"}),
        ('"a,b"', {"a,b"}, {"a,b"}), ('""', {""}, {""}),
    ],
)  # fmt: skip
def test_lists_of_tags(value: str, match: set[str], none: set[str]) -> None:
    assert preconditions.parse(value, value) == preconditions.Preconditions(
        frozenset(match), frozenset(none)
    )


@pytest.mark.parametrize(
    "value", ["1", '"1', '1"', '"1" "2"', "*, *", '*, "1"', '"1", *', 'w/"1"', '"a b"', 'W/ "1"']
)
def test_invalid_lists_of_tags_are_rejected(value: str) -> None:
    with pytest.raises(Invalid, match="is not a list of entity tags"):
        preconditions.parse(value, None)


def test_nothing_matches_an_untagged_resource() -> None:
    preconditions.parse("*", '"1"').check_untagged("x")
    for pair in (('"1"', None), (None, "*"), ("", None)):
        with pytest.raises(Mismatch):
            preconditions.parse(*pair).check_untagged("x")
