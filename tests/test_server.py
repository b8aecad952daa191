"""A whole server: settings and zone files in, answers over the network out."""

import asyncio
import http.client
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from musterd.errors import ListenError, StateError
from musterd.server import heartbeat
from musterd.server.server import Server
from musterd.settings.watch import Watcher
from tests.catalogkit import until

pytestmark = pytest.mark.slow

TOML = """
[dns]
listen = ["127.0.0.1:0"]
[metrics]
listen = ""
[api]
listen = ""
[state]
dir = "{state}"
[[zones]]
name = "muster.local"
[[sources.zonefile]]
name = "one"
zone = "muster.local"
path = "one.zone"
"""


class House:
    """The directory of a server, and the server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "musterd.toml"
        self.zone = folder / "one.zone"
        self.text = TOML.format(state=folder / "state")
        self.settings.write_text(self.text)
        self.zone.write_text("a A 10.0.0.1\n")

    def set(self, old: str, new: str) -> None:
        """Change the settings; ``old`` is what was there at first."""
        assert old in self.text
        self.settings.write_text(self.text.replace(old, new))

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Server]:
        """Run a server; it is up in the block and has ended after it."""
        server = Server(Watcher(self.settings, {}))
        task = asyncio.create_task(server.run())
        await until(lambda: task.done() or bool(server.state.listening))
        try:
            yield server
        finally:
            server.stop()
            await task


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def ask(server: Server, name: str, rtype: str = "A") -> dns.message.Message:
    host, port = server.state.listening[0].rsplit(":", 1)
    query = dns.message.make_query(f"{name}.muster.local", rtype, use_edns=True)
    return await dns.asyncquery.udp(query, host, port=int(port), timeout=10)


async def addresses(server: Server, name: str = "a") -> list[str]:
    reply = await ask(server, name)
    return sorted(str(rdata) for rrset in reply.answer for rdata in rrset)


async def answers(server: Server, name: str, expected: list[str]) -> None:
    """Ask until the answer is as expected."""
    while await addresses(server, name) != expected:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def zone_state(server: Server) -> str:
    return server.catalog.zone_reports()[0].state


async def test_a_file_is_answered(house: House) -> None:
    async with house.serve() as server:
        await answers(server, "a", ["10.0.0.1"])
        reply = await ask(server, "none")
        assert reply.rcode() == dns.rcode.NXDOMAIN
        assert reply.flags & dns.flags.AA
        house.zone.write_text("a A 10.0.0.2\nb A 10.0.0.3\n")
        await answers(server, "b", ["10.0.0.3"])
        await answers(server, "a", ["10.0.0.2"])


def marked(reply: dns.message.Message) -> bool:
    """Whether it says that it is stale (EDE 3)."""
    return any(isinstance(one, dns.edns.EDEOption) and one.code == 3 for one in reply.options)


async def test_the_event_loop_hangs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "PERIOD", 0.01)
    monkeypatch.setattr(heartbeat, "LIMIT", 0.5)
    async with house.serve() as server:
        await answers(server, "a", ["10.0.0.1"])
        host, port = server.state.listening[0].rsplit(":", 1)
        query = dns.message.make_query("a.muster.local", "A", use_edns=True)
        # It blocks the loop, which is that of the server.
        while not marked(dns.query.udp(query, host, port=int(port), timeout=10)):
            pass
        assert zone_state(server) == "stale"
        while marked(await ask(server, "a")):
            pass
        assert zone_state(server) == "live"


async def test_a_file_that_is_missing(house: House) -> None:
    house.zone.unlink()
    async with house.serve() as server:
        reply = await ask(server, "a")
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert [option.otype for option in reply.options] == [15]
        house.zone.write_text("a A 10.0.0.1\n")
        await answers(server, "a", ["10.0.0.1"])
        assert zone_state(server) == "live"


async def test_a_snapshot_answers_while_the_file_is_missing(house: House) -> None:
    async with house.serve() as server:
        await answers(server, "a", ["10.0.0.1"])
        serial = server.catalog.serials()["muster.local."]
    house.zone.unlink()
    async with house.serve() as server:
        await answers(server, "a", ["10.0.0.1"])
        assert zone_state(server) == "stale"
        assert server.catalog.serials()["muster.local."] > serial
        house.zone.write_text("a A 10.0.0.2\n")
        await answers(server, "a", ["10.0.0.2"])
        assert zone_state(server) == "live"


async def test_no_state_directory(house: House) -> None:
    house.settings.write_text(house.text.replace(f'"{house.folder}/state"', '""'))
    async with house.serve() as server:
        await answers(server, "a", ["10.0.0.1"])
    assert not (house.folder / "state").exists()


async def test_a_state_directory_that_cannot_be_made(house: House) -> None:
    (house.folder / "state").write_text("")
    with pytest.raises(StateError, match="can't be made"):
        async with house.serve():
            pass


async def test_an_address_in_use(house: House) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        house.set("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ListenError, match=r"set \[dns\] listen"):
            async with house.serve():
                pass


async def test_reload(house: House) -> None:
    async with house.serve() as server:
        await answers(server, "a", ["10.0.0.1"])
        before = server.state.listening
        (house.folder / "two.zone").write_text("c A 10.0.0.9\n")
        source = '[[sources.zonefile]]\nname = "two"\nzone = "muster.local"\npath = "two.zone"\n'
        house.set("[[zones]]", f"{source}[[zones]]")
        await answers(server, "c", ["10.0.0.9"])
        assert server.state.listening == before
        house.set('path = "one.zone"', 'path = "two.zone"')
        await answers(server, "a", [])
        assert await addresses(server, "c") == ["10.0.0.9"]
        house.set("[[zones]]", "[[zones]]\nttl = 99")
        await answers(server, "a", ["10.0.0.1"])
        reply = await ask(server, "a")
        assert reply.answer[0].ttl == 99
        assert server.state.reloads_failed == 0


async def test_zones_come_and_go(house: House) -> None:
    async with house.serve() as server:
        await answers(server, "a", ["10.0.0.1"])
        house.set("muster.local", "other.local")
        await until(
            lambda: [zone.name for zone in server.catalog.zone_reports()] == ["other.local."]
        )
        reply = await ask(server, "a")
        assert reply.rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "muster.local"', "name = 5"),
        ("[dns]", "[dns"),
        ("[dns]", "[dns]\nworkers = 3"),
        ("127.0.0.1:0", "192.0.2.1:53"),
        ('listen = ""', 'listen = "192.0.2.1:9353"'),
        ("[[zones]]", '[log]\nfile = "/nowhere/log"\n[[zones]]'),
    ],
)
async def test_settings_that_cannot_be_taken(house: House, old: str, new: str) -> None:
    async with house.serve() as server:
        before = server.state.listening
        house.set(old, new)
        await until(lambda: server.state.reloads_failed == 1)
        assert server.state.listening == before
        house.zone.write_text("a A 10.0.0.2\n")
        await answers(server, "a", ["10.0.0.2"])
        house.settings.write_text(house.text + "# right\n")
        await until(lambda: server.state.reloads_ok == 1)


async def get(address: str, path: str) -> tuple[int, bytes]:
    def blocking() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(address)
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        return reply.status, body

    return await asyncio.to_thread(blocking)


async def test_metrics_come_move_and_go(house: House) -> None:
    async with house.serve() as server:
        await answers(server, "a", ["10.0.0.1"])
        assert server.state.metrics_address == ""
        house.set('listen = ""', 'listen = "127.0.0.1:0"')
        await until(lambda: bool(server.state.metrics_address))
        first = server.state.metrics_address
        status, body = await get(first, "/readyz")
        assert (status, json.loads(body)["ready"]) == (200, True)
        house.set('listen = ""', 'listen = "[::1]:0"')
        await until(lambda: server.state.metrics_address != first)
        assert (await get(server.state.metrics_address, "/healthz"))[0] == 200
        house.settings.write_text(house.text)
        await until(lambda: server.state.metrics_address == "")
        with pytest.raises(ConnectionRefusedError):
            await get(first, "/healthz")


async def test_a_source_that_no_zone_lists(house: House) -> None:
    (house.folder / "two.zone").write_text("c A 10.0.0.9\n")
    source = '[[sources.zonefile]]\nname = "two"\nzone = "muster.local"\npath = "two.zone"\n'
    house.set("[[zones]]", f'{source}[[zones]]\nsources = ["one"]')
    async with house.serve() as server:
        await answers(server, "a", ["10.0.0.1"])
        assert [source.name for source in server.catalog.source_reports()] == ["one"]


SERVE = "import asyncio, pathlib, sys; from musterd.server.server import serve; "
SERVE += "asyncio.run(serve(pathlib.Path(sys.argv[1])))"


class Process:
    """A server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def told(self, event: str, **fields: object) -> dict[str, object]:
        """Wait until it logs an event with these fields."""
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            entry: dict[str, object] = json.loads(line)
            if entry["event"] == event and entry.items() >= fields.items():
                return entry
        raise AssertionError(f"it ended without telling {event}")


Start = Callable[[House], Awaitable[Process]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    processes: list[asyncio.subprocess.Process] = []

    async def start(house: House) -> Process:
        house.settings.write_text(house.text + '[log]\nformat = "json"\n')
        command = [sys.executable, "-c", SERVE, str(house.settings)]
        process = await asyncio.create_subprocess_exec(
            *command, stderr=asyncio.subprocess.PIPE, env={**os.environ}
        )
        processes.append(process)
        return Process(process)

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals(house: House, start: Start, number: signal.Signals) -> None:
    server = await start(house)
    ready = await server.told("ready")
    assert ready["zones"] == ["muster.local."]
    await server.told("source synced", source="one")
    server.process.send_signal(signal.SIGHUP)
    await server.told("settings reloaded")
    server.process.send_signal(number)
    await server.told("stopping")
    assert await server.process.wait() == 0
    assert sorted(os.listdir(house.folder / "state")) == [
        "one.snapshot", "serials.json", "store.db", "store.db.lock", "token",
    ]  # fmt: skip
