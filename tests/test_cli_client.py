"""The command line finds its server and token, and reports failures."""

import json
import socket
import subprocess
from pathlib import Path

import pytest

from musterd.client.endpoint import Endpoint, find, parse, reachable
from musterd.errors import UsageError
from tests.apikit import RunningApi, http, problem, responding, serving
from tests.needs import needs
from tests.test_cli_config import BARE, python

pytest_plugins = ["tests.apifixture"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Create the folder of client.toml with two tokens."""
    folder = tmp_path / "config" / "musterd"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / name).write_text(f"token-{name}\n")
    return folder


def placed(home: Path, *, token_file: Path | None = None, **environ: str) -> Endpoint:
    return find(None, token_file, {"XDG_CONFIG_HOME": str(home.parent), **environ})


def text_of(place: Endpoint) -> str:
    assert place.token is not None
    return place.token.text


def test_default_server_is_local(home: Path) -> None:
    place = placed(home)
    assert place.url == "http://127.0.0.1:8053"
    assert place.local


def test_option_precedes_environment_precedes_file(home: Path) -> None:
    (home / "client.toml").write_text(
        '\ufeffserver = "https://ns.test:1"\ntoken_file = "one"\nca = "c"'
    )
    environ = {"XDG_CONFIG_HOME": str(home.parent), "MUSTERD_SERVER": "http://[::1]:2/x/"}
    assert placed(home).url == "https://ns.test:1"
    assert placed(home).ca == home / "c"
    assert find(None, None, environ).url == "http://[::1]:2/x"
    assert find("http://a.test", None, environ).url == "http://a.test:80"
    assert text_of(placed(home)) == "token-one"
    two, three = str(home / "two"), "three"
    assert text_of(placed(home, MUSTERD_TOKEN_FILE=two)) == "token-two"
    assert text_of(placed(home, MUSTERD_TOKEN_FILE=two, MUSTERD_TOKEN=three)) == "three"
    assert text_of(placed(home, token_file=home / "one", MUSTERD_TOKEN=three)) == "token-one"


def test_repr_hides_token() -> None:
    place = find("http://127.0.0.1:1", None, {"MUSTERD_TOKEN": "secret", "HOME": "/none"})
    assert "secret" not in repr(place)


def test_first_token_is_sent_to_local_server_only(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.client.endpoint.FIRST_TOKENS", (home / "one",))
    assert text_of(placed(home)) == "token-one"
    assert placed(home, MUSTERD_SERVER="https://ns.test").token is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server = 1", "server: expected a non-empty string"),
        ("token = 'x'", "token: unknown key; known keys: server, token_file, ca"),
        ("server", "not valid TOML"),
        ("token_file = 'none'", "none: can't be read: No such file"),
    ],
)
def test_invalid_client_file_is_reported(text: str, expected: str, home: Path) -> None:
    (home / "client.toml").write_text(text)
    with pytest.raises(UsageError, match=r"client\.toml: ") as caught:
        placed(home)
    assert expected in str(caught.value)


@pytest.mark.parametrize("text", ["", "a b", "x" * 5000, "a\nb", "\xff"])
def test_invalid_token_file_is_reported(text: str, home: Path) -> None:
    (home / "one").write_text(text)
    with pytest.raises(UsageError) as caught:
        placed(home, token_file=home / "one")
    assert str(home / "one") in str(caught.value)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8053", "ftp://a", "http://", "http://a:x", "http://a b", "http://a/?x", "//a"],
)
def test_invalid_server_url_is_rejected(url: str) -> None:
    with pytest.raises(UsageError, match="expected for example http:"):
        parse(url)


def test_error_hides_password_of_url() -> None:
    with pytest.raises(UsageError) as caught:
        parse("http://me:secret@a.test")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("listener", "found"),
    [
        ("192.0.2.1:53", ("192.0.2.1", "53")),
        ("[2001:db8::1]:5300", ("2001:db8::1", "5300")),
        ("0.0.0.0:53", ("ns.test", "53")),
        ("[::]:53", ("ns.test", "53")),
    ],
)
def test_reachable_replaces_wildcard_address(listener: str, found: tuple[str, str]) -> None:
    assert reachable(parse("https://ns.test"), listener) == found


def test_client_needs_only_the_base_install(api: RunningApi) -> None:
    api("record", "set", "web.lab.internal", "A", "10.0.0.1")
    done = python(
        f"{BARE}\nfrom musterd.cli import run\n"
        "sys.exit(run(['record', 'show', 'web.lab.internal']))"
    )
    assert done.returncode == 0, done.stderr
    assert "10.0.0.1" in done.stdout


def test_refused_connection_names_remedy(api: RunningApi) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert api.fails("status", "--server", url) == (
            f"{url}: connection refused; is musterd serve running with [api] listen? "
            "--server URL or MUSTERD_SERVER names another server\n"
        )


NO_JSON = http("200 OK", "<html>", "text/html")
CUT = http("200 OK", '{"x": 1}').replace(b"Length: 8", b"Length: 80")
CUT_LIST = http("200 OK", '{"x": 1}').replace(b"Content-Length: 8", b"Transfer-Encoding: chunked")
MOVED = http("302 Found", "", "text/html", "Location: https://login.test/\x1b[31m")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", "closed the connection without a reply; is it https:// ?"),
        (b"SSH-2.0-OpenSSH\r\n", "not an HTTP reply"),
        (NO_JSON, "the reply is not valid JSON"),
        (CUT, "closed the connection in the middle of its reply"),
        (CUT_LIST, "closed the connection in the middle of its reply"),
        (
            http("502 Bad Gateway", "<html>", "text/html"),
            "answered 502 Bad Gateway; is this the API",
        ),
        (
            http("404 Not Found", '{"detail":"Not Found"}'),
            "answered 404 Not Found; is this the API",
        ),
        (MOVED, r"answered 302 Found, redirects to https://login.test/\x1b[31m; is this the API"),
        (problem("404 Not Found", "x\x1b[31m"), r"x\x1b[31m"),
        (problem("409 Conflict", "the zone a has not the source registry"), "has not the source"),
        (problem("413 Content Too Large", "at most 1 MiB"), "at most 1 MiB"),
        (problem("429 Too Many Requests", "x", "Retry-After: 7"), "x\ntry again in 7 s"),
        (problem("429 Too Many Requests", "x"), "x\ntry again later"),
        (
            problem("503 Service Unavailable", "no store"),
            "no store\ncheck the server: musterd status, or its /readyz",
        ),
        (problem("599 Odd", "odd"), "odd"),
    ],
)
def test_unsuccessful_reply_is_explained(answer: bytes, expected: str, api: RunningApi) -> None:
    with responding(answer) as url:
        output = api.fails("status", "--server", url)
    assert expected in output


def test_truncated_list_is_an_error(api: RunningApi) -> None:
    record = json.dumps({"zone": "a"})
    with responding(http("200 OK", f"{record}\n{record}", "application/x-ndjson")) as url:
        out, output = api.both("record", "list", "--json", "--server", url, code=1)
    assert out == f"{record}\n"
    (problem,) = json.loads(output)["problems"]
    assert problem.startswith(f"{url}: the list ends in the middle of a line; ")


def test_reply_before_whole_body_was_sent(api: RunningApi, tmp_path: Path) -> None:
    file = tmp_path / "big.zone"
    file.write_bytes(b"x" * 2**24)
    with responding(problem("413 Content Too Large", "at most 1 MiB")) as url:
        output = api.fails("zone", "import", "lab.internal", str(file), "--server", url)
    assert "at most 1 MiB" in output or "closed the connection" in output


def test_plain_server_fails_tls(api: RunningApi) -> None:
    with responding(http("400 Bad Request")) as url:
        output = api.fails("status", "--server", url.replace("http", "https"))
    assert output.startswith(f"{url.replace('http', 'https')}: TLS failed: ")
    assert output.endswith("; is it http:// ?\n")


@needs("openssl")
def test_ca_makes_certificate_trusted(
    api: RunningApi, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    more = "-subj /CN=x -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(f"{command} {more}".split(), cwd=home, capture_output=True, check=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.parent))
    with serving(home, 'tls_cert = "cert.pem"\ntls_key = "key.pem"') as url:
        monkeypatch.setenv("MUSTERD_TOKEN_FILE", str(home / "state" / "token"))
        output = api.fails("status", "--server", url)
        assert output.startswith(
            f"{url}: the certificate is not trusted: self-signed certificate; "
        )
        assert output.endswith(f'set ca = "FILE" in {home}/client.toml, or SSL_CERT_FILE\n')
        (home / "client.toml").write_text('ca = "cert.pem"')
        api("status", "--server", url)
        (home / "client.toml").write_text('ca = "one"')
        output = api.fails("status", "--server", url, code=2)
        assert output == f"{home}/client.toml: ca: {home}/one: not a PEM certificate\n"
        (home / "client.toml").write_text('ca = "none"')
        assert "none: No such file" in api.fails("status", "--server", url, code=2)
