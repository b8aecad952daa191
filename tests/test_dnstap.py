"""dnstap of a running server, and readers that stall, go away or misbehave."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.asyncquery
import dns.message
import pytest

from musterd.errors import SettingsError
from musterd.server.server import Server
from musterd.settings import load
from tests.catalogkit import until
from tests.dnstapkit import Reader, reading
from tests.needs import needs
from tests.servers import TOML, ServerFixture, host_and_port

SECONDS = 20
TAPPED = f"""{TOML}
[dnstap]
socket = "tap.sock"
"""


@pytest.fixture
def fixture(tmp_path: Path) -> ServerFixture:
    return ServerFixture(tmp_path, TAPPED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tap.sock"


@asynccontextmanager
async def live(fixture: ServerFixture, reader: Reader | None = None) -> AsyncIterator[Server]:
    """Run a server; in the block its zones are live, and the reader is connected."""
    async with fixture.serve() as server:
        await until(lambda: server.state.readiness()[0])
        if reader:
            await until(lambda: reader.connections > 0)
            await asyncio.sleep(0.05)
        yield server


async def ask(server: Server, count: int = 1, *, size: int = 0, tcp: bool = False) -> None:
    """Send queries, of at least a size, and wait for their responses."""
    query = dns.message.make_query("Web.lab.internal", "A", use_edns=0, pad=size)
    host, port = host_and_port(server.state.listening[0])
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    for _ in range(count):
        await send(query, host, port=port, timeout=SECONDS)


def total(server: Server, name: str) -> int:
    return server.state.core.tapped()[f"dnstap_{name}"]


@needs("dnstap-read")
async def test_reader_gets_queries_and_responses(
    fixture: ServerFixture, path: Path, tmp_path: Path
) -> None:
    async with reading(path) as reader:
        async with live(fixture, reader) as server:
            port = host_and_port(server.state.listening[0])[1]
            await ask(server)
            await ask(server, tcp=True)
        await until(lambda: reader.finished == 1)
        lines = reader.texts(tmp_path)
        details = "\n".join(reader.texts(tmp_path, "-y"))
    assert len(lines) == 4
    for transport in ("UDP", "TCP"):
        # Each transport has a ring of its own, so the order between them is open.
        query, response = [line for line in lines if f" {transport} " in line]
        assert " AQ 127.0.0.1:" in query
        assert f" -> 127.0.0.1:{port} " in query
        assert " AR 127.0.0.1:" in response
        assert f" <- 127.0.0.1:{port} " in response
    assert all(line.endswith("Web.lab.internal/IN/A") for line in lines)
    assert f"identity: {socket.gethostname()}" in details
    assert "version: musterd " in details
    assert details.count("type: AUTH_RESPONSE") == 2
    assert "status: NXDOMAIN" in details
    assert details.count("response_time: ") == 2


@needs("dnstap-read")
async def test_queries_can_be_left_out(tmp_path: Path, path: Path) -> None:
    fixture = ServerFixture(tmp_path, TAPPED + "queries = false\n")
    async with reading(path) as reader:
        async with live(fixture, reader) as server:
            await ask(server, 3)
        await until(lambda: reader.finished == 1)
        assert [" AR " in line for line in reader.texts(tmp_path)] == [True] * 3


async def test_selection_and_identity(tmp_path: Path, path: Path) -> None:
    text = TAPPED.replace("workers = 1\n", 'workers = 1\nserver_id = "ns-7"\n')
    fixture = ServerFixture(tmp_path, text + 'rcodes = ["REFUSED", "NOTIMP"]\n')
    async with reading(path) as reader:
        async with live(fixture, reader) as server:
            await ask(server, 3)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.connect(host_and_port(server.state.listening[0]))
                client.send(b"\0\1\x28\0\0\0\0\0\0\0\0\0")
            await until(lambda: len(reader.frames) == 2)
        await until(lambda: reader.finished == 1)
    assert len(reader.frames) == 2
    assert all(b"ns-7" in frame for frame in reader.frames)


async def test_queries_before_the_reader_are_dropped_and_counted(
    fixture: ServerFixture, path: Path
) -> None:
    async with live(fixture) as server:
        await ask(server, 5)
        await until(lambda: total(server, "dropped") == 5)
        async with reading(path) as reader:
            await until(lambda: reader.connections == 1)
            await asyncio.sleep(0.1)
            await ask(server, 5)
            await until(lambda: len(reader.frames) == 10)
        assert (total(server, "sent"), total(server, "dropped")) == (5, 5)


async def test_reader_that_goes_away_and_comes_back(fixture: ServerFixture, path: Path) -> None:
    async with live(fixture) as server:
        for _ in range(2):
            await ask_beside_a_reader(server, path)
            await ask(server)
        await until(lambda: total(server, "sent") + total(server, "dropped") == 4)
        assert total(server, "sent") >= 2


async def ask_beside_a_reader(server: Server, path: Path) -> None:
    """Listen, send a query, and hang up when it was reported."""
    async with reading(path) as reader:
        await until(lambda: reader.connections == 1)
        await asyncio.sleep(0.1)
        await ask(server)
        await until(lambda: len(reader.frames) == 2)


async def test_reader_that_stalls_costs_messages_but_no_answers(
    fixture: ServerFixture, path: Path
) -> None:
    async with reading(path) as reader:
        reader.reads.clear()
        async with live(fixture, reader) as server:
            while not total(server, "dropped"):
                await ask(server, 100, size=1024)
            reader.reads.set()
            dropped = total(server, "dropped")
            await until(lambda: total(server, "sent") > 500)
            await ask(server)
            sent = total(server, "sent")
            await until(lambda: len(reader.frames) >= 2 * sent)
            assert total(server, "dropped") == dropped
            assert server.state.core.counters()["udp_send_errors"] == 0


async def test_stop_does_not_wait_for_a_reader_that_stalls(
    fixture: ServerFixture, path: Path
) -> None:
    async with reading(path) as reader:
        reader.reads.clear()
        async with live(fixture, reader) as server:
            await ask(server, 1000, size=1024)
            start = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - start < 5


async def test_reader_of_other_data_is_refused(fixture: ServerFixture, path: Path) -> None:
    reader = Reader()
    reader.accepts = b"other"
    async with reading(path, reader), live(fixture, reader) as server:
        await ask(server)
        await until(lambda: reader.connections >= 2 and total(server, "dropped") == 1)


@pytest.mark.slow
async def test_reader_that_says_nothing_is_left(fixture: ServerFixture, path: Path) -> None:
    reader = Reader()
    reader.accepts = None
    async with reading(path, reader), live(fixture, reader) as server:
        await ask(server)
        await until(lambda: reader.connections >= 2)
        assert reader.frames == []
        assert total(server, "sent") == 0


async def test_problem_with_the_reader_is_logged(fixture: ServerFixture, path: Path) -> None:
    async with fixture.process() as server:
        await server.ready()
        event = await server.logged("dnstap can't be written, queries are missing")
        assert "No such file" in str(event["problem"])
        async with reading(path):
            await server.logged("dnstap is written again")
            await server.stop()


async def test_reload_without_a_change_keeps_the_connection(
    fixture: ServerFixture, tmp_path: Path, path: Path
) -> None:
    async with reading(path) as reader, reading(tmp_path / "other.sock") as other:
        async with live(fixture, reader) as server:
            server.reload()
            await until(lambda: server.state.reloads_ok == 1)
            await ask(server)
            await until(lambda: len(reader.frames) == 2)
            assert reader.connections == 1
            fixture.set(('"tap.sock"', '"other.sock"'))
            server.reload()
            await until(lambda: reader.finished == 1 and other.connections == 1)
            await asyncio.sleep(0.1)
            await ask(server)
            await until(lambda: len(other.frames) == 2)
            fixture.set(('"tap.sock"', '""'))
            server.reload()
            await until(lambda: other.finished == 1)
            await ask(server)
        assert (len(reader.frames), len(other.frames)) == (2, 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("none/tap.sock", r"dnstap\.socket: .*its directory does not exist"),
        ("musterd.toml", r"dnstap\.socket: .*it is not a socket"),
        ("x" * 108, r"dnstap\.socket: .*at most 107 bytes"),
    ],
)
def test_check_names_a_wrong_socket(tmp_path: Path, value: str, message: str) -> None:
    fixture = ServerFixture(tmp_path, TAPPED.replace("tap.sock", value))
    with pytest.raises(SettingsError, match=message):
        load(fixture.settings, {}, with_files=True)
