"""A cluster under test: etcd members, servers that share them, writers and probers."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from musterd.registry.tokens import new_text
from tests.cluster.invariants import Answer, PastVersions, Seen, Value, Write, kept, wrong
from tests.cluster.prober import Prober
from tests.cluster.server import STALE_AFTER, ZONE, ClusterServer
from tests.cluster.writer import PATIENCE, ServerWriter
from tests.etcdkit import Etcd, Member

LENGTH: Final = float(os.environ.get("FAULTS", "0.02"))
"""Scale of the duration of faults; 1 is that of ``make faults``."""


def lasting(full: float, least: float) -> float:
    """Return a duration or a count: ``full`` scaled by ``LENGTH``, but at least ``least``."""
    return max(least, full * LENGTH)


SETTLE_SECONDS: Final = 45.0
"""Limit for all servers to agree with etcd after the last fault."""
AT_ONCE: Final = 3.0
"""Limit for refusing a write when etcd has been lost for a while, seconds."""
PREFIX: Final = "/musterd/v1/records/"
TTL: Final = 30
"""Default TTL of records, seconds."""
MAX_SHOWN: Final = 8
"""Maximum number of violations to show."""
FILLER: Final = round(lasting(5000, 1500))
"""Unchanging records that make a list slow; they sort after the written ones."""


class AnsweredRecord(NamedTuple):
    """A record of an answer."""

    owner: str
    rtype: str
    ttl: int
    data: str


class Cluster:
    """The cluster. It and its recorded history are kept from test to test."""

    def __init__(
        self,
        etcd: Etcd,
        servers: Sequence[ClusterServer],
        *,
        host: str = "127.0.0.1",
        login: dict[str, str] | None = None,
    ) -> None:
        """``host``: address of etcd; ``login``: a user who may read all keys, if logins are on."""
        self.etcd = etcd
        self.servers = list(servers)
        self.sound = True
        """True if the next test may use the cluster."""
        self._host = host
        self._login = login
        self._writers = {server.name: ServerWriter(server) for server in servers}
        names = [name for writer in self._writers.values() for name in writer.names]
        self._probers = {server.name: Prober(server, names) for server in servers}
        self.crashed: dict[str, set[int]] = {server.name: set() for server in servers}
        """Starts of each server that followed a crash."""
        self._writing: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Start everything and register the filler records."""
        if not self.etcd.runs:
            await self.etcd.start()
        await asyncio.gather(*(server.start() for server in self.servers))
        lines = (f"z{n} 30 IN A 10.255.{n >> 8}.{n & 255}\n" for n in range(FILLER))
        async with self.servers[0].client(60) as client:
            answer = await client.post(
                f"/zones/{ZONE}/import",
                content="".join(lines),
                headers={"content-type": "text/dns"},
            )
            assert answer.is_success, answer.text

    def close(self) -> None:
        """Stop everything."""
        for server in self.servers:
            server.close()
        self.etcd.close()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Write and query during the block, wait for agreement, then check all answers."""
        self.sound = False
        asking = [asyncio.create_task(prober.run()) for prober in self._probers.values()]
        self._write()
        try:
            await self._each_acknowledged()
            yield
            await self.stop_writes()
            await self._settle()
            # Queries still under way are answered too.
            await asyncio.sleep(0.2)
        except BaseException:
            print(self.tail())
            raise
        finally:
            await _end([*asking, *self._writing.values()])
        self._judge()
        self.sound = True

    def _write(self) -> None:
        for name, writer in self._writers.items():
            if name not in self._writing:
                self._writing[name] = asyncio.create_task(writer.run())

    async def stop_writes(self, *servers: ClusterServer) -> None:
        """Finish and stop the writes through the given servers, by default all."""
        names = {server.name for server in servers} or set(self._writing)
        for name in names:
            self._writers[name].stop()
        ending = [self._writing.pop(name) for name in names & self._writing.keys()]
        await asyncio.gather(*ending)

    def resume_writes(self) -> None:
        """Resume the writes through all servers."""
        self._write()

    async def _each_acknowledged(self) -> None:
        await self.acknowledged(*self.servers)

    async def acknowledged(self, *servers: ClusterServer) -> None:
        """Wait until each server acknowledges a write that begins from now on."""
        now = asyncio.get_running_loop().time()
        writers = [self._writers[server.name] for server in servers]
        await self.until(lambda: all(writer.done(now) for writer in writers), "a write")

    async def answered(self, server: ClusterServer) -> None:
        """Wait until a server has answered each name since its start, if only from its snapshot."""
        prober, run = self._probers[server.name], server.runs

        def known() -> bool:
            last = prober.seen[-len(prober.names) :]
            return all(seen.run == run and seen.kind is Answer.VALUE for seen in last)

        await self.until(known, f"answers of {server.name}")

    async def until(self, condition: Callable[[], bool], purpose: str) -> None:
        """Poll until a condition holds. Raises AssertionError after a time limit."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                while not condition():
                    for task in self._writing.values():
                        if task.done():
                            task.result()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            last = "\n".join(f"  {w.writes[-1]}" for w in self._writers.values() if w.writes)
            raise AssertionError(f"waited too long for {purpose}; last writes:\n{last}") from None

    async def crash(self, server: ClusterServer, *, synced: bool = True) -> None:
        """Kill a server and start it again."""
        server.kill()
        self.crashed[server.name].add(server.runs + 1)
        await server.start(synced=synced)

    async def restart(self, server: ClusterServer, *, synced: bool = True) -> None:
        """Stop a server properly and start it again."""
        await server.stop()
        await server.start(synced=synced)

    def seen(self, server: ClusterServer) -> list[Seen]:
        """Return the answers of a server so far."""
        return self._probers[server.name].seen

    def writes(self, server: ClusterServer) -> list[Write]:
        """Return the writes through a server so far."""
        return self._writers[server.name].writes

    async def leader(self) -> int:
        """Wait for a leader and return the number of its member."""
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                for number, member in enumerate(self.etcd.members):
                    with suppress(httpx.HTTPError, KeyError):
                        status = await self._post(member, "maintenance/status", {})
                        if status["leader"] == status["header"]["member_id"]:
                            return number
                await asyncio.sleep(0.1)

    async def compact(self) -> None:
        """Compact etcd at its current revision."""
        revision = (await self._ask("kv/range", {"key": _base64("/")}))["header"]["revision"]
        await self._ask("kv/compaction", {"revision": revision})

    async def add_role(self, role: str) -> None:
        """Create a role in etcd, which invalidates all login tokens."""
        await self._ask("auth/role/add", {"name": role})

    async def contents(self) -> set[AnsweredRecord]:
        """Return the records in etcd, as answers should contain them."""
        end = PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1)
        span = {"key": _base64(PREFIX), "range_end": _base64(end)}
        found = set()
        for entry in (await self._ask("kv/range", span)).get("kvs", ()):
            key, value = (base64.b64decode(entry[name]) for name in ("key", "value"))
            _, owner, rtype, _ = key.decode().removeprefix(PREFIX).split("/")
            record = json.loads(value)
            found.add(AnsweredRecord(owner, rtype, record.get("ttl", TTL), record["data"]))
        return found

    async def exported(self, server: ClusterServer) -> set[AnsweredRecord]:
        """Return all records that a server answers."""
        async with server.client(PATIENCE) as client:
            answer = await client.get(f"/zones/{ZONE}/export")
            assert answer.is_success, answer.text
        found = set()
        for line in answer.text.splitlines():
            if not line.startswith(";"):
                owner, ttl, _, rtype, data = line.split(maxsplit=4)
                found.add(AnsweredRecord(owner.removesuffix(f".{ZONE}."), rtype, int(ttl), data))
        return {record for record in found if record.rtype not in {"SOA", "NS"}}

    async def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        member, token = self.etcd.members[0], ""
        if self._login is not None:
            token = (await self._post(member, "auth/authenticate", self._login))["token"]
        return await self._post(member, path, body, token)

    async def _post(
        self, member: Member, path: str, body: dict[str, Any], token: str = ""
    ) -> dict[str, Any]:
        headers = {"Authorization": token} if token else {}
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            url = f"http://{self._host}:{member.port}/v3/{path}"
            answer = await client.post(url, json=body, headers=headers)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

    async def _settle(self) -> None:
        """Wait until each server answers exactly the records in etcd, not marked as stale."""
        expected = await self.contents()
        there = values(expected)
        differences = list[str]()
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                for server in self.servers:
                    while differences := await self._differences(  # noqa: ASYNC110
                        server, expected, there
                    ):
                        await asyncio.sleep(0.1)
        except TimeoutError:
            text = "\n".join(differences[:MAX_SHOWN])
            raise AssertionError(f"servers don't agree with etcd:\n{text}") from None
        past = PastVersions(write for writer in self._writers.values() for write in writer.writes)
        assert (lost := list(kept(past, there, "etcd"))) == [], "\n".join(lost)

    async def _differences(
        self, server: ClusterServer, expected: set[AnsweredRecord], there: dict[str, Value]
    ) -> list[str]:
        found = await self.exported(server)
        differences = [f"{server.name} lacks {record}" for record in sorted(expected - found)]
        differences += [f"{server.name} has {record}" for record in sorted(found - expected)]
        prober = self._probers[server.name]
        for seen in prober.seen[-len(prober.names) :]:
            if seen.value != there.get(seen.name, Value()) or seen.stale:
                differences.append(f"{server.name} answers {seen}, etcd has {there.get(seen.name)}")
        return differences

    def _judge(self) -> None:
        """Raise AssertionError if an answer violates a rule."""
        past = PastVersions(write for writer in self._writers.values() for write in writer.writes)
        found = [text for writer in self._writers.values() for text in writer.wrong]
        for server in self.servers:
            found += wrong(past, self.seen(server), STALE_AFTER, self.crashed[server.name])
            found += [f"{server.name} logged:\n{text}" for text in [server.broken()] if text]
        if found:
            more = [f"and {len(found) - MAX_SHOWN} more"] if len(found) > MAX_SHOWN else []
            print(self.tail())
            raise AssertionError("\n".join(["", *found[:MAX_SHOWN], *more]))

    def tail(self) -> str:
        """Return the ends of all logs."""
        return "\n".join([*(server.tail() for server in self.servers), self.etcd.tail()])


def values(records: set[AnsweredRecord]) -> dict[str, Value]:
    """Return the addresses of each name."""
    found: dict[str, set[str]] = {}
    for record in records:
        found.setdefault(record.owner, set()).add(record.data)
    return {name: Value(data) for name, data in found.items()}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def _end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def new_cluster(folder: Path, program: str, servers: int = 3, members: int = 3) -> Cluster:
    """Create a cluster on loopback."""
    etcd = Etcd(folder / "etcd", program, size=members)
    token = new_text()
    made = [ClusterServer(folder / f"s{n}", etcd.endpoints, token) for n in range(servers)]
    return Cluster(etcd, made)
