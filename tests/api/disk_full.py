"""Checks of a server on a full disk; ``test_state.py`` runs it on a small one.

``python -m tests.api.disk_full FOLDER``: the folder is a file system of its own that can be
enlarged.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

import httpx

from tests.servers import ServerFixture, ServerProcess
from tests.smalldisk import PASSED, enlarge, fill_up

AT_ONCE = 20
DESCRIPTION = "x" * 900


async def put(client: httpx.AsyncClient, number: int) -> httpx.Response:
    body = {"data": f"10.0.{number >> 8}.{number & 255}", "description": DESCRIPTION}
    return await client.put(f"/records/lab.internal/h{number}/A/x", json=body)


async def fill(client: httpx.AsyncClient) -> set[int]:
    """Write until there is no space; return the acknowledged numbers."""
    kept: set[int] = set()
    for at_once in (AT_ONCE, 1):
        refused = 0
        while refused < 10:
            first = max(kept, default=0) + AT_ONCE
            numbers = range(first, first + at_once)
            asked = (put(client, number) for number in numbers)
            for number, response in zip(numbers, await asyncio.gather(*asked), strict=True):
                if response.is_success:
                    kept.add(number)
                    continue
                problem = response.json()
                assert response.status_code == 503, problem
                assert problem["type"] == "urn:musterd:problem:store-full"
                assert (
                    "the disk is full: nothing was written; free some space there"
                    in problem["detail"]
                )
                assert response.headers["retry-after"]
                refused += 1
    return kept


async def check(server: ServerProcess, client: httpx.AsyncClient, kept: set[int]) -> None:
    """Check that exactly the acknowledged records are stored, and that they are answered."""
    headers = {"accept": "application/x-ndjson"}
    response = await client.get("/records", headers=headers)
    assert response.text.count("\n") == len(kept)
    for number in sorted(kept)[-3:]:
        ((_, data),) = await server.answers(f"h{number}.lab.internal", "A")
        assert data == f"10.0.{number >> 8}.{number & 255}"


async def main(folder: Path) -> None:
    fixture = ServerFixture(folder)
    async with fixture.process() as server:
        await server.ready()
        async with server.client() as client:
            kept = await fill(client)
            assert len(kept) > AT_ONCE
            await check(server, client, kept)
            # Another file takes the space that the store had reserved, too.
            fill_up(folder / "rest")
            assert (await put(client, 65_000)).status_code == 503
            await check(server, client, kept)
            (folder / "rest").unlink()
        await server.stop()
    fill_up(folder / "rest")
    async with fixture.process() as server:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await server.process.wait()
                assert server.process.returncode == 1
                assert "make room" in server.text, server.text
                assert "Traceback" not in server.text
    await enlarge(folder)
    async with fixture.process() as server:
        await server.ready()
        async with server.client() as client:
            await check(server, client, kept)
            assert (await put(client, 65_000)).status_code == 201
            await check(server, client, kept | {65_000})


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
    print(PASSED)
