"""An etcd of several members, servers that share it, who writes by them and who asks them."""

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
from tests.cluster.invariants import Answer, Past, Seen, Value, Write, kept, wrong
from tests.cluster.prober import Prober
from tests.cluster.server import STALE_AFTER, ZONE, Server
from tests.cluster.writer import PATIENCE, Writer
from tests.etcdkit import Etcd, Member

LENGTH: Final = float(os.environ.get("FAULTS", "0.02"))
"""How long each fault lasts, 1 for as long as ``make faults`` has it."""


def lasting(full: float, least: float) -> float:
    """How long, or how often: ``full`` in the long run, ``least`` at the least."""
    return max(least, full * LENGTH)


SETTLE_SECONDS: Final = 45.0
"""In which all servers agree with etcd after the last fault."""
AT_ONCE: Final = 3.0
"""Seconds in which a write is refused when etcd has been lost for a while."""
PREFIX: Final = "/musterd/v1/records/"
TTL: Final = 30
"""Of records that have none, seconds."""
WRONG_MOST: Final = 8
"""Breaches of a rule that are shown."""
FILLER: Final = round(lasting(5000, 1500))
"""Records that nobody writes, so that a list takes its time; they come after those that are."""


class Record(NamedTuple):
    """A record as it is answered."""

    owner: str
    rtype: str
    ttl: int
    data: str


class House:
    """The cluster. It goes on from test to test, and so does what is known of it."""

    def __init__(
        self,
        etcd: Etcd,
        servers: Sequence[Server],
        *,
        host: str = "127.0.0.1",
        login: dict[str, str] | None = None,
    ) -> None:
        """``host``: where etcd is; ``login``: who may read all in it, where it wants to know."""
        self.etcd = etcd
        self.servers = list(servers)
        self.sound = True
        """Whether the next test may go on with it."""
        self._host = host
        self._login = login
        self._writers = {server.name: Writer(server) for server in servers}
        names = [name for writer in self._writers.values() for name in writer.names]
        self._probers = {server.name: Prober(server, names) for server in servers}
        self.crashed: dict[str, set[int]] = {server.name: set() for server in servers}
        """Which starts of each server came after a crash."""
        self._writing: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Start all, and register what fills the zone."""
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
        """End all."""
        for server in self.servers:
            server.close()
        self.etcd.kill()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Write and ask while the block runs, then let it settle, and judge all that was seen."""
        self.sound = False
        asking = [asyncio.create_task(prober.run()) for prober in self._probers.values()]
        self._write()
        try:
            await self._each_acknowledged()
            yield
            await self.quiet()
            await self._settle()
            # What was asked when it settled is answered too.
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

    async def quiet(self, *servers: Server) -> None:
        """Write no more by some servers or by all, once what is under way is answered."""
        names = {server.name for server in servers} or set(self._writing)
        for name in names:
            self._writers[name].stop()
        ending = [self._writing.pop(name) for name in names & self._writing.keys()]
        await asyncio.gather(*ending)

    def loud(self) -> None:
        """Write again by all."""
        self._write()

    async def _each_acknowledged(self) -> None:
        await self.acknowledged(*self.servers)

    async def acknowledged(self, *servers: Server) -> None:
        """Wait until each of some servers acknowledges a write that begins from now on."""
        now = asyncio.get_running_loop().time()
        writers = [self._writers[server.name] for server in servers]
        await self.until(lambda: all(writer.done(now) for writer in writers), "a write")

    async def answered(self, server: Server) -> None:
        """Wait until a server answers each name since it was started, if only from its disk."""
        prober, run = self._probers[server.name], server.runs

        def known() -> bool:
            last = prober.seen[-len(prober.names) :]
            return all(one.run == run and one.kind is Answer.VALUE for one in last)

        await self.until(known, f"answers of {server.name}")

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what gives no event. Raises AssertionError where it takes too long."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                while not condition():
                    for task in self._writing.values():
                        if task.done():
                            task.result()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            last = "\n".join(f"  {w.writes[-1]}" for w in self._writers.values() if w.writes)
            raise AssertionError(f"waited too long for {what}; the last:\n{last}") from None

    async def crash(self, server: Server, *, synced: bool = True) -> None:
        """Kill a server as a crash would, and start it again."""
        server.kill()
        self.crashed[server.name].add(server.runs + 1)
        await server.start(synced=synced)

    async def restart(self, server: Server, *, synced: bool = True) -> None:
        """End a server as an administrator would, and start it again."""
        await server.stop()
        await server.start(synced=synced)

    def seen(self, server: Server) -> list[Seen]:
        """The answers of a server so far."""
        return self._probers[server.name].seen

    def writes(self, server: Server) -> list[Write]:
        """The writes by a server so far."""
        return self._writers[server.name].writes

    async def leader(self) -> int:
        """Which member leads, once one does."""
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                for number, member in enumerate(self.etcd.members):
                    with suppress(httpx.HTTPError, KeyError):
                        status = await self._post(member, "maintenance/status", {})
                        if status["leader"] == status["header"]["member_id"]:
                            return number
                await asyncio.sleep(0.1)

    async def compact(self) -> None:
        """Let etcd forget all that was before now."""
        revision = (await self._ask("kv/range", {"key": _base64("/")}))["header"]["revision"]
        await self._ask("kv/compaction", {"revision": revision})

    async def allow(self, role: str) -> None:
        """Make a role in etcd, after which all tokens are of before."""
        await self._ask("auth/role/add", {"name": role})

    async def contents(self) -> set[Record]:
        """What etcd has, as it is to be answered."""
        end = PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1)
        span = {"key": _base64(PREFIX), "range_end": _base64(end)}
        found = set()
        for entry in (await self._ask("kv/range", span)).get("kvs", ()):
            key, value = (base64.b64decode(entry[name]) for name in ("key", "value"))
            _, owner, rtype, _ = key.decode().removeprefix(PREFIX).split("/")
            told = json.loads(value)
            found.add(Record(owner, rtype, told.get("ttl", TTL), told["data"]))
        return found

    async def exported(self, server: Server) -> set[Record]:
        """What a server answers, all of it."""
        async with server.client(PATIENCE) as client:
            answer = await client.get(f"/zones/{ZONE}/export")
            assert answer.is_success, answer.text
        found = set()
        for line in answer.text.splitlines():
            if not line.startswith(";"):
                owner, ttl, _, rtype, data = line.split(maxsplit=4)
                found.add(Record(owner.removesuffix(f".{ZONE}."), rtype, int(ttl), data))
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
        """Wait until each server answers all that etcd has, and nothing else, unmarked."""
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
            text = "\n".join(differences[:WRONG_MOST])
            raise AssertionError(f"doesn't come to agree with etcd:\n{text}") from None
        past = Past(write for writer in self._writers.values() for write in writer.writes)
        assert (lost := list(kept(past, there, "etcd"))) == [], "\n".join(lost)

    async def _differences(
        self, server: Server, expected: set[Record], there: dict[str, Value]
    ) -> list[str]:
        found = await self.exported(server)
        told = [f"{server.name} lacks {record}" for record in sorted(expected - found)]
        told += [f"{server.name} has {record}" for record in sorted(found - expected)]
        prober = self._probers[server.name]
        for one in prober.seen[-len(prober.names) :]:
            if one.value != there.get(one.name, Value()) or one.stale:
                told.append(f"{server.name} answers {one}, etcd has {there.get(one.name)}")
        return told

    def _judge(self) -> None:
        """Raise AssertionError where a rule was broken."""
        past = Past(write for writer in self._writers.values() for write in writer.writes)
        found = [text for writer in self._writers.values() for text in writer.wrong]
        for server in self.servers:
            found += wrong(past, self.seen(server), STALE_AFTER, self.crashed[server.name])
            found += [f"{server.name} said:\n{text}" for text in [server.broken()] if text]
        if found:
            more = [f"and {len(found) - WRONG_MOST} more"] if len(found) > WRONG_MOST else []
            print(self.tail())
            raise AssertionError("\n".join(["", *found[:WRONG_MOST], *more]))

    def tail(self) -> str:
        """The ends of all logs."""
        return "\n".join([*(server.tail() for server in self.servers), self.etcd.tail()])


def values(records: set[Record]) -> dict[str, Value]:
    """The addresses of each name."""
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


def new_house(folder: Path, program: str, servers: int = 3, members: int = 3) -> House:
    """A cluster on loopback."""
    etcd = Etcd(folder / "etcd", program, size=members)
    token = new_text()
    made = [Server(folder / f"s{n}", etcd.endpoints, token) for n in range(servers)]
    return House(etcd, made)
