"""Invalid JSON in a body gets a problem with the reason."""

import pytest

from tests.api.kit import ApiKit

ONE = "/records/lab.internal/web/A/one"


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[" * 300_000 + b"]" * 300_000, "it is nested too deeply"),
        (b'{"data": ' + b"[" * 300_000, "it is nested too deeply"),
        (b'{"labels": ' + b'{"a": ' * 100_000 + b"1" + b"}" * 100_001, "it is nested too deeply"),
        (b'{"data": "\xff"}', "it is not UTF-8"),
        (b'{"ttl": ' + b"9" * 5000 + b"}", "it has a number of more than 4300 digits"),
        (b'{"ttl": ', "Expecting value"),
        (b"\xff\xfe{", "it is not UTF-16"),
    ],
)
async def test_invalid_json_is_explained(api: ApiKit, body: bytes, kind: str, reason: str) -> None:
    for method, path in (("PUT", ONE), ("POST", "/leases"), ("POST", "/tokens")):
        response = await api.call(method, path, content=body, headers={"content-type": kind})
        assert response.status_code == 422
        problem = response.json()
        assert f"is not valid JSON: {reason}" in problem["detail"]
