"""Two clients that compare and set the same record lose no update.

``TIMES`` sets the number of increments, 100 by default.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable

import httpx
import pytest

from musterd.client.api import ApiClient
from musterd.client.endpoint import find
from musterd.client.problems import ApiError
from tests.servers import ServerFixture, answers

pytestmark = pytest.mark.slow
TIMES = int(os.environ.get("TIMES", "100"))
RRSET = ("lab.internal", "n", "A")
WHOLE = "/records/lab.internal/n/A"
ONE = f"{WHOLE}/one"

Count = Callable[[httpx.AsyncClient], Awaitable[bool]]


def body(number: int) -> dict[str, str]:
    return {"data": f"10.0.{number >> 8}.{number & 255}", "description": str(number)}


async def single(client: httpx.AsyncClient) -> bool:
    """Increment the number in a record; return False if another client was faster."""
    found = await client.get(ONE)
    number = int(found.json()["description"]) + 1
    done = await client.put(ONE, json=body(number), headers={"if-match": found.headers["etag"]})
    assert done.status_code in {200, 412}, done.text
    return done.is_success


async def whole(client: httpx.AsyncClient) -> bool:
    """Do the same in the only record of an RRset."""
    found = await client.get(WHOLE)
    number = int(found.json()["records"][0]["description"]) + 1
    new = {"records": [{**body(number), "id": "one"}]}
    done = await client.put(WHOLE, json=new, headers={"if-match": found.headers["etag"]})
    assert done.status_code in {200, 412}, done.text
    return done.is_success


@pytest.mark.timeout(60 + TIMES)
@pytest.mark.parametrize("count", [single, whole])
async def test_concurrent_api_increments_are_all_counted(
    fixture: ServerFixture, count: Count
) -> None:
    async def often() -> None:
        async with fixture.client(server) as client:
            done = 0
            while done < TIMES // 2:
                done += await count(client)

    async with fixture.serve() as server, fixture.client(server) as client:
        (await client.put(ONE, json=body(0))).raise_for_status()
        await asyncio.gather(often(), often())
        assert (await client.get(ONE)).json()["description"] == str(TIMES // 2 * 2)
        assert await answers(server, "n") == [body(TIMES // 2 * 2)["data"]]


@pytest.mark.timeout(60 + TIMES)
async def test_concurrent_command_line_increments_are_all_counted(fixture: ServerFixture) -> None:
    """Use the blocking client of the API, in threads."""

    def often() -> None:
        with client() as mine:
            done = 0
            while done < TIMES // 2:
                (found,) = mine.records(*RRSET)
                try:
                    number = int(found["description"]) + 1
                    mine.replace(
                        RRSET,
                        [{"data": f"10.0.0.{number % 250}", "description": str(number)}],
                        found["revision"],
                    )
                except ApiError as error:
                    if error.status != 412:
                        raise
                else:
                    done += 1

    def client() -> ApiClient:
        environ = {"MUSTERD_SERVER": f"http://{server.api_address}", "MUSTERD_TOKEN": fixture.token}
        return ApiClient(find(environ=environ))

    def begin() -> None:
        with client() as first:
            first.add(RRSET, {"data": "10.0.0.1", "description": "0"})

    def end() -> str:
        with client() as last:
            (found,) = last.records(*RRSET)
        return found["description"]

    async with fixture.serve() as server:
        await asyncio.to_thread(begin)
        await asyncio.gather(asyncio.to_thread(often), asyncio.to_thread(often))
        assert await asyncio.to_thread(end) == str(TIMES // 2 * 2)
