"""A whole server with a zone file."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import dns.asyncquery
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from musterd.errors import ListenError, StateError
from musterd.server.heartbeat import HeartbeatTiming
from musterd.server.server import Server
from tests.catalogkit import until
from tests.needs import needs
from tests.servers import MUSTERD, TOML, ServerFixture, answers, host_and_port, query, until_answers

pytestmark = pytest.mark.slow
ZONE_FILE = "one.zone"

NO_API = TOML.replace('[api]\nlisten = "127.0.0.1:0"', '[api]\nlisten = ""')
SETTINGS = f"""{NO_API}
[[sources.zonefile]]
name = "one"
zone = "lab.internal"
path = "one.zone"
"""


@pytest.fixture
def fixture(tmp_path: Path) -> ServerFixture:
    (tmp_path / ZONE_FILE).write_text("a A 10.0.0.1\n")
    return ServerFixture(tmp_path, SETTINGS)


def zone_file(fixture: ServerFixture) -> Path:
    return fixture.folder / ZONE_FILE


def zone_state(server: Server) -> str:
    return server.catalog.zone_reports()[0].state


async def test_zone_file_is_answered(fixture: ServerFixture) -> None:
    async with fixture.serve() as server:
        await until_answers(server, "a", ["10.0.0.1"])
        reply = await query(server, "none")
        assert reply.rcode() == dns.rcode.NXDOMAIN
        assert reply.flags & dns.flags.AA
        zone_file(fixture).write_text("a A 10.0.0.2\nb A 10.0.0.3\n")
        await until_answers(server, "b", ["10.0.0.3"])
        await until_answers(server, "a", ["10.0.0.2"])


def marked(reply: dns.message.Message) -> bool:
    """Return whether a reply is marked stale (EDE 3)."""
    return any(isinstance(o, dns.edns.EDEOption) and o.code == 3 for o in reply.options)


async def test_answers_are_marked_while_the_event_loop_hangs(fixture: ServerFixture) -> None:
    async with fixture.serve(timing=HeartbeatTiming(period=0.01, limit=0.5)) as server:
        await until_answers(server, "a", ["10.0.0.1"])
        host, port = host_and_port(server.state.listening[0])
        message = dns.message.make_query("a.lab.internal", "A", use_edns=True)
        # This blocks the loop, which the server shares.
        while not marked(dns.query.udp(message, host, port=port, timeout=10)):
            pass
        assert zone_state(server) == "stale"
        while marked(await query(server, "a")):
            pass
        assert zone_state(server) == "live"


async def test_missing_zone_file(fixture: ServerFixture) -> None:
    zone_file(fixture).unlink()
    async with fixture.serve() as server:
        reply = await query(server, "a")
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert [option.otype for option in reply.options] == [15]
        zone_file(fixture).write_text("a A 10.0.0.1\n")
        await until_answers(server, "a", ["10.0.0.1"])
        assert zone_state(server) == "live"


async def test_snapshot_answers_while_the_zone_file_is_missing(fixture: ServerFixture) -> None:
    async with fixture.serve() as server:
        await until_answers(server, "a", ["10.0.0.1"])
        serial = server.catalog.serials()["lab.internal."]
    zone_file(fixture).unlink()
    async with fixture.serve() as server:
        await until_answers(server, "a", ["10.0.0.1"])
        assert zone_state(server) == "stale"
        assert server.catalog.serials()["lab.internal."] > serial
        zone_file(fixture).write_text("a A 10.0.0.2\n")
        await until_answers(server, "a", ["10.0.0.2"])
        assert zone_state(server) == "live"


async def test_without_state_directory(fixture: ServerFixture) -> None:
    fixture.settings.write_text(fixture.text.replace(f'"{fixture.folder}/state"', '""'))
    async with fixture.serve() as server:
        await until_answers(server, "a", ["10.0.0.1"])
    assert not (fixture.folder / "state").exists()


async def test_state_directory_that_cannot_be_created(fixture: ServerFixture) -> None:
    (fixture.folder / "state").write_text("")
    with pytest.raises(StateError, match="can't be created"):
        async with fixture.serve():
            pass


async def test_stopped_server_holds_no_inotify_instance(fixture: ServerFixture) -> None:
    """A user may have 128, and the collector does not look at what the server froze."""

    def instances() -> int:
        links = Path("/proc/self/fd").iterdir()
        return sum(os.path.islink(link) and "inotify" in os.readlink(link) for link in links)

    before = instances()
    async with fixture.serve():
        assert instances() > before
    assert instances() == before


async def test_address_in_use(fixture: ServerFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        fixture.set(("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"))
        with pytest.raises(ListenError, match="another process uses it"):
            async with fixture.serve():
                pass


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("192.0.2.1:0", "this machine does not have the address; set"),
        ("[2001:db8::1]:0", "does not have the address, or IPv6 is off; set"),
    ],
)
@pytest.mark.parametrize("section", ["dns", "api", "metrics"])
async def test_address_of_another_machine(
    fixture: ServerFixture, section: str, address: str, remedy: str
) -> None:
    old = '["127.0.0.1:0"]' if section == "dns" else '""'
    new = f'["{address}"]' if section == "dns" else f'"{address}"'
    plain = "\nallow_plain = true" if section == "api" else ""
    fixture.set((f"[{section}]\nlisten = {old}", f"[{section}]{plain}\nlisten = {new}"))
    remedy = rf"{re.escape(address)}: .*{remedy} \[{section}\] listen"
    with pytest.raises(ListenError, match=remedy):
        async with fixture.serve():
            pass


@pytest.mark.parametrize("section", ["dns", "api", "metrics"])
@needs("unshare", "setpriv", "ip")
def test_privileged_port_without_its_capability(fixture: ServerFixture, section: str) -> None:
    """In a network namespace, where the port is free, and without any capability."""
    run = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec setpriv "$@"', "sh"]
    drop = ["--bounding-set=-all", "--inh-caps=-all", "--reuid=0"]
    program = [str(Path(sys.executable).parent / "musterd"), "serve", "--zone", "a.test"]
    environ = os.environ | {f"MUSTERD_{section.upper()}__LISTEN": "127.0.0.1:53"}
    done = subprocess.run(
        [*run, *drop, *program],
        cwd=fixture.folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "127.0.0.1:53: Permission denied" in done.stderr
    assert "CAP_NET_BIND_SERVICE" in done.stderr
    assert f"set [{section}] listen to a port above 1023" in done.stderr


async def test_reload(fixture: ServerFixture) -> None:
    async with fixture.serve() as server:
        await until_answers(server, "a", ["10.0.0.1"])
        before = server.state.listening
        (fixture.folder / "two.zone").write_text("c A 10.0.0.9\n")
        source = '[[sources.zonefile]]\nname = "two"\nzone = "lab.internal"\npath = "two.zone"\n'
        fixture.set(("[[zones]]", f"{source}[[zones]]"))
        await until_answers(server, "c", ["10.0.0.9"])
        assert server.state.listening == before
        fixture.set(('path = "one.zone"', 'path = "two.zone"'))
        await until_answers(server, "a", [])
        assert await answers(server, "c") == ["10.0.0.9"]
        fixture.set(("[[zones]]", "[[zones]]\nttl = 99"))
        await until_answers(server, "a", ["10.0.0.1"])
        reply = await query(server, "a")
        assert reply.answer[0].ttl == 99
        assert server.state.reloads_failed == 0


async def test_reload_with_another_zone(fixture: ServerFixture) -> None:
    async with fixture.serve() as server:
        await until_answers(server, "a", ["10.0.0.1"])
        fixture.set(("lab.internal", "other.internal"))
        await until(
            lambda: [zone.name for zone in server.catalog.zone_reports()] == ["other.internal."]
        )
        reply = await query(server, "a")
        assert reply.rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "lab.internal"', "name = 5"),
        ("[dns]", "[dns"),
        ("[dns]", "[dns]\nworkers = 3"),
        ("127.0.0.1:0", "192.0.2.1:53"),
        ('listen = ""', 'listen = "192.0.2.1:9353"'),
        ("[[zones]]", '[log]\nfile = "/nowhere/log"\n[[zones]]'),
    ],
)
async def test_refused_reload_changes_nothing(fixture: ServerFixture, old: str, new: str) -> None:
    async with fixture.serve() as server:
        before = server.state.listening
        fixture.set((old, new))
        await until(lambda: server.state.reloads_failed == 1)
        assert server.state.listening == before
        zone_file(fixture).write_text("a A 10.0.0.2\n")
        await until_answers(server, "a", ["10.0.0.2"])
        fixture.settings.write_text(fixture.text + "# right\n")
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


async def test_reload_starts_moves_and_stops_metrics(fixture: ServerFixture) -> None:
    async with fixture.serve() as server:
        await until_answers(server, "a", ["10.0.0.1"])
        assert server.state.metrics_address == ""
        fixture.set(('listen = ""', 'listen = "127.0.0.1:0"'))
        await until(lambda: bool(server.state.metrics_address))
        first = server.state.metrics_address
        status, body = await get(first, "/readyz")
        assert (status, json.loads(body)["ready"]) == (200, True)
        fixture.set(('listen = ""', 'listen = "[::1]:0"'))
        await until(lambda: server.state.metrics_address != first)
        assert (await get(server.state.metrics_address, "/healthz"))[0] == 200
        fixture.settings.write_text(fixture.text)
        await until(lambda: server.state.metrics_address == "")
        with pytest.raises(ConnectionRefusedError):
            await get(first, "/healthz")


async def test_unlisted_source_is_not_read(fixture: ServerFixture) -> None:
    (fixture.folder / "two.zone").write_text("c A 10.0.0.9\n")
    source = '[[sources.zonefile]]\nname = "two"\nzone = "lab.internal"\npath = "two.zone"\n'
    fixture.set(("[[zones]]", f'{source}[[zones]]\nsources = ["one"]'))
    async with fixture.serve() as server:
        await until_answers(server, "a", ["10.0.0.1"])
        assert [source.name for source in server.catalog.source_reports()] == ["one"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals(fixture: ServerFixture, number: signal.Signals) -> None:
    async with fixture.process() as server:
        ready = await server.logged("ready")
        assert ready["zones"] == ["lab.internal."]
        await server.logged("source synced", source="one")
        server.process.send_signal(signal.SIGHUP)
        await server.logged("configuration reloaded")
        server.process.send_signal(number)
        await server.logged("stopping")
        assert await server.process.wait() == 0
    assert sorted(path.name for path in fixture.state.iterdir()) == [
        "one.snapshot", "serials.json", "store.db", "store.db.acked", "store.db.lock", "token",
    ]  # fmt: skip


async def test_loss_of_most_zones_is_logged(fixture: ServerFixture) -> None:
    more = fixture.text + '[[zones]]\nname = "b"\n[[zones]]\nname = "c"\n'
    fixture.settings.write_text(more)
    async with fixture.process() as server:
        await server.logged("ready")
        text = fixture.settings.read_text()
        fixture.settings.write_text(text.replace('[[zones]]\nname = "b"\n', ""))
        await server.logged("configuration reloaded")
        assert not any(entry["event"] == "reload removes most zones" for entry in server.log)
        fixture.settings.write_text(
            fixture.text.partition("[[zones]]")[0] + text[text.index("[log]") :]
        )
        event = await server.logged("reload removes most zones", removed=2)
        assert event["zones"] == ["c", "lab.internal"]


async def first_rcode(port: int) -> int:
    """Return the result of a query, as soon as a server answers on a port."""
    message = dns.message.make_query("a.lab.internal", "A")
    while True:
        try:
            reply = await dns.asyncquery.udp(message, "127.0.0.1", port=port, timeout=0.5)
        except (dns.exception.Timeout, OSError):
            continue
        return reply.rcode()


@pytest.mark.parametrize("streams", ["2>&-", "<&- >&- 2>&-", "2>/dev/full", "2>&- >/dev/full"])
async def test_serves_without_standard_error(fixture: ServerFixture, streams: str) -> None:
    log_file = fixture.folder / "log"
    fixture.settings.write_text(f'{fixture.text}\n[log]\nfile = "{log_file}"\nformat = "json"\n')
    environ = {**os.environ}
    if streams.startswith("2>/dev/full"):
        # Its standard error is the log, so no output contains the address.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environ |= {"MUSTERD_LOG__FILE": "", "MUSTERD_DNS__LISTEN": f"127.0.0.1:{port}"}
    command = [*MUSTERD, "serve", "-c", str(fixture.settings)]
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f'exec "$@" {streams}', "bash", *command,
        env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        if not environ.get("MUSTERD_DNS__LISTEN"):
            await until(lambda: log_file.exists() and '"ready"' in log_file.read_text())
            events = [json.loads(line) for line in log_file.read_text().splitlines()]
            listen = next(event for event in events if event["event"] == "ready")["listen"]
            port = host_and_port(listen[0])[1]
        assert await first_rcode(port) in {dns.rcode.NOERROR, dns.rcode.SERVFAIL}
        links = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)]
        assert not any("store" in link or "socket" in link for link in links), links
    finally:
        process.terminate()
        output, _ = await process.communicate()
    assert (process.returncode, output) == (0, b"")


@pytest.mark.parametrize(
    "broken", ["[dns\n", "[dns]\nworkers = 'x'\n", "[dns]\nworkers = 3\n", None]
)
async def test_sighup_reopens_the_log_with_broken_settings(
    fixture: ServerFixture, broken: str | None
) -> None:
    log_file = fixture.folder / "log"
    text = f'{fixture.text}\n[log]\nfile = "{log_file}"\n'
    fixture.settings.write_text(text)
    async with fixture.process() as server:
        await until(lambda: log_file.exists() and "all sources synced" in log_file.read_text())
        if broken is None:
            fixture.settings.unlink()
        else:
            fixture.settings.write_text(text.replace("[dns]\n", broken))
        await until(lambda: "reload failed" in log_file.read_text())
        log_file.rename(fixture.folder / "log.1")
        server.process.send_signal(signal.SIGHUP)
        await until(lambda: log_file.exists() and "reload failed" in log_file.read_text())
        # If the log can't be opened again, it goes on in the old file.
        log_file.rename(fixture.folder / "log.2")
        log_file.mkdir()
        server.process.send_signal(signal.SIGHUP)
        await until(lambda: "log not reopened" in (fixture.folder / "log.2").read_text())
        await server.stop()
