"""The query log of a running server: its lines, what is in it, and a disk that fails."""

import asyncio
import json
import os
import shlex
import shutil
import signal
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import pytest

from musterd.errors import MusterdError, SettingsError
from musterd.server.feed import CHECKED_EVERY
from musterd.server.server import Server
from musterd.settings import load
from tests.catalogkit import until
from tests.servers import MUSTERD, TOML, ServerFixture, host_and_port

SECONDS = 20
LOGGED = f"""{TOML}
[query_log]
enabled = true
file = "queries.jsonl"
"""


@pytest.fixture
def fixture(tmp_path: Path) -> ServerFixture:
    return ServerFixture(tmp_path, LOGGED)


@asynccontextmanager
async def live(fixture: ServerFixture) -> AsyncIterator[Server]:
    """Run a server; in the block its zones are live."""
    async with fixture.serve() as server:
        await until(lambda: server.state.readiness()[0])
        yield server


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines of a query log."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def ask(server: Server, name: str, rtype: str = "A", *, tcp: bool = False) -> None:
    """Send a query and wait for its response."""
    query = dns.message.make_query(dns.name.from_text(name), rtype)
    host, port = host_and_port(server.state.listening[0])
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    await send(query, host, port=port, timeout=SECONDS)


async def burst(server: Server, count: int) -> None:
    """Send queries, with few enough outstanding that none is lost, and wait for the responses."""
    query = dns.message.make_query("web.lab.internal", "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(host_and_port(server.state.listening[0]))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SECONDS):
            for start in range(0, count, 50):
                rest = min(50, count - start)
                for _ in range(rest):
                    client.send(query)
                for _ in range(rest):
                    await loop.sock_recv(client, 4096)


def writers() -> int:
    """Return the number of threads of this process that write a query log."""
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    return names.count("query-log\n")


def dropped(server: Server) -> int:
    return server.state.core.tapped()["query_log_dropped"]


async def test_line_describes_query_and_response(fixture: ServerFixture) -> None:
    log = fixture.folder / "queries.jsonl"
    async with live(fixture) as server:
        await ask(server, "none.Lab.internal.", "AAAA")
        await until(lambda: len(lines(log)) == 1)
        await ask(server, "lab.internal.", "SOA", tcp=True)
        await until(lambda: len(lines(log)) == 2)
    first, second = lines(log)
    assert first["time"].endswith("Z")
    assert isinstance(first["port"], int)
    assert isinstance(first["us"], int)
    assert first["size"] > first["query_size"] > 12
    expected = {
        "client": "127.0.0.1", "transport": "udp", "name": "none.Lab.internal.", "type": "AAAA",
        "rcode": "NXDOMAIN", "flags": "aa rd",
    }  # fmt: skip
    assert expected.items() <= first.items()
    assert {"transport": "tcp", "type": "SOA", "rcode": "NOERROR"}.items() <= second.items()
    assert stat.S_IMODE(log.stat().st_mode) & 0o137 == 0


async def test_off_by_default(tmp_path: Path) -> None:
    fixture = ServerFixture(tmp_path, TOML + '[query_log]\nfile = "queries.jsonl"\n')
    async with live(fixture) as server:
        await ask(server, "web.lab.internal.")
        await asyncio.sleep(0.1)
        assert server.state.core.tapped()["query_log_written"] == 0
    assert not (tmp_path / "queries.jsonl").exists()


@pytest.mark.parametrize(
    ("key", "logged"),
    [
        (
            'names = ["a.lab.internal", "x.test"]',
            {"a.lab.internal.", "b.A.lab.internal.", "x.test."},
        ),
        ('clients = ["10.0.0.0/8", "fd00::/8"]', set()),
        ('clients = ["127.0.0.0/8"]\nnames = ["x.test"]', {"x.test."}),
        ('rcodes = ["REFUSED", "BADCOOKIE"]', {"x.test."}),
        ('rcodes = ["NOERROR"]', {"lab.internal."}),
        ('rcodes = ["NOERROR", "NXDOMAIN"]\nnames = ["x.test"]', set()),
    ],
)
async def test_filters(tmp_path: Path, key: str, logged: set[str]) -> None:
    fixture = ServerFixture(tmp_path, LOGGED + key + "\n")
    async with live(fixture) as server:
        for name in ("a.lab.internal.", "b.A.lab.internal.", "aa.lab.internal.", "x.test."):
            await ask(server, name)
        await ask(server, "lab.internal.", "SOA", tcp=True)
    names = {line["name"] for line in lines(tmp_path / "queries.jsonl")}
    assert names == logged


async def test_sample_is_a_fraction_of_the_queries(tmp_path: Path) -> None:
    fixture = ServerFixture(tmp_path, LOGGED + "sample = 0.1\n")
    async with live(fixture) as server:
        await burst(server, 2000)
    assert 100 < len(lines(tmp_path / "queries.jsonl")) < 300


async def test_every_query_of_a_burst_is_logged_once(fixture: ServerFixture) -> None:
    async with live(fixture) as server:
        await burst(server, 5000)
        totals = server.state.core.tapped
    assert len(lines(fixture.folder / "queries.jsonl")) == 5000
    assert {"query_log_written": 5000, "query_log_dropped": 0}.items() <= totals().items()


@pytest.mark.parametrize(
    "packet",
    [
        b"\0\1\1\0\0\1\0\0\0\0\0\0" + b'\x09"\\\n\r\0\xff\x1b.}\0' + b"\0\1\0\1",
        b"\0\1\1\0\0\1\0\0\0\0\0\0"
        + (b"\x3f" + b"\xfe" * 63) * 3
        + b"\x3d"
        + b"\\" * 61
        + b"\0\0\1\0\1",
        b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"\0\xff\xff\0\xfe",
        b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"\xc0\x0c\0\1\0\1",
        b"\0\1\1\0\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\1\x29\0\0\1\0\0\0\0\0\0" + b"\1a\0\0\6\0\1",
    ],
    ids=["bytes", "longest name", "class", "pointer", "counts", "update"],
)
async def test_hostile_query_is_one_line_of_printable_json(
    fixture: ServerFixture, packet: bytes
) -> None:
    log = fixture.folder / "queries.jsonl"
    loop = asyncio.get_running_loop()
    async with live(fixture) as server:
        address = host_and_port(server.state.listening[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(address)
            client.send(b"\0\1\x81\0" + packet[4:])  # a response, which is no query
            client.send(packet[:11])
            client.send(packet)
            await asyncio.wait_for(loop.sock_recv(client, 4096), SECONDS)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(struct.pack("!H", len(packet)) + packet)
        await asyncio.wait_for(reader.readexactly(2), SECONDS)
        writer.close()
    text = log.read_bytes()
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in text)
    # Each worker has its own ring, so the order of two workers is not that of the queries.
    assert sorted(line["transport"] for line in lines(log)) == ["tcp", "udp"]
    for line in lines(log):
        if "name" in line and "class" not in line and "opcode" not in line:
            assert dns.name.from_text(line["name"]).to_wire() == packet[12:-4]


async def test_client_behind_a_proxy_is_logged(tmp_path: Path) -> None:
    text = LOGGED.replace("workers = 1\n", 'workers = 1\nproxy_from = ["127.0.0.1"]\n')
    fixture = ServerFixture(tmp_path, text)
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c" + bytes([192, 0, 2, 7, 10, 0, 0, 1, 4, 1, 0, 53])
    packet = dns.message.make_query("web.lab.internal", "A").to_wire()
    loop = asyncio.get_running_loop()
    async with live(fixture) as server:
        address = host_and_port(server.state.listening[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(address)
            client.send(packet)
            client.send(header + packet)
            await asyncio.wait_for(loop.sock_recv(client, 4096), SECONDS)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(header + struct.pack("!H", len(packet)) + packet)
        await asyncio.wait_for(reader.readexactly(2), SECONDS)
        writer.close()
    found = [(x["transport"], x["client"], x["port"]) for x in lines(tmp_path / "queries.jsonl")]
    assert sorted(found) == [("tcp", "192.0.2.7", 1025), ("udp", "192.0.2.7", 1025)]


async def test_dropped_response_has_no_code(tmp_path: Path) -> None:
    text = LOGGED.replace("workers = 1\n", "workers = 1\nrate_limit = 1\nrate_slip = 0\n")
    fixture = ServerFixture(tmp_path, text)
    async with live(fixture) as server:
        await ask(server, "web.lab.internal.")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(host_and_port(server.state.listening[0]))
            for _ in range(20):
                client.send(dns.message.make_query("web.lab.internal", "A").to_wire())
        await until(lambda: server.state.core.counters()["queries_udp"] == 21)
    last = lines(tmp_path / "queries.jsonl")[-1]
    assert (last["rcode"], last["size"], last["name"]) == (None, 0, "web.lab.internal.")


async def reload(server: Server) -> None:
    """Reload the settings and wait until they are in effect."""
    count = server.state.reloads_ok
    server.reload()
    await until(lambda: server.state.reloads_ok == count + 1)


async def _rotated_by_reload(fixture: ServerFixture, server: Server) -> None:
    await reload(server)


async def _rotated_with_invalid_settings(fixture: ServerFixture, server: Server) -> None:
    fixture.settings.write_text("nonsense\n")
    server.reload()
    await until(lambda: server.state.reloads_failed == 1)


@pytest.mark.parametrize("rotate", [_rotated_by_reload, _rotated_with_invalid_settings])
async def test_file_is_opened_again_on_sighup(
    fixture: ServerFixture, rotate: Callable[[ServerFixture, Server], Awaitable[None]]
) -> None:
    log, old = fixture.folder / "queries.jsonl", fixture.folder / "queries.jsonl.1"
    async with live(fixture) as server:
        await burst(server, 100)
        log.rename(old)
        await rotate(fixture, server)
        await burst(server, 100)
    assert len(lines(old)) + len(lines(log)) == 200
    assert len(lines(log)) >= 100


async def test_reload_changes_the_log(fixture: ServerFixture) -> None:
    log, other = fixture.folder / "queries.jsonl", fixture.folder / "other.jsonl"
    async with live(fixture) as server:
        await burst(server, 10)
        fixture.set(('"queries.jsonl"', '"other.jsonl"'))
        await _rotated_by_reload(fixture, server)
        await burst(server, 20)
        fixture.set(("enabled = true", "enabled = false"))
        server.reload()
        await until(lambda: server.state.reloads_ok == 2)
        await burst(server, 30)
    assert (len(lines(log)), len(lines(other))) == (10, 20)


async def test_refused_reload_keeps_the_log(fixture: ServerFixture) -> None:
    log = fixture.folder / "queries.jsonl"
    async with live(fixture) as server:
        fixture.set(
            ('"queries.jsonl"', '"other.jsonl"'),
            ('"127.0.0.1:0"]', '"127.0.0.1:0", "192.0.2.1:1"]'),
        )
        server.reload()
        await until(lambda: server.state.reloads_failed == 1)
        await burst(server, 10)
        fixture.set(("queries.jsonl", "missing/queries.jsonl"))
        server.reload()
        await until(lambda: server.state.reloads_failed == 2)
        await burst(server, 10)
    assert len(lines(log)) == 20
    assert lines(fixture.folder / "other.jsonl") == []


async def test_full_disk_drops_and_counts_lines(tmp_path: Path) -> None:
    fixture = ServerFixture(tmp_path, LOGGED.replace('"queries.jsonl"', '"/dev/full"'))
    async with fixture.process() as server:
        await server.ready()
        await server.answers("web.lab.internal.", "A")
        event = await server.logged("query log can't be written, queries are missing")
        assert "No space left" in str(event["problem"])
        fixture.settings.write_text(
            fixture.settings.read_text().replace("/dev/full", str(tmp_path / "queries.jsonl"))
        )
        await server.logged("configuration reloaded")
        await server.answers("web.lab.internal.", "A")
        await server.logged("query log is written again")
        await server.stop()
    assert len(lines(tmp_path / "queries.jsonl")) == 1


async def test_new_file_is_not_reported_as_written_before_its_first_line(tmp_path: Path) -> None:
    fixture = ServerFixture(tmp_path, LOGGED.replace('"queries.jsonl"', '"/dev/full"'))
    async with fixture.process() as server:
        await server.ready()
        await server.answers("web.lab.internal.", "A")
        await server.logged("query log can't be written, queries are missing")
        server.process.send_signal(signal.SIGHUP)
        await server.logged("configuration reloaded")
        await asyncio.sleep(2 * CHECKED_EVERY)
        text = fixture.settings.read_text()
        fixture.settings.write_text(text.replace("enabled = true", "enabled = false"))
        server.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(2 * CHECKED_EVERY)
        await server.stop()
    assert not [entry for entry in server.log if entry["event"] == "query log is written again"]


async def test_lines_of_a_deleted_file_are_dropped_until_it_is_reopened(tmp_path: Path) -> None:
    fixture = ServerFixture(tmp_path, LOGGED.replace('"queries.jsonl"', '"logs/queries.jsonl"'))
    (tmp_path / "logs").mkdir()
    async with live(fixture) as server:
        await ask(server, "web.lab.internal.")
        await until(lambda: server.state.core.tapped()["query_log_written"] == 1)
        shutil.rmtree(tmp_path / "logs")
        await ask(server, "web.lab.internal.")
        await until(lambda: dropped(server) == 1)
        server.reload()
        await until(lambda: server.state.reloads_failed == 1)
        await ask(server, "web.lab.internal.")
        await until(lambda: dropped(server) == 2)
        (tmp_path / "logs").mkdir()
        await reload(server)
        await ask(server, "web.lab.internal.")
        await until(lambda: server.state.core.tapped()["query_log_written"] == 2)
    assert len(lines(tmp_path / "logs" / "queries.jsonl")) == 1


async def test_reader_that_stalls_costs_lines_but_no_answers(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    fixture = ServerFixture(tmp_path, LOGGED.replace('"queries.jsonl"', '"pipe"'))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with live(fixture) as server:
            async with asyncio.timeout(60):
                while not dropped(server):
                    await burst(server, 5000)
                counters = server.state.core.counters()
                assert counters["udp_send_errors"] == 0
                for _ in range(3):
                    await reload(server)
                await until(lambda: writers() == 1)
        os.set_blocking(reader, True)
        text = b""
        while part := os.read(reader, 2**20):
            text += part
    finally:
        os.close(reader)
    assert all(json.loads(line) for line in text.splitlines())


async def test_pipe_without_a_reader_refuses_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    fixture = ServerFixture(tmp_path, LOGGED.replace('"queries.jsonl"', '"pipe"'))
    with pytest.raises(MusterdError, match=r"pipe: can't be opened: .*; set \[query_log\] file"):
        async with fixture.serve():
            pass


def test_check_names_a_missing_directory(tmp_path: Path) -> None:
    fixture = ServerFixture(tmp_path, LOGGED.replace('"queries.jsonl"', '"none/queries.jsonl"'))
    with pytest.raises(SettingsError, match=r"query_log\.file: .*its directory does not exist"):
        load(fixture.settings, {}, with_files=True)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("sample = 0", r"query_log\.sample: got 0, expected a number from 0\.0001 to 1"),
        ("sample = 2", r"query_log\.sample: got 2"),
        ('rcodes = ["nxdomain"]', r"query_log\.rcodes\[0\]: got \"nxdomain\", expected .*NXDOMAIN"),
        ('clients = ["10.0.0.1/8"]', r"without host bits"),
        ('names = ["a..b"]', r"query_log\.names\[0\]: got .*expected a DNS name"),
    ],
)
def test_invalid_settings_are_named(tmp_path: Path, key: str, message: str) -> None:
    fixture = ServerFixture(tmp_path, f"{LOGGED}{key}\n")
    with pytest.raises(SettingsError, match=message):
        load(fixture.settings, {})


async def test_standard_output_is_the_default(tmp_path: Path) -> None:
    fixture = ServerFixture(tmp_path, LOGGED.replace('file = "queries.jsonl"\n', ""))
    with (tmp_path / "stdout").open("wb") as stdout:
        process = await asyncio.create_subprocess_exec(
            *MUSTERD, "serve", "-c", fixture.settings, stdout=stdout, stderr=asyncio.subprocess.PIPE
        )
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        while b"all sources synced" not in (line := await process.stderr.readline()):
            if b" ready " in line:
                address = line.split(b"listen=['")[1].split(b"'")[0].decode()
        await dns.asyncquery.udp(
            dns.message.make_query("web.lab.internal", "A"), host_and_port(address)[0],
            port=host_and_port(address)[1],
        )  # fmt: skip
        process.terminate()
        await process.communicate()
    assert [line["name"] for line in lines(tmp_path / "stdout")] == ["web.lab.internal."]


async def test_warning_about_access_names_the_file_itself(tmp_path: Path) -> None:
    target = tmp_path / "target.jsonl"
    target.touch()
    target.chmod(0o644)
    (tmp_path / "queries.jsonl").symlink_to(target)
    async with ServerFixture(tmp_path, LOGGED).process() as server:
        text = "other users can access the query log: run chmod 640"
        await server.logged(text, path=str(target))
        await server.stop()


async def test_closed_standard_output_refuses_the_start(tmp_path: Path) -> None:
    fixture = ServerFixture(tmp_path, LOGGED.replace('file = "queries.jsonl"\n', ""))
    process = await asyncio.create_subprocess_shell(
        f"exec {shlex.join(MUSTERD)} serve -c {fixture.settings} >&-",
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"standard output is closed; set [query_log] file" in errors
