"""Watches under load: no gap, no repetition, and bounded memory for slow clients."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_watch import events
from tests.catalogkit import until
from tests.servers import ServerFixture, ServerProcess

pytestmark = pytest.mark.slow
WRITERS = 8
Change = tuple[int, str, str, str]
"""Revision, kind, owner and data."""


def change(kind: str, record: dict[str, Any]) -> Change:
    return record["revision"], kind, record["owner"], record["data"]


class Writing:
    """Clients that write until they are stopped."""

    def __init__(self) -> None:
        self.stopped = False

    async def write(self, client: httpx.AsyncClient, number: int) -> None:
        turn = 0
        while not self.stopped:
            turn += 1
            path = f"/records/lab.internal/h{number}/A"
            body = {"records": [{"data": f"10.{number}.{turn & 255}.{n}"} for n in range(turn % 4)]}
            (await client.put(path, json=body)).raise_for_status()


class ResumingWatcher:
    """A client that is disconnected repeatedly and resumes."""

    def __init__(self, first: int) -> None:
        self.next = first
        self.found: list[Change] = []
        self.connections = 0

    async def watch(self, client: httpx.AsyncClient, chance: random.Random, end: str) -> bool:
        """Take events until an error; return whether a record with the data ``end`` was among them.

        Drop events without an id: their revision is sent again.
        """
        self.connections += 1
        most, waiting = chance.randint(1, 50), list[Change]()
        async with client.stream("GET", f"/watch?from={self.next}") as response:
            assert response.status_code == 200
            async for event in events(response):
                waiting.append(change(event.kind, event.record))
                if event.id == str(event.record["revision"]):
                    self.found += waiting
                    self.next = int(event.id) + 1
                    waiting = []
                most -= 1
                if event.record["data"] == end or not most:
                    return bool(event.record["data"] == end)
        return False


async def test_disconnected_client_resumes_without_gap(fixture: ServerFixture) -> None:
    """Over a restart of the server too."""
    watchers = [ResumingWatcher(2) for _ in range(6)]
    for seed in (1, 2):
        async with fixture.process() as server:
            await server.ready()
            await disturbed(server, watchers, seed)
            expected = await changes_in_history(server)
            await server.stop()
    assert len(expected) > 100
    for watcher in watchers:
        assert watcher.found == expected
        assert watcher.connections > 5


async def disturbed(server: ServerProcess, watchers: list[ResumingWatcher], seed: int) -> None:
    """Write for a while, and watch until all writes are seen."""
    writing, end = Writing(), f"10.0.0.{seed}"

    async def follow(watcher: ResumingWatcher, chance: random.Random) -> None:
        async with server.client() as client:
            while not await watcher.watch(client, chance, end):
                pass

    async with server.client() as client, asyncio.TaskGroup() as group:
        tasks = [group.create_task(writing.write(client, number)) for number in range(WRITERS)]
        for number, watcher in enumerate(watchers):
            chance = random.Random(f"{seed} {number}")  # noqa: S311
            group.create_task(follow(watcher, chance))
        await until(lambda: all(watcher.connections >= 6 * seed for watcher in watchers))
        writing.stopped = True
        await asyncio.wait(tasks)
        (await client.put("/records/lab.internal/end/A/x", json={"data": end})).raise_for_status()


async def changes_in_history(server: ServerProcess) -> list[Change]:
    """All changes, as the history has them."""
    pages: list[list[dict[str, Any]]] = []
    after = ""
    async with server.client() as client:
        while after is not None:
            query = f"/history?limit=1000{after and f'&after={after}'}"
            page = (await client.get(query)).json()
            pages.append(page["entries"])
            after = page["next"]
    by_revision: dict[int, list[Change]] = {}
    for entry in (entry for page in pages for entry in page):
        kind, record = ("put", entry["record"]) if entry["record"] else ("delete", entry["before"])
        record["revision"] = entry["revision"]
        by_revision.setdefault(entry["revision"], []).append(change(kind, record))
    return [each for revision in sorted(by_revision) for each in by_revision[revision]]


SLOW = 40
WRITES = 16
RECORDS = 500
DESCRIPTION = "x" * 900


async def test_slow_clients_use_bounded_memory(fixture: ServerFixture) -> None:
    """The 40 clients leave 600 MB of data unread."""
    async with fixture.process() as server:
        await server.ready()
        async with server.client() as client, AsyncExitStack() as stack:
            await write(client, 0)
            before = resident(server)
            for _ in range(SLOW):
                slow = await stack.enter_async_context(server.client())
                await stack.enter_async_context(slow.stream("GET", "/watch?from=2"))
            for turn in range(1, WRITES):
                await write(client, turn)
            assert resident(server) - before < 100_000_000
            assert await server.answers("h.lab.internal", "AAAA") == []


async def write(client: httpx.AsyncClient, turn: int) -> None:
    records = [
        {"data": f"10.{turn}.{n >> 8}.{n & 255}", "description": DESCRIPTION}
        for n in range(RECORDS)
    ]
    done = await client.put("/records/lab.internal/h/A", json={"records": records})
    done.raise_for_status()


def resident(server: ServerProcess) -> int:
    """Return the bytes of memory of the server's process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
