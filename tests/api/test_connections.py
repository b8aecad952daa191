"""Connections over the network: too many, silent, slow, or with too many requests."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import httpx
import pytest

from musterd.api.limits import ApiLimits
from musterd.server.api import ApiService
from musterd.server.server import Server
from tests.api.test_limits import pieces
from tests.catalogkit import until
from tests.servers import ServerFixture, answers, connect, service

pytestmark = pytest.mark.slow
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def at(server: Server) -> int:
    """Return the number of connections of the API."""
    listener = service(server, ApiService).listener
    assert listener is not None
    uvicorn = listener.http._server
    return 0 if uvicorn is None else len(uvicorn.server_state.connections)


def gone(connection: Connection) -> bool:
    """Return whether the server has closed the connection."""
    return connection[0].at_eof() or connection[0].exception() is not None


async def test_connections_over_the_limit_are_rejected(fixture: ServerFixture) -> None:
    fixture.limits = replace(fixture.limits, max_connections=5, max_rejected=3)
    async with (
        fixture.serve() as server,
        fixture.client(server) as client,
        AsyncExitStack() as watches,
    ):
        for _ in range(5):
            await watches.enter_async_context(client.stream("GET", "/watch"))
        async with fixture.client(server) as other:
            response = await other.get("/status")
            assert response.status_code == 503
            assert response.headers["connection"] == "close"
        many = [await connect(server) for _ in range(10)]
        await until(lambda: sum(map(gone, many)) == 7)
        assert at(server) == 8
        # Open connections and DNS are still served, and later there is room again.
        assert await answers(server, "nope") == []
        await watches.aclose()
        for _, writer in many:
            writer.close()
        async with fixture.client(server) as other:
            assert (await other.get("/status")).status_code == 200


async def test_silent_connections_make_room(fixture: ServerFixture) -> None:
    fixture.limits = replace(fixture.limits, max_connections=5, max_rejected=3)
    async with fixture.serve() as server, fixture.client(server) as client:
        (await client.get("/status")).raise_for_status()
        silent = [await connect(server) for _ in range(20)]
        async with fixture.client(server) as other:
            assert (await other.get("/status")).status_code == 200
        assert at(server) <= 5
        for _, writer in silent:
            writer.close()


async def test_unread_bodies_make_room(fixture: ServerFixture) -> None:
    fixture.limits = replace(fixture.limits, max_connections=5, linger_seconds=60)
    async with fixture.serve() as server, fixture.client(server) as client:
        (await client.get("/status")).raise_for_status()
        many = [await connect(server) for _ in range(5)]
        for reader, writer in many:
            writer.write(
                b"PUT /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nx"
            )
            assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        async with fixture.client(server) as other:
            assert (await other.get("/status")).status_code == 200
        for _, writer in many:
            writer.close()


async def test_silent_connection_is_closed(fixture: ServerFixture) -> None:
    fixture.limits = replace(fixture.limits, head_seconds=0.2)
    async with fixture.serve() as server:
        # The first connections wait longer, until the API is imported.
        async with fixture.client(server) as client:
            (await client.get("/status")).raise_for_status()
        reader, writer = await connect(server)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_connection_in_use_stays_open(fixture: ServerFixture) -> None:
    fixture.limits = replace(fixture.limits, head_seconds=0.2)
    async with fixture.serve() as server, fixture.client(server) as client:
        for _ in range(2):
            async with client.stream("GET", "/watch") as response:
                # A watch is a complete request, however long it takes.
                await asyncio.sleep(0.3)
                assert response.status_code == 200
            assert (await client.get("/status")).status_code == 200


async def test_request_rate_is_limited(fixture: ServerFixture) -> None:
    fixture.set(("[api]\n", "[api]\nrate = 20\n"))
    async with fixture.serve() as server, fixture.client(server) as client:
        asked = await asyncio.gather(*(client.get("/zones") for _ in range(60)))
        statuses = [each.status_code for each in asked]
        assert statuses.count(200) >= 20
        refused = [each for each in asked if each.status_code == 429]
        assert refused
        assert {each.headers["retry-after"] for each in refused} == {"1"}
        assert "more than 20 requests a second" in refused[0].json()["detail"]
        # Neither other clients nor answers are delayed.
        assert (await client.get("/zones", headers={"authorization": ""})).status_code == 401
        assert await answers(server, "nope") == []


async def test_pages_are_bounded(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        for path in ("/records", "/history"):
            assert (await client.get(f"{path}?limit=1000")).status_code == 200
            assert (await client.get(f"{path}?limit=1001")).status_code == 422


async def test_concurrent_large_bodies_are_bounded(fixture: ServerFixture) -> None:
    fixture.api_limits = ApiLimits(bodies=300_000)
    async with (
        fixture.serve() as server,
        fixture.client(server) as client,
        AsyncExitStack() as stack,
    ):
        await client.get("/status")

        async def put(number: int) -> httpx.Response:
            own = await stack.enter_async_context(fixture.client(server))
            return await own.put(f"/records/lab.internal/h{number}/A/x", content=pieces(200_000))

        statuses = {each.status_code for each in await asyncio.gather(*(put(n) for n in range(8)))}
        # Invalid JSON gets 400; a request that came when there was no room gets 503.
        assert statuses == {422, 503}
        assert (await put(9)).status_code == 422
