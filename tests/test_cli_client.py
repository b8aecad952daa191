"""How the command line finds its server and token, and what it says when something fails."""

import json
import socket
import subprocess
from pathlib import Path

import pytest

from musterd.client.endpoint import Endpoint, find, parse, reachable
from musterd.errors import UsageError
from tests.apikit import Api, http, problem, saying, serving
from tests.needs import needs
from tests.test_cli_config import BARE, python

pytest_plugins = ["tests.apifixture"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of the client's file, and two tokens in it."""
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


def test_the_default_is_this_host(home: Path) -> None:
    place = placed(home)
    assert place.url == "http://127.0.0.1:8053"
    assert place.local


def test_flag_then_environment_then_file(home: Path) -> None:
    (home / "client.toml").write_text('server = "https://ns.test:1"\ntoken_file = "one"\nca = "c"')
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


def test_a_token_is_not_shown() -> None:
    place = find("http://127.0.0.1:1", None, {"MUSTERD_TOKEN": "secret", "HOME": "/none"})
    assert "secret" not in repr(place)


def test_the_first_token_stays_on_this_host(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musterd.client.endpoint.FIRST_TOKEN", home / "one")
    assert text_of(placed(home)) == "token-one"
    assert placed(home, MUSTERD_SERVER="https://ns.test").token is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("server = 1", "server: expected a text"),
        ("token = 'x'", "token: unknown key; there are server, token_file, ca"),
        ("server", "is no TOML"),
        ("token_file = 'none'", "none: can't be read: No such file"),
    ],
)
def test_a_file_that_is_wrong(text: str, told: str, home: Path) -> None:
    (home / "client.toml").write_text(text)
    with pytest.raises(UsageError, match=r"client\.toml: ") as caught:
        placed(home)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "a b", "x" * 5000, "a\nb", "\xff"])
def test_a_file_that_is_no_token(text: str, home: Path) -> None:
    (home / "one").write_text(text)
    with pytest.raises(UsageError) as caught:
        placed(home, token_file=home / "one")
    assert str(home / "one") in str(caught.value)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8053", "ftp://a", "http://", "http://a:x", "http://a b", "http://a/?x", "//a"],
)
def test_what_is_no_server(url: str) -> None:
    with pytest.raises(UsageError, match="expected a URL as http:"):
        parse(url)


def test_a_url_with_a_password_is_not_repeated() -> None:
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
def test_where_a_listener_is_reached(listener: str, found: tuple[str, str]) -> None:
    assert reachable(parse("https://ns.test"), listener) == found


def test_the_base_install_is_enough(api: Api) -> None:
    api("record", "set", "web.muster.local", "A", "10.0.0.1")
    done = python(
        f"{BARE}\nfrom musterd.cli import run; code = run(['record', 'show', 'web.muster.local'])\n"
        "sys.exit(code or 'musterd._core' in sys.modules)"
    )
    assert done.returncode == 0, done.stderr
    assert "10.0.0.1" in done.stdout


def test_nobody_listens(api: Api) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert api.fails("status", "--server", url) == (
            f"{url}: connection refused; is musterd serve running, with [api] listen? "
            "--server URL or MUSTERD_SERVER names another server\n"
        )


NO_JSON = http("200 OK", "<html>", "text/html")
CUT = http("200 OK", '{"x": 1}').replace(b"Length: 8", b"Length: 80")
CUT_LIST = http("200 OK", '{"x": 1}').replace(b"Content-Length: 8", b"Transfer-Encoding: chunked")
MOVED = http("302 Found", "", "text/html", "Location: https://login.test/\x1b[31m")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "closed the connection without an answer; does it want https:// ?"),
        (b"SSH-2.0-OpenSSH\r\n", "speaks no HTTP"),
        (NO_JSON, "its answer is no JSON"),
        (CUT, "closed the connection in the middle of its answer"),
        (CUT_LIST, "closed the connection in the middle of its answer"),
        (
            http("502 Bad Gateway", "<html>", "text/html"),
            "answers 502 Bad Gateway; is this the API",
        ),
        (http("404 Not Found", '{"detail":"Not Found"}'), "answers 404 Not Found; is this the API"),
        (MOVED, r"answers 302 Found, see https://login.test/\x1b[31m; is this the API"),
        (problem("404 Not Found", "x\x1b[31m"), r"x\x1b[31m"),
        (problem("409 Conflict", "the zone a has not the source registry"), "has not the source"),
        (problem("413 Content Too Large", "at most 1 MiB"), "at most 1 MiB"),
        (problem("429 Too Many Requests", "x", "Retry-After: 7"), "x\ntry again in 7 s"),
        (problem("429 Too Many Requests", "x"), "x\ntry again later"),
        (
            problem("503 Service Unavailable", "no store"),
            "no store\nmusterd status shows how the server is; if that can't, its /readyz does",
        ),
        (problem("599 Odd", "odd"), "odd"),
    ],
)
def test_an_answer_that_is_no_success(answer: bytes, told: str, api: Api) -> None:
    with saying(answer) as url:
        said = api.fails("status", "--server", url)
    assert told in said


def test_a_list_that_ends_in_a_line(api: Api) -> None:
    record = json.dumps({"zone": "a"})
    with saying(http("200 OK", f"{record}\n{record}", "application/x-ndjson")) as url:
        out, said = api.both("record", "list", "--json", "--server", url, code=1)
    assert out == f"{record}\n"
    assert said.startswith(f"{url}: its list ends in the middle of a line; ")


def test_an_answer_before_the_body_was_read(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "big.zone"
    file.write_bytes(b"x" * 2**24)
    with saying(problem("413 Content Too Large", "at most 1 MiB")) as url:
        said = api.fails("zone", "import", "muster.local", str(file), "--server", url)
    assert "at most 1 MiB" in said or "closed the connection" in said


def test_a_server_that_speaks_no_tls(api: Api) -> None:
    with saying(http("400 Bad Request")) as url:
        said = api.fails("status", "--server", url.replace("http", "https"))
    assert said.startswith(f"{url.replace('http', 'https')}: speaks no TLS: ")
    assert said.endswith("; does it want http:// ?\n")


@needs("openssl")
def test_a_certificate_that_is_not_trusted_until_it_is(
    api: Api, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    more = "-subj /CN=x -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(f"{command} {more}".split(), cwd=home, capture_output=True, check=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.parent))
    with serving(home, 'tls_cert = "cert.pem"\ntls_key = "key.pem"') as url:
        monkeypatch.setenv("MUSTERD_TOKEN_FILE", str(home / "state" / "token"))
        said = api.fails("status", "--server", url)
        assert said.startswith(f"{url}: its certificate is not trusted: self-signed certificate; ")
        assert said.endswith(f'set ca = "FILE" in {home}/client.toml, or SSL_CERT_FILE\n')
        (home / "client.toml").write_text('ca = "cert.pem"')
        api("status", "--server", url)
        (home / "client.toml").write_text('ca = "one"')
        said = api.fails("status", "--server", url, code=2)
        assert said == f"{home}/client.toml: ca: {home}/one: holds no certificate in PEM\n"
        (home / "client.toml").write_text('ca = "none"')
        assert "none: No such file" in api.fails("status", "--server", url, code=2)
