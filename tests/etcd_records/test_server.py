"""A whole server with a source in etcd."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from musterd import log as logs
from musterd.errors import SettingsError
from musterd.etcd import EtcdClient
from musterd.settings import Log, load
from tests.etcdkit import Certificates, Etcd, running
from tests.needs import needs
from tests.servers import ServerFixture, until_answers

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
name = "lab.internal"
[[sources.etcd]]
name = "there"
endpoints = ["{endpoint}"]
zones = ["lab.internal"]
prefix = "/one"
{more}
"""


def etcd_fixture(
    folder: Path, endpoint: str, more: str = "", *, state: str = "{state}"
) -> ServerFixture:
    """Create a server with a source in etcd."""
    return ServerFixture(folder, TOML.format(endpoint=endpoint, state=state, more=more))


async def put(etcd: Etcd, key: str, host: str) -> None:
    async with EtcdClient(etcd.options()) as client:
        await client.put(key.encode(), json.dumps({"host": host}).encode())


@pytest.mark.slow
@needs("etcd")
async def test_answers_after_reload_and_restart_without_etcd(tmp_path: Path) -> None:
    async with running(tmp_path / "etcd", "etcd-3.4") as etcd:
        fixture = etcd_fixture(tmp_path, etcd.endpoints[0])
        await put(etcd, "/one/internal/lab/web", "10.0.0.1")
        await put(etcd, "/two/internal/lab/web/a", "10.0.0.2")
        async with fixture.serve() as server:
            await until_answers(server, "web", ["10.0.0.1"])
            fixture.set(("/one", "/two"))
            await until_answers(server, "web", ["10.0.0.2"])
            fixture.set(('"/one"', '"/two"\nsubtree = false'))
            await until_answers(server, "web", [])
            fixture.set()
            await until_answers(server, "web", ["10.0.0.1"])
    async with fixture.serve() as server:
        await until_answers(server, "web", ["10.0.0.1"])
        (zone,) = server.catalog.zone_reports()
        assert zone.state == "stale"


@pytest.mark.slow
@needs("etcd")
async def test_wildcard_queries_can_be_turned_on_and_off(tmp_path: Path) -> None:
    async with running(tmp_path / "etcd", "etcd-3.4") as etcd:
        fixture = etcd_fixture(tmp_path, etcd.endpoints[0])
        await put(etcd, "/one/internal/lab/east/web", "10.0.0.1")
        await put(etcd, "/one/internal/lab/west/web/a", "10.0.0.2")
        async with fixture.serve() as server:
            await until_answers(server, "web.east", ["10.0.0.1"])
            await until_answers(server, "web.any", [])
            fixture.set(('"/one"', '"/one"\nwildcard_queries = true'))
            await until_answers(server, "web.any", ["10.0.0.1", "10.0.0.2"])
            await put(etcd, "/one/internal/lab/east/api", "10.0.0.3")
            await until_answers(server, "*.east", ["10.0.0.1", "10.0.0.3"])
            fixture.set()
            await until_answers(server, "web.any", [])


@pytest.mark.slow
@needs("etcd", "openssl")
async def test_tls_with_client_certificate(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    async with running(tmp_path / "etcd", "etcd-3.4", certificates=certificates) as etcd:
        await put(etcd, "/one/internal/lab/web", "10.0.0.1")
        more = (
            f'ca = "{certificates.ca}"\ncert = "{certificates.cert("client")}"\n'
            f'key = "{certificates.key("client")}"\n'
        )
        fixture = etcd_fixture(tmp_path, etcd.endpoints[0], more, state="")
        async with fixture.serve() as server:
            await until_answers(server, "web", ["10.0.0.1"])


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Return the log of the test."""
    logs.setup(Log(file=tmp_path / "log"))
    yield (tmp_path / "log").read_text
    structlog.reset_defaults()


@pytest.mark.slow
@needs("etcd")
async def test_plain_text_password_is_logged(tmp_path: Path, logged: Callable[[], str]) -> None:
    (tmp_path / "password").write_text("pa55\n")
    async with running(tmp_path / "etcd", "etcd-3.4") as etcd:
        await put(etcd, "/one/internal/lab/web", "10.0.0.1")
        await etcd.with_users(("app", "pa55", "/one/"))
        more = 'user = "app"\npassword_file = "password"\n'
        fixture = etcd_fixture(tmp_path, etcd.endpoints[0], more, state="")
        async with fixture.serve() as server:
            await until_answers(server, "web", ["10.0.0.1"])
    (line,) = [line for line in logged().splitlines() if "in plain text" in line]
    assert "source=there" in line


def test_tls_files_from_environment(tmp_path: Path) -> None:
    settings = etcd_fixture(tmp_path, "127.0.0.1:1", 'ca = "mine.pem"', state="").settings
    variables = {"ETCD_CACERT": "/a", "ETCD_TLSPEM": "/b", "ETCD_TLSKEY": "/c"}
    (source,) = load(settings, variables).sources.etcd
    assert (source.ca, source.cert, source.key) == (tmp_path / "mine.pem", Path("/b"), Path("/c"))
    assert source.prefix == "/one/"
    assert source.ttl == 300


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('user = "me"', "also needs password or password_file"),
        ('password_file = "p"', "password_file: also needs user"),
        ('user = "me"\npassword = "p"\npassword_file = "p"', "conflicts with password"),
        ('cert = "a"', "also needs key"),
        ('layout = "consul"', "sources.etcd[0].layout"),
        ("ttl = -1", "sources.etcd[0].ttl"),
    ],
)
def test_invalid_settings(tmp_path: Path, more: str, problem: str) -> None:
    settings = etcd_fixture(tmp_path, "127.0.0.1:1", more, state="").settings
    with pytest.raises(SettingsError) as caught:
        load(settings, {})
    assert problem in str(caught.value)
