"""The certificate of the API: its validity, its defects, and what reports them."""

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from musterd import log as logs
from musterd.cli import run
from musterd.errors import SettingsError
from musterd.file_watch import FileWatch
from musterd.server.certificate import Certificate
from musterd.server.metrics import musterd_metrics
from musterd.server.server import Server
from musterd.server.validity import Validity
from musterd.settings import Log
from tests.catalogkit import until
from tests.certkit import make, openssl
from tests.needs import CI, needs
from tests.servers import ServerFixture

pytestmark = needs("openssl")
Events = Callable[[str], list[str]]
DAY = 86400
CAS = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.mark.parametrize("days", [1, 36500])
def test_validity_of_a_certificate(tmp_path: Path, days: int) -> None:
    """A date after 2049 is written in another format."""
    pem = make(tmp_path, days)[0].read_bytes()
    found = Validity.of(pem)
    assert found is not None
    assert found.expires - found.starts == days * DAY
    assert abs(found.starts - time.time()) < 60


def test_validity_of_a_chain_is_that_of_all(tmp_path: Path) -> None:
    short, long = (make(tmp_path, days)[0].read_bytes() for days in (1, 9))
    assert Validity.of(long + short) == Validity.of(short + long)
    found = Validity.of(long + short)
    assert found is not None
    assert found.expires < time.time() + 2 * DAY


def test_validity_of_other_bytes_is_unknown(tmp_path: Path) -> None:
    cert, key = make(tmp_path)
    pem = cert.read_bytes()
    assert Validity.of(b"") is None
    assert Validity.of(key.read_bytes()) is None
    lines = pem.splitlines(keepends=True)
    assert Validity.of(b"".join([lines[0], *lines[2:]])) is None
    assert Validity.of(lines[0] + b"MA==\n" + lines[-1]) is None


@pytest.mark.skipif(not CAS.exists() and not CI, reason="the system has no CA certificates")
def test_validity_agrees_with_openssl() -> None:
    found = re.findall("-----BEGIN.*?END CERTIFICATE-----\n", CAS.read_text(), re.DOTALL)
    assert len(found) > 50
    for pem in found:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=pem)
        (certificate,) = context.get_ca_certs()
        times = (certificate["notBefore"], certificate["notAfter"])
        expected = Validity(*(ssl.cert_time_to_seconds(str(each)) for each in times))
        assert Validity.of(pem.encode()) == expected


def other_key(cert: Path, key: Path) -> None:
    kept = cert.read_bytes()
    make(cert.parent)
    cert.write_bytes(kept)


def rsa_key(_: Path, key: Path) -> None:
    openssl("genrsa", "-out", key, 2048)


def encrypted(_: Path, key: Path) -> None:
    new = key.with_name("new")
    openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:secret", "-out", new)
    new.rename(key)


def old_encrypted(_: Path, key: Path) -> None:
    openssl("ec", "-in", key, "-aes128", "-passout", "pass:secret", "-out", key)


def swapped(cert: Path, key: Path) -> None:
    kept = cert.read_bytes()
    cert.write_bytes(key.read_bytes())
    key.write_bytes(kept)


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DEFECTS: list[tuple[Callable[[Path, Path], object], str]] = [
    (other_key, "the key does not belong to the certificate; replace both"),
    (rsa_key, "the key does not belong to the certificate; replace both"),
    (encrypted, "tls_key is encrypted; decrypt it"),
    (old_encrypted, "tls_key is encrypted; decrypt it"),
    (swapped, "tls_cert has no PEM certificate, tls_key has no PEM private key"),
    (lambda cert, _: halve(cert), "tls_cert is cut off: its certificate has no end"),
    (lambda _, key: halve(key), "tls_key is cut off: its private key has no end"),
    (lambda cert, _: cert.write_text("\n"), "tls_cert is empty"),
    (lambda _, key: key.write_text(""), "tls_key is empty"),
    (lambda cert, _: cert.unlink(), "tls_cert can't be read: No such file or directory"),
    (lambda _, key: folder(key), "tls_key can't be read: Is a directory"),
    (lambda cert, _: cert.write_text("hello"), "tls_cert has no PEM certificate"),
    (
        lambda cert, _: cert.write_text(cert.read_text().replace("\nMII", "\nAAA", 1)),
        "expected a PEM certificate and its key",
    ),
]


@pytest.mark.parametrize(("damage", "reason"), DEFECTS)
def test_defect_of_files_is_named(
    tmp_path: Path, damage: Callable[[Path, Path], object], reason: str
) -> None:
    cert, key = make(tmp_path)
    damage(cert, key)
    with pytest.raises(SettingsError, match=re.escape(reason)) as error:
        Certificate(cert, key)
    assert str(error.value).startswith(f"[api] tls_cert {cert} and tls_key {key} can't be used: ")


def test_certificate_outside_its_time_is_a_problem(tmp_path: Path) -> None:
    now = time.time()
    certificate = Certificate(*make(tmp_path), lambda: now)
    now += 1
    assert certificate.problems == []
    now += 2 * DAY
    (problem,) = certificate.problems
    assert "expired at 20" in problem
    now -= 9 * DAY
    (problem,) = certificate.problems
    assert "is not valid before 20" in problem


def use(fixture: ServerFixture, days: int = 2) -> tuple[Path, Path]:
    cert, key = make(fixture.folder, days)
    fixture.set(("[api]\n", f'[api]\ntls_cert = "{cert}"\ntls_key = "{key}"\n'))
    return cert, key


def test_config_check_warns_of_an_expired_certificate(
    fixture: ServerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    use(fixture, days=0)
    assert run(["config", "check", str(fixture.settings)]) == 0
    assert "cert.pem: expired at 20" in capsys.readouterr().err
    assert run(["config", "check", str(fixture.settings), "--json"]) == 0
    assert "cert.pem: expired at 20" in capsys.readouterr().out


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Iterator[Events]:
    """Names of the logged events that contain a text."""

    def found(text: str) -> list[str]:
        entries = [record.msg for record in caplog.records]
        return [each["event"] for each in entries if isinstance(each, dict) and text in str(each)]

    logs.setup(Log())
    yield found
    structlog.reset_defaults()


async def test_expired_certificate_is_logged_at_the_start(
    fixture: ServerFixture, events: Events
) -> None:
    use(fixture, days=0)
    async with fixture.serve() as server:
        await _status(fixture, server, "expired at 20")
    assert events("expired at 20") == ["certificate"]


async def test_expiry_is_logged_once_when_it_happens(tmp_path: Path, events: Events) -> None:
    cert, key = make(tmp_path)
    start = time.monotonic()
    # The certificate expires 0.5 s from now.
    expires = Validity.of(cert.read_bytes())
    assert expires is not None
    certificate = Certificate(cert, key, lambda: expires.expires - 0.5 + time.monotonic() - start)
    files = FileWatch()
    following = asyncio.create_task(certificate.follow(files))
    await until(lambda: events("expired at 20") == ["certificate is not valid"])
    assert time.monotonic() - start > 0.5
    following.cancel()
    await asyncio.wait([following])
    files.close()


async def test_unusable_certificate_is_reported_until_it_is_replaced(
    fixture: ServerFixture, events: Events
) -> None:
    cert, key = use(fixture)
    reason = "the key does not belong to the certificate"
    async with fixture.serve() as server:
        expires = await _metrics(server, problem=0)
        assert abs(expires - time.time() - 2 * DAY) < 60
        other_key(cert, key)
        server.reload()
        kept = "certificate not reloaded, keeping the previous one"
        await until(lambda: kept in events(reason))
        await until(lambda: server.state.reloads_ok == 1)
        assert await _metrics(server, problem=1) == expires
        await _status(fixture, server, reason)
        before = events(reason).count("certificate")
        server.reload()
        await until(lambda: events(reason).count("certificate") == before + 1)
        make(fixture.folder, 5)
        await until(lambda: "certificate reloaded" in events(""))
        assert await _metrics(server, problem=0) > expires


async def _metrics(server: Server, *, problem: int) -> float:
    """Check the problem; return the time of expiry."""
    text = (await musterd_metrics(server.state, open_metrics=False)).decode()
    assert f"musterd_certificate_problem {problem}\n" in text.replace(".0\n", "\n")
    found = re.search(r"^musterd_certificate_expiry_timestamp_seconds (\S+)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


async def _status(fixture: ServerFixture, server: Server, expected: str) -> None:
    async with fixture.client(server, verify=False) as client:
        problems = (await client.get("/status")).json()["problems"]
    assert any(expected in problem for problem in problems)
