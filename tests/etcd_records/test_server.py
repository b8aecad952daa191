"""A whole server with a source in etcd: settings in, answers over the network out."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.asyncquery
import dns.message
import pytest
import structlog

from musterd import log as logs
from musterd.errors import SettingsError
from musterd.etcd import EtcdClient
from musterd.server.server import Server
from musterd.settings import Log, load
from musterd.settings.watch import Watcher
from tests.catalogkit import until
from tests.etcdkit import Certificates, Etcd, running
from tests.needs import needs

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
[[sources.etcd]]
name = "there"
endpoints = ["{endpoint}"]
zones = ["muster.local"]
prefix = "/one"
{more}
"""


@asynccontextmanager
async def serving(settings: Path) -> AsyncIterator[Server]:
    server = Server(Watcher(settings, {}))
    task = asyncio.create_task(server.run())
    await until(lambda: task.done() or bool(server.state.listening))
    try:
        yield server
    finally:
        server.stop()
        await task


async def answered(server: Server, expected: list[str]) -> None:
    """Ask for web.muster.local until the answer is as expected."""
    host, port = server.state.listening[0].rsplit(":", 1)
    found = None
    while found != expected:
        reply = await dns.asyncquery.udp(
            dns.message.make_query("web.muster.local", "A"), host, port=int(port), timeout=10
        )
        found = sorted(str(rdata) for rrset in reply.answer for rdata in rrset)
        await asyncio.sleep(0.01)


async def put(etcd: Etcd, key: str, host: str) -> None:
    async with EtcdClient(etcd.options()) as client:
        await client.put(key.encode(), json.dumps({"host": host}).encode())


@pytest.mark.slow
@needs("etcd")
async def test_answers_reload_and_restart_without_etcd(tmp_path: Path) -> None:
    settings = tmp_path / "musterd.toml"
    state = tmp_path / "state"
    async with running(tmp_path / "etcd", "etcd-3.4") as etcd:
        text = TOML.format(endpoint=etcd.endpoints[0], state=state, more="")
        settings.write_text(text)
        await put(etcd, "/one/local/muster/web", "10.0.0.1")
        await put(etcd, "/two/local/muster/web/a", "10.0.0.2")
        async with serving(settings) as server:
            await answered(server, ["10.0.0.1"])
            settings.write_text(text.replace("/one", "/two"))
            await answered(server, ["10.0.0.2"])
            settings.write_text(text.replace("/one", "/two") + "subtree = false\n")
            await answered(server, [])
            settings.write_text(text)
            await answered(server, ["10.0.0.1"])
    async with serving(settings) as server:
        await answered(server, ["10.0.0.1"])
        (zone,) = server.catalog.zone_reports()
        assert zone.state == "stale"


@pytest.mark.slow
@needs("etcd", "openssl")
async def test_tls_and_a_login(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    settings = tmp_path / "musterd.toml"
    async with running(tmp_path / "etcd", "etcd-3.4", certificates=certificates) as etcd:
        await put(etcd, "/one/local/muster/web", "10.0.0.1")
        more = (
            f'ca = "{certificates.ca}"\ncert = "{certificates.cert("client")}"\n'
            f'key = "{certificates.key("client")}"\n'
        )
        text = TOML.format(endpoint=etcd.endpoints[0], state="", more=more)
        settings.write_text(text)
        async with serving(settings) as server:
            await answered(server, ["10.0.0.1"])


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """What is logged meanwhile."""
    logs.setup(Log(file=tmp_path / "log"))
    yield (tmp_path / "log").read_text
    structlog.reset_defaults()


@pytest.mark.slow
@needs("etcd")
async def test_a_password_in_a_file(tmp_path: Path, logged: Callable[[], str]) -> None:
    settings = tmp_path / "musterd.toml"
    (tmp_path / "password").write_text("pa55\n")
    async with running(tmp_path / "etcd", "etcd-3.4") as etcd:
        await put(etcd, "/one/local/muster/web", "10.0.0.1")
        await etcd.with_users(("app", "pa55", "/one/"))
        more = 'user = "app"\npassword_file = "password"\n'
        settings.write_text(TOML.format(endpoint=etcd.endpoints[0], state="", more=more))
        async with serving(settings) as server:
            await answered(server, ["10.0.0.1"])
    told = logged()
    (line,) = [line for line in told.splitlines() if "in plain text" in line]
    assert "source=there" in line


def test_the_variables_of_others_name_the_files(tmp_path: Path) -> None:
    settings = tmp_path / "musterd.toml"
    settings.write_text(TOML.format(endpoint="127.0.0.1:1", state="", more='ca = "mine.pem"'))
    variables = {"ETCD_CACERT": "/a", "ETCD_TLSPEM": "/b", "ETCD_TLSKEY": "/c"}
    (source,) = load(settings, variables).sources.etcd
    assert (source.ca, source.cert, source.key) == (tmp_path / "mine.pem", Path("/b"), Path("/c"))
    assert source.prefix == "/one/"
    assert source.ttl == 300


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ('user = "me"', "also needs password or password_file"),
        ('password_file = "p"', "password_file: also needs user"),
        ('user = "me"\npassword = "p"\npassword_file = "p"', "conflicts with password"),
        ('cert = "a"', "also needs key"),
        ('layout = "consul"', "sources.etcd[0].layout"),
        ("ttl = -1", "sources.etcd[0].ttl"),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, more: str, wrong: str) -> None:
    settings = tmp_path / "musterd.toml"
    settings.write_text(TOML.format(endpoint="127.0.0.1:1", state="", more=more))
    with pytest.raises(SettingsError) as caught:
        load(settings, {})
    assert wrong in str(caught.value)
