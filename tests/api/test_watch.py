"""Watches deliver each change once and in order, also to slow and reconnecting clients."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, NamedTuple

import httpx
import pytest

from musterd.api.limits import ApiLimits
from musterd.server.api import ApiService
from tests.catalogkit import until
from tests.servers import ServerFixture, service

pytestmark = pytest.mark.slow
ONE = "/records/lab.internal/web/A/one"


class Sent(NamedTuple):
    kind: str
    record: dict[str, Any]
    id: str


async def events(response: httpx.Response) -> AsyncIterator[Sent]:
    """Yield the events of a stream, as a browser reads them (HTML, server-sent events)."""
    kind, data, last = "", "", ""
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            data = value
        elif name == "id":
            last = value
        elif not line and data:
            yield Sent(kind, json.loads(data), last)
            kind, data = "", ""


async def take(client: httpx.AsyncClient, count: int, query: str, **headers: str) -> list[Sent]:
    """Return the first events of a watch."""
    found: list[Sent] = []
    async with client.stream("GET", f"/watch{query}", headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        async for event in events(response):
            found.append(event)
            if len(found) == count:
                return found
    return found


async def put(client: httpx.AsyncClient, path: str, number: int) -> int:
    """Write a record; return its revision."""
    body = {"data": f"10.0.{number >> 8}.{number & 255}"}
    response = await client.put(path, json=body)
    assert response.is_success, response.text
    return int(response.json()["revision"])


async def test_watch_starts_at_revision(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        first = await put(client, ONE, 1)
        await put(client, ONE, 2)
        await client.delete(ONE)
        found = await take(client, 3, f"?from={first}")
        assert [event.kind for event in found] == ["put", "put", "delete"]
        assert [event.record["data"] for event in found] == ["10.0.0.1", "10.0.0.2", "10.0.0.2"]
        assert [event.id for event in found] == [str(event.record["revision"]) for event in found]
        rest = await take(client, 1, "", **{"Last-Event-ID": found[1].id})
        assert rest == found[2:]


async def test_watch_is_limited_to_zone(fixture: ServerFixture) -> None:
    zone = '[[zones]]\nname = "{}"'
    one, other = zone.format("lab.internal"), zone.format("b.test")
    fixture.set((one, f"{one}\n{other}"))
    async with fixture.serve() as server, fixture.client(server) as client:
        first = await put(client, ONE, 1)
        await put(client, "/records/b.test/x/A/1", 2)
        (event,) = await take(client, 1, f"?from={first}&zone=B.test.")
        assert event.record["zone"] == "b.test"
        assert (await client.get("/watch?zone=nope.test")).status_code == 404


async def test_events_of_a_revision_share_an_id(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        first = await put(client, ONE, 1)
        body = {"records": [{"data": f"10.1.0.{n}"} for n in range(3)]}
        response = await client.put("/records/lab.internal/web/A", json=body)
        revision = response.json()["revision"]
        found = await take(client, 5, f"?from={first}")
        assert [event.id for event in found] == [str(first)] * 4 + [str(revision)]
        assert {event.record["revision"] for event in found[1:]} == {revision}


async def test_watch_sends_live_changes(fixture: ServerFixture) -> None:
    async with (
        fixture.serve() as server,
        fixture.client(server) as client,
        client.stream("GET", "/watch") as response,
    ):
        # The watch runs: its first lines have arrived.
        event = asyncio.ensure_future(anext(events(response)))
        revision = await put(client, ONE, 1)
        assert (await event).record["revision"] == revision


async def test_compacted_revision_is_reported(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        first = await put(client, ONE, 1)
        last = await put(client, ONE, 2)
        await server.state.store.compact(last)  # type: ignore[union-attr]
        response = await client.get(f"/watch?from={first}")
        assert response.status_code == 410
        assert response.json()["oldest"] == last + 1
        assert (await client.get(f"/watch?from={last + 100}")).status_code == 410


async def test_slow_client_loses_no_events(fixture: ServerFixture) -> None:
    """The client reads nothing until all buffers between it and the server are full."""
    count = 3000
    async with fixture.serve() as server, fixture.client(server) as client:
        async with client.stream("GET", "/watch") as response:
            records = [
                {"data": f"10.0.{n >> 8}.{n & 255}", "description": "x" * 900} for n in range(500)
            ]
            for number in range(count // 500):
                body = {"records": [{**record, "ttl": number} for record in records]}
                (await client.put("/records/lab.internal/web/A", json=body)).raise_for_status()
            found = []
            async for event in events(response):
                found.append(event.record)
                if len(found) == count:
                    break
        ttls = [record["ttl"] for record in found]
        assert ttls == sorted(ttls)
        for number in range(count // 500):
            assert len({r["id"] for r in found if r["ttl"] == number}) == 500


async def test_stalled_client_is_disconnected(fixture: ServerFixture) -> None:
    fixture.limits = replace(fixture.limits, send_seconds=0.2)
    async with fixture.serve() as server, fixture.client(server) as client:
        context = await _context(server, client)
        async with client.stream("GET", "/watch"):
            assert context.watchers == 1
            ttl = 0
            while context.watchers:
                ttl += 1
                records = [
                    {"data": f"10.0.{n >> 8}.{n & 255}", "description": "x" * 900, "ttl": ttl}
                    for n in range(500)
                ]
                done = await client.put("/records/lab.internal/web/A", json={"records": records})
                done.raise_for_status()


async def test_closed_watch_is_released(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        context = await _context(server, client)
        for _ in range(3):
            await put(client, ONE, 1)
            async with client.stream("GET", "/watch"):
                assert context.watchers == 1
            await until(lambda: context.watchers == 0)


async def test_idle_watch_sends_keepalives(fixture: ServerFixture) -> None:
    fixture.api_limits = ApiLimits(keepalive=0.05)
    async with (
        fixture.serve() as server,
        fixture.client(server) as client,
        client.stream("GET", "/watch?zone=lab.internal") as response,
    ):
        lines = response.aiter_lines()
        while await anext(lines) != ": alive":
            pass
        assert (await anext(lines)).startswith("id: ")


async def test_number_of_watchers_is_limited(fixture: ServerFixture) -> None:
    fixture.api_limits = ApiLimits(watchers=1)
    async with (
        fixture.serve() as server,
        fixture.client(server) as client,
        client.stream("GET", "/watch"),
    ):
        response = await client.get("/watch")
        assert response.status_code == 503


async def _context(server: Any, client: httpx.AsyncClient) -> Any:
    (await client.get("/status")).raise_for_status()
    return service(server, ApiService).context
