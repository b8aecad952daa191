"""A server killed by ``kill -9`` under API writes keeps and answers each acknowledged write.

The environment sets the number of kills: ``KILLS=200 make test PYTEST=tests/api/test_kill.py``.
"""

import asyncio
import os
import random
from dataclasses import dataclass, field

import httpx
import pytest

from tests.catalogkit import until
from tests.servers import ServerFixture, ServerProcess

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("KILLS", "5"))
WRITERS = 12
ENOUGH = 100
"""Maximum acknowledged writes before the kill."""
LONGEST = 0.8
"""Maximum seconds from the start of a server to its kill."""
SIZES = (5, 2, 7)
"""Sizes of an RRset, used in turn."""

Records = dict[tuple[str, str], set[tuple[int, str]]]
"""Owner and type -> TTL and data of each record."""


@dataclass
class RecordingWriter:
    """A client that writes names of its own, so that their records are known exactly.

    turn: number of its next write; there: its records after the last acknowledged write.
    """

    number: int
    turn: int = 0
    there: Records = field(default_factory=dict)

    def request(self) -> tuple[str, str, object]:
        """Return the method, path and body of the next write."""
        one, many, more = (f"{kind}{self.number}" for kind in ("one", "many", "more"))
        path = "/records/lab.internal/{}/{}".format
        match self.turn % 6:
            case 0:
                return "PUT", path(one, "A/x"), {"data": self.address(0), "ttl": self.turn}
            case 1 | 4:
                size = SIZES[self.turn % len(SIZES)]
                records = [{"data": self.address(n), "ttl": self.turn} for n in range(size)]
                return "PUT", path(many, "A"), {"records": records}
            case 2:
                return "POST", path(more, "TXT"), {"data": f"t{self.turn}", "ttl": 1}
            case 3:
                return "DELETE", path(one, "A/x"), None
            case _:
                return "DELETE", path(more, "TXT"), None

    def after(self) -> Records:
        """Return the records of this client after the next write."""
        there = dict(self.there)
        method, path, body = self.request()
        owner, rtype = path.split("/")[3:5]
        there.pop((owner, rtype), None)
        if isinstance(body, dict):
            made = body.get("records", [body])
            there[owner, rtype] = {(record["ttl"], self.shown(record["data"])) for record in made}
        assert (method == "DELETE") == (body is None)
        return there

    def done(self) -> None:
        """Record that the next write was done."""
        self.there = self.after()
        self.turn += 1

    def address(self, number: int) -> str:
        return f"10.{self.turn >> 8 & 255}.{self.turn & 255}.{number}"

    @staticmethod
    def shown(data: str) -> str:
        return f'"{data}"' if data.startswith("t") else data

    async def write(self, client: httpx.AsyncClient) -> None:
        """Write until the server no longer answers."""
        while True:
            method, path, body = self.request()
            try:
                response = await client.request(method, path, json=body)
            except httpx.TransportError:
                return
            assert response.is_success, response.text
            self.done()


@pytest.mark.timeout(60 + 10 * KILLS)
async def test_no_acknowledged_write_is_lost(fixture: ServerFixture) -> None:
    chance = random.Random()  # noqa: S311
    writers = [RecordingWriter(number) for number in range(WRITERS)]
    for number in range(KILLS):
        if not number % 5:
            # While the server opens and recovers its store.
            async with fixture.process():
                await asyncio.sleep(chance.uniform(0, LONGEST))
        async with fixture.process() as server:
            await server.ready()
            await check(server, writers)
            await killed(server, writers, chance.randint(1, ENOUGH))
    async with fixture.process() as server:
        await server.ready()
        await check(server, writers)


async def killed(server: ServerProcess, writers: list[RecordingWriter], after: int) -> None:
    """Write with all clients, and kill the server after a number of acknowledged writes."""
    last = after + sum(writer.turn for writer in writers)
    async with server.client() as client, asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.write(client))
        await until(lambda: sum(writer.turn for writer in writers) >= last)
        server.process.kill()


async def check(server: ServerProcess, writers: list[RecordingWriter]) -> None:
    """Check that all acknowledged writes are stored and answered, and at most one more."""
    found = await listed(server)
    for writer in writers:
        names = {f"{kind}{writer.number}" for kind in ("one", "many", "more")}
        mine = {key: records for key, records in found.items() if key[0] in names}
        if mine != writer.there:
            assert mine == writer.after(), (writer.there, mine)
            writer.done()
        for key in (("one", "A"), ("many", "A"), ("more", "TXT")):
            owner, rtype = f"{key[0]}{writer.number}", key[1]
            answers = await server.answers(f"{owner}.lab.internal", rtype)
            # All records of an RRset here have the same TTL.
            assert set(answers) == mine.get((owner, rtype), set())
    assert sum(map(len, found.values())) == sum(
        len(records) for writer in writers for records in writer.there.values()
    )


async def listed(server: ServerProcess) -> Records:
    """Return all registered records, as the API lists them."""
    found: Records = {}
    async with server.client() as client:
        page = (await client.get("/records?limit=1000")).json()
        assert page["next"] is None
        for record in page["records"]:
            records = found.setdefault((record["owner"], record["type"]), set())
            records.add((record["ttl"], record["data"]))
    return found
