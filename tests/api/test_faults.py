"""Error details name the location in a request and the expected value."""

import pytest

from tests.api.kit import ApiKit

ONE = "/records/lab.internal/web/A/one"
A = {"data": "10.0.0.1"}


@pytest.mark.parametrize(
    ("method", "path", "body", "detail"),
    [
        ("PUT", ONE, {}, "data: is missing"),
        ("PUT", ONE, {**A, "x": 1}, "x: is unknown"),
        ("PUT", ONE, {"data": 5}, 'data: got "5", expected a string'),
        ("PUT", ONE, {**A, "ttl": -1}, 'ttl: got "-1", expected 0 or more'),
        ("PUT", ONE, {**A, "ttl": "1"}, 'ttl: got "1", expected a whole number'),
        ("PUT", ONE, {**A, "weight": 70000}, 'weight: got "70000", expected 65535 or less'),
        ("PUT", ONE, {**A, "policy": "best"}, 'policy: got "best", expected all, one, rotate, '),
        ("PUT", ONE, {**A, "labels": {"a b": ""}}, 'labels.a b: got "a b", expected 1 to 63 of '),
        ("PUT", ONE, [], "body: expected a JSON object, and Content-Type: application/json"),
        ("PUT", ONE, None, "body: is missing"),
        ("PUT", ONE[:-4], {"records": [A, {}]}, "records.1.data: is missing"),
        ("PUT", ONE[:-4], {"records": [A, A]}, "two records have the data 10.0.0.1"),
        ("PUT", f"{ONE} x", A, 'id: got "one x", expected an id: 1 to 64 of '),
        ("POST", "/leases", {"ttl": 0}, 'ttl: got "0", expected 1 or more'),
        ("GET", "/leases/x", None, 'id: got "x", expected the 16 hexadecimal digits of a lease'),
        ("GET", "/records?limit=x&label=y", None,
         'label.0: got "y", expected NAME=VALUE; limit: got "x", expected a whole number'),
        ("GET", "/watch?from=x", None, 'from: got "x", expected a whole number'),
    ],
)  # fmt: skip
async def test_problem_detail_names_the_fault(
    api: ApiKit, method: str, path: str, body: object, detail: str
) -> None:
    problem = await api.refused(422, method, path, body)
    assert problem["detail"].startswith(detail)


async def test_invalid_json_is_rejected(api: ApiKit) -> None:
    headers = {"content-type": "application/json"}
    problem = await api.refused(422, "PUT", ONE, content=b'{"data":', headers=headers)
    assert problem["detail"].startswith("body: is not valid JSON: ")
    # The default of curl.
    problem = await api.refused(422, "PUT", ONE, content=b'{"data": "10.0.0.1"}')
    assert "Content-Type: application/json" in problem["detail"]
