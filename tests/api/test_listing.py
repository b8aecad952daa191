"""Lists of records: pages, filters, streams."""

import json

import pytest

from tests.api.kit import ApiKit

HOSTS = 25


async def fill(api: ApiKit) -> None:
    for number in range(HOSTS):
        body = {"data": f"10.0.0.{number}", "labels": {"odd": str(number % 2)}}
        await api.ok("PUT", f"/records/lab.internal/h{number:02}/A/x", body)
    await api.ok("PUT", "/records/lab.internal/h00/AAAA/x", {"data": "::1"})
    await api.ok("PUT", "/records/other.test/a/A/x", {"data": "10.0.0.1"})


async def pages(api: ApiKit, path: str) -> list[list[str]]:
    """The data of each page of a list."""
    found: list[list[str]] = []
    after = ""
    while True:
        page = await api.ok("GET", f"{path}&after={after}")
        found.append([record["data"] for record in page["records"]])
        if page["next"] is None:
            return found
        after = page["next"]


async def test_list_is_paged(api: ApiKit) -> None:
    await fill(api)
    found = await pages(api, "/records/lab.internal?limit=10")
    assert [len(page) for page in found] == [10, 10, 6]
    assert len({data for page in found for data in page}) == HOSTS + 1
    assert len((await api.ok("GET", "/records"))["records"]) == HOSTS + 2


@pytest.mark.parametrize(
    ("path", "count"),
    [("/records?type=AAAA", 1), ("/records/lab.internal?type=a", HOSTS),
     ("/records/lab.internal?label=odd=1", 12), ("/records?label=odd=1&label=odd=0", 0),
     ("/records?label=none=1", 0), ("/records?registrant=first", HOSTS + 2),
     ("/records?registrant=nobody", 0), ("/records/lab.internal/h00", 2),
     ("/records/lab.internal/h00/A", 1), ("/records/lab.internal/h00/TXT", 0),
     ("/records/lab.internal/H01.lab.internal.", 1), ("/records/sub.lab.internal", 0)],
)  # fmt: skip
async def test_list_is_filtered(api: ApiKit, path: str, count: int) -> None:
    await fill(api)
    joint = "&" if "?" in path else "?"
    for limit in (1, 7, 1000):
        found = await pages(api, f"{path}{joint}limit={limit}")
        assert sum(map(len, found)) == count
        assert all(len(page) <= limit for page in found)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "label=x", "type=NOPE", "nope=1", "type="]
)
async def test_invalid_query_is_rejected(api: ApiKit, query: str) -> None:
    await api.refused(422, "GET", f"/records/lab.internal?{query}")


async def test_stream_contains_all_records(api: ApiKit) -> None:
    await fill(api)
    response = await api.call(
        "GET", "/records/lab.internal?type=A", headers={"accept": "application/x-ndjson"}
    )
    assert response.headers["content-type"] == "application/x-ndjson"
    records = [json.loads(line) for line in response.text.splitlines()]
    assert len(records) == HOSTS
    revision = (await api.ok("GET", "/records"))["revision"]
    assert response.headers["musterd-revision"] == str(revision)


async def test_empty_stream(api: ApiKit) -> None:
    headers = {"accept": "application/x-ndjson"}
    assert (await api.call("GET", "/records", headers=headers)).text == ""
    await api.refused(404, "GET", "/records/nope.test", headers=headers)
