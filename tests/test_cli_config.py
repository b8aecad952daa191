"""``musterd config``, and the command line as a whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from musterd import settings
from musterd.cli import run
from tests.conftest import Write
from tests.needs import needs
from tests.smalldisk import run_in_namespace

Capture = pytest.CaptureFixture[str]
ZONES = (
    "[[zones]]\nname = 'a'\n[[zones]]\nname = 'b'\n"
    "[[sources.zonefile]]\nname = 'x'\nzone = 'a'\npath = 'a.zone'\n"
)


def test_check_counts_zones_and_sources(write: Write, capsys: Capture) -> None:
    path = write(ZONES)
    path.with_name("a.zone").write_text("")
    assert run(["config", "check", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: ok, 2 zones, 1 source\n"


def test_check_reports_each_problem(write: Write, capsys: Capture) -> None:
    path = write("dns.workers = 'x'\nlogs = 1\n")
    assert run(["config", "check", str(path)]) == 1
    expected = capsys.readouterr()
    assert expected.out == ""
    assert [line.split(": ")[:2] for line in expected.err.splitlines()] == [
        [f"{path}:1", "dns.workers"],
        [f"{path}:2", "logs"],
    ]


FILES = """\
[api]
tls_cert = "cert.pem"
tls_key = "key.pem"
[store]
url = "etcd://127.0.0.1"
ca = "ca.pem"
[log]
file = "none/log"
[[zones]]
name = "a"
file = "a.zone"
[[sources.zonefile]]
name = "b"
zone = "a"
path = "b.zone"
[[sources.etcd]]
endpoints = ["127.0.0.1"]
zones = ["a"]
cert = "c.pem"
key = "k.pem"
user = "u"
password_file = "password"
"""


def test_check_reports_files_that_can_not_be_read(
    write: Write, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(FILES)
    path.with_name("b.zone").mkdir()
    path.with_name("key.pem").write_text("")
    monkeypatch.setenv("MUSTERD_STORE__CERT", "env.pem")
    monkeypatch.setenv("MUSTERD_STORE__KEY", "key.pem")
    assert run(["config", "check", str(path)]) == 1
    problems = capsys.readouterr().err.splitlines()
    assert [problem.partition(f": {path.parent}/")[0] for problem in problems] == [
        f"{path}:2: api.tls_cert",
        f"{path}:6: store.ca",
        f"{path}:8: log.file",
        f"{path}:11: zones[0].file",
        f"{path}:15: sources.zonefile[0].path",
        f"{path}:19: sources.etcd[0].cert",
        f"{path}:20: sources.etcd[0].key",
        f"{path}:22: sources.etcd[0].password_file",
        "MUSTERD_STORE__CERT: store.cert",
    ]
    assert problems[0].endswith("/cert.pem: can't be read: No such file or directory")
    assert problems[4].endswith("/b.zone: can't be read: it is a directory")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("@ A 10.0.0.1\n$INCLUDE none\n", "a.zone:2: $INCLUDE {folder}/none: No such file"),
        ("$INCLUDE .\n@ A 10.0.0.1\n", "a.zone:1: $INCLUDE {folder}: "),
        ("$INCLUDE b\n@ A 10.0.0.1\n", "{folder}/b:1: $INCLUDE {folder}/c: No such file"),
        ("$INCLUDE pipe\n@ A 10.0.0.1\n", "a.zone:1: $INCLUDE {folder}/pipe: not a regular file"),
        ("@ A x\n", "nothing in it can be served: {folder}/a.zone:1: "),
    ],
)
def test_check_reports_a_zone_file_that_would_not_be_served(
    write: Write, capsys: Capture, content: str, expected: str
) -> None:
    path = write(ZONES)
    folder = path.parent
    os.mkfifo(folder / "pipe")
    (folder / "b").write_text("$INCLUDE c\n")
    (folder / "a.zone").write_text(content)
    assert run(["config", "check", str(path)]) == 1
    (problem,) = capsys.readouterr().err.splitlines()
    assert problem.startswith(f"{path}:8: sources.zonefile[0].path: ")
    assert expected.format(folder=folder) in problem


def test_check_leaves_single_records_to_zone_check(write: Write, capsys: Capture) -> None:
    path = write(ZONES)
    path.with_name("a.zone").write_text("@ A 10.0.0.1\n@ A x\n")
    assert run(["config", "check", str(path)]) == 0
    path.with_name("a.zone").unlink()
    os.mkfifo(path.with_name("a.zone"))
    assert run(["config", "check", str(path)]) == 1
    assert "can't be read: not a regular file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("file", "is not a directory"),
        ("file/state", "can't be created: {base}/file is not a directory"),
        ("loose", "is not a directory"),
        ("/proc/x/y", "can't be created: /proc: no file can be created in /proc"),
        ("/sys/x", "can't be created: /sys: no file can be created in /sys"),
    ],
)
def test_check_reports_a_state_directory_that_can_not_be_used(
    write: Write, capsys: Capture, folder: str, expected: str
) -> None:
    path = write(f"[state]\ndir = '{folder}'\n")
    path.with_name("file").touch()
    path.with_name("loose").symlink_to("none")
    assert run(["config", "check", str(path)]) == 1
    (problem,) = capsys.readouterr().err.splitlines()
    assert problem.startswith(f"{path}:2: state.dir: ")
    assert problem.endswith(expected.format(base=path.parent))


def test_check_creates_nothing(write: Write) -> None:
    path = write(
        "[state]\ndir = 'x/state'\n[log]\nfile = 'log'\n"
        "[query_log]\nenabled = true\nfile = 'queries'\n"
    )
    assert run(["config", "check", str(path)]) == 0
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_check_reports_a_read_only_file_system(write: Write) -> None:
    path = write(
        "[state]\ndir = 'disk/state'\n[log]\nfile = 'disk/log'\n"
        "[query_log]\nenabled = true\nfile = 'disk/queries'\n"
    )
    disk = path.with_name("disk")
    disk.mkdir()
    script = 'mount -t tmpfs none "$1" && touch "$1/log" && mount -o remount,ro "$1" || exit 77\n'
    program = str(Path(sys.executable).parent / "musterd")
    done = run_in_namespace(f'{script}"$2" config check "$3"', str(disk), program, str(path))
    assert done.returncode == 1
    assert [line.removeprefix(f"{path}:") for line in done.stderr.splitlines()] == [
        f"2: state.dir: {disk}/state: can't be created: {disk}: its file system is read-only",
        f"4: log.file: {disk}/log: can't be opened: its file system is read-only",
        f"7: query_log.file: {disk}/queries: can't be opened: its file system is read-only",
    ]


@needs("setpriv")
def test_check_reports_directories_of_another_user(write: Write) -> None:
    path = write("[state]\ndir = 'other/state'\n[log]\nfile = 'other/log'\n")
    path.with_name("other").mkdir()
    path.with_name("other").chmod(0o500)
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=0"]
    program = str(Path(sys.executable).parent / "musterd")
    done = subprocess.run(
        [*drop, program, "config", "check", str(path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("permission denied; check it as the user that runs musterd") == 2


def test_check_warns_of_a_log_that_is_a_pipe(write: Write, capsys: Capture) -> None:
    path = write(
        "[[zones]]\nname = 'a'\n[log]\nfile = 'pipe'\n[query_log]\nenabled = true\nfile = 'pipe2'\n"
    )
    for name in ("pipe", "pipe2"):
        os.mkfifo(path.with_name(name))
    assert run(["config", "check", str(path)]) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("/pipe is a pipe: musterd waits until a reader has it open")
    assert second.endswith("/pipe2 is a pipe: musterd starts only if a reader has it open")


@needs("setpriv")
def test_file_of_another_user_is_explained(write: Write) -> None:
    """Without capabilities, even root can't read a file without permissions."""
    path = write(ZONES)
    path.chmod(0)
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=0"]
    program = str(Path(sys.executable).parent / "musterd")
    done = subprocess.run(
        [*drop, program, "config", "check", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Permission denied; the user that runs musterd must be able to read it" in done.stderr


def test_check_reports_a_file_that_is_no_certificate(write: Write, capsys: Capture) -> None:
    path = write(FILES[: FILES.index("[store]")])
    path.with_name("cert.pem").write_text("")
    path.with_name("key.pem").write_text("")
    assert run(["config", "check", str(path)]) == 1
    assert "tls_cert is empty, tls_key is empty" in capsys.readouterr().err


def test_check_warns_of_settings_that_answer_nothing(write: Write, capsys: Capture) -> None:
    path = write("dns.allow = []\n")
    assert run(["config", "check", str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{path}: ok, 0 zones, 0 sources\n"
    assert captured.err.splitlines() == [
        f"{path}: warning: no zone is declared, so every query gets REFUSED; add [[zones]]",
        f"{path}: warning: dns.allow is empty, so every query gets REFUSED; add networks to it",
    ]


def test_check_reads_the_environment(
    write: Write, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTERD_DNS__WORKERS", "x")
    assert run(["config", "check", str(write(""))]) == 1
    assert capsys.readouterr().err.startswith("MUSTERD_DNS__WORKERS: dns.workers: ")


def test_example_prints_settings_that_load(write: Write, capsys: Capture) -> None:
    assert run(["config", "example"]) == 0
    text = capsys.readouterr().out
    assert text == settings.example()
    path = write(text)
    path.with_name("example.zone").write_text("")
    assert run(["config", "check", str(path)]) == 0


def test_init_creates_settings_that_load(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["config", "init"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "musterd serve -c musterd.toml"
    loaded = settings.load(tmp_path / "musterd.toml", {})
    assert [zone.name for zone in loaded.zones] == ["example.internal"]
    assert loaded.state.dir == tmp_path / "musterd-state"
    assert run(["config", "init"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert run(["config", "init", "none/musterd.toml"]) == 1
    assert f"create its directory: mkdir -p {tmp_path}/none\n" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert run(["config", "init", "file/musterd.toml"]) == 1
    assert "mkdir" not in capsys.readouterr().err


@pytest.mark.parametrize("command", ["config check", "serve -c"])
def test_missing_file_is_explained_by_the_command_that_names_another(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    line = command.removesuffix(" -c").split()
    assert run(line) == 2
    assert f"name another one: musterd {command} FILE\n" in capsys.readouterr().err
    assert run(["config", "init"]) == 0
    capsys.readouterr()
    assert run(line) == 2
    assert f"name another one: musterd {command} musterd.toml\n" in capsys.readouterr().err


def test_default_file_is_used_if_it_exists(
    write: Write, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.cli.serve.DEFAULT_FILE", tmp_path / "default.toml")
    assert run(["config", "check"]) == 2
    assert "default.toml does not exist" in capsys.readouterr().err
    monkeypatch.setenv("MUSTERD_ZONES", '[{"name": "a.test"}]')
    assert run(["config", "check"]) == 0
    assert capsys.readouterr().out == "environment: ok, 1 zone, 0 sources\n"
    write(ZONES).rename(tmp_path / "default.toml")
    (tmp_path / "a.zone").write_text("")
    monkeypatch.delenv("MUSTERD_ZONES")
    assert run(["config", "check"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/default.toml: ok, 2 zones, 1 source\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["serve", "--zone", "a..b"], '--zone: zones[0].name: got "a..b", expected a DNS name'),
        (["serve", "--zone", "=a.zone"], 'got "=a.zone", expected NAME or NAME=FILE'),
        (["serve", "--zone", "="], 'got "=", expected NAME or NAME=FILE'),
        (["serve", "--zone", "a.test="], 'got "a.test=", expected NAME or NAME=FILE'),
        (["serve", "--zone", "a.test", "-c", "x"], "can't be combined"),
        (["confg"], 'Did you mean "config"?'),
        (["config", "check"], "to create one: musterd config init"),
        (["config", "example", "--nope"], "Unknown option: --nope"),
        (["serve"], "musterd serve --zone example.internal"),
        (["serve", "--confg", "x"], "Did you mean --config?"),
    ],
)
def test_usage_error_exits_with_2(line: list[str], expected: str, capsys: Capture) -> None:
    assert run(line) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert expected in captured.err


def test_error_is_one_json_object_with_json(capsys: Capture) -> None:
    assert run(["status", "--server", "x", "--json"]) == 2
    problem = '"x" is not the URL of a server: expected for example http://127.0.0.1:8053'
    assert json.loads(capsys.readouterr().err) == {"exit_code": 2, "problems": [problem]}
    assert run(["status", "--jsn", "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["exit_code"] == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["record", "set", "a.test", "10.0.0.1"], '"10.0.0.1" is not a record type'),
        (["record", "set", "a.test", "10.0.0.1"], "the type stands before the data: A 10.0.0.1"),
        (["record", "set", "a.test", "fd00::1"], "the type stands before the data: AAAA fd00::1"),
        (["record", "delete", "a.test", "1.2.3"], "for example A, SRV or TYPE65280\n"),
        (["record", "set", "a.test", "MX", "10", "b.test"], 'put it in quotes: "10 b.test"'),
        (["record", "set", "a.test", "TXT", "v=spf1", "-all"], "-- before data that begins with -"),
        (["record", "set", "a.test", "A", "1.2.3.4", "--ttl", "x"], '--ttl: got "x", expected a'),
        (["status", "--timeout", "0"], "--timeout: expected at least a second"),
        (["zone", "check", "-"], "pass --zone NAME"),
    ],
)
def test_common_mistake_gets_a_remedy(line: list[str], expected: str, capsys: Capture) -> None:
    assert run(line) == 2
    assert expected in capsys.readouterr().err


def test_zone_file_is_read_from_standard_input() -> None:
    program = str(Path(sys.executable).parent / "musterd")
    done = subprocess.run(
        [program, "zone", "check", "-", "--zone", "a.test"],
        input="a 30 IN A 192.0.2.1\nb 30 IN A x\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "/dev/stdin:2: " in done.stdout + done.stderr


@pytest.mark.parametrize("line", [["config", "check"], ["zone", "check"]])
def test_check_does_not_wait_for_a_pipe(tmp_path: Path, capsys: Capture, line: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        assert run([*line, str(tmp_path / name)]) == 1
        assert f"/{name}: is a named pipe, which would wait" in capsys.readouterr().err


def test_check_reads_a_pipe_of_the_shell() -> None:
    program = str(Path(sys.executable).parent / "musterd")
    script = '"$0" zone check --zone a.test <(echo a A 192.0.2.1) && "$0" config check <(echo)'
    done = subprocess.run(
        ["bash", "-c", script, program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_byte_order_mark_of_a_zone_file_is_skipped(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "lab.zone"
    path.write_bytes(b"\xef\xbb\xbf$ORIGIN lab.internal.\nweb 30 IN A 192.0.2.11\n")
    assert run(["zone", "check", str(path)]) == 0
    assert "ok, 1 record in lab.internal" in capsys.readouterr().out


def test_version_is_printed(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.1.0"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


BARE = """
import sys
class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pydantic", "structlog", "dns"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Bare())
"""
"""Simulates an interpreter with only the base package installed."""


@pytest.mark.parametrize("line", [[], ["--help"], ["serve", "--help"], ["zone", "check", "--help"]])
def test_help_imports_no_server_package(line: list[str]) -> None:
    done = python(
        f"import sys; from musterd.cli import run; code = run({line!r})\n"
        "print(sorted({'dns', 'pydantic', 'structlog', 'uvicorn', 'musterd._core'}"
        " & set(sys.modules)), code)"
    )
    assert done.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.parametrize(
    "line",
    [
        ["serve", "-c", "x.toml"],
        ["config", "check", "x.toml"],
        ["config", "example"],
        ["zone", "check", "/dev/null", "--zone", "x"],
    ],
)
def test_missing_server_package_names_the_install_command(line: list[str]) -> None:
    done = python(f"{BARE}\nfrom musterd.cli import run; sys.exit(run({line!r}))")
    words = " ".join(line[: 1 if line[0] == "serve" else 2])
    assert (
        done.stderr == f"musterd {words} needs the server packages: pip install 'musterd[server]'\n"
    )
    assert done.returncode == 1


def test_closed_pipe_prints_no_traceback() -> None:
    code = "import sys; from musterd.cli import run; sys.exit(run(['config', 'example']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""


def test_shipped_example_is_valid(capsys: Capture) -> None:
    example = Path(__file__).parent.parent / "examples" / "musterd.toml"
    assert run(["config", "check", str(example)]) == 0
    assert capsys.readouterr().out.endswith(": ok, 1 zone, 1 source\n")
