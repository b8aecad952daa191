"""Exit codes of the command line: 0 done, 1 failed, 2 the command line itself is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.apikit import RunningApi
from tests.servers import MUSTERD

pytest_plugins = ["tests.apifixture"]

NAME = "web.lab.internal"
GONE = "none.lab.internal"
LEASE = "0123456789abcdef"
CODES = (
    # Done. A list, or an explanation, may be empty.
    (0, f"record show {NAME}"),
    (0, f"record show {NAME} A --json"),
    (0, f"record history {NAME}"),
    (0, f"record history {NAME} A --json"),
    (0, f"record set {NAME} A 10.0.0.1"),
    (0, "record list"),
    (0, "record list deep.lab.internal"),
    (0, "record list deep.lab.internal --json"),
    (0, "record list --label a=b"),
    (0, f"explain {NAME}"),
    (0, f"explain {GONE} --json"),
    (0, "zone list"),
    (0, "zone export lab.internal"),
    (0, "zone import lab.internal {good} --dry-run"),
    (0, "zone check {good} --zone lab.internal"),
    (0, "config example"),
    (0, "token list"),
    (0, "status"),
    (0, "--help"),
    (0, ""),
    (0, "record"),
    (0, "--version"),
    # Not done, or the named object does not exist.
    (1, f"record show {GONE}"),
    (1, f"record show {GONE} --json"),
    (1, f"record show {NAME} TXT"),
    (1, f"record history {GONE}"),
    (1, f"record history {GONE} --json"),
    (1, f"record history {NAME} TXT"),
    (1, f"record delete {GONE} A"),
    (1, f"record delete {NAME} A 10.9.9.9"),
    (1, f"record delete {NAME} A --id none"),
    (1, f"record set {NAME} A 10.0.0.999"),
    (1, f"record set {NAME} CNAME web.other.test."),
    (1, f"record set {NAME} A 10.0.0.1 --if-revision 1"),
    (1, "record set web.other.test A 10.0.0.1"),
    (1, "record show web.other.test"),
    (1, "record list other.test"),
    (1, "explain web.other.test"),
    (1, f"lease renew {LEASE}"),
    (1, f"lease revoke {LEASE}"),
    (1, "token revoke 00000000"),
    (1, "token create first --scope read"),
    (1, "zone export other.test"),
    (1, "zone import lab.internal {bad}"),
    (1, "zone import lab.internal {bad} --dry-run"),
    (1, "zone import lab.internal {missing}"),
    (1, "zone check {bad} --zone lab.internal"),
    (1, "zone check {missing} --zone lab.internal"),
    (1, "config check {bad}"),
    (1, "config check {missing}"),
    (1, "serve -c {missing}"),
    (1, "store copy {missing} {missing}.2"),
    (1, "status --server http://127.0.0.1:1"),
    (1, f"record show {NAME} --server http://127.0.0.1:1"),
    # Wrong command line: nothing was sent, read or changed.
    (2, "nonsense"),
    (2, "record set"),
    (2, f"record set {NAME} A"),
    (2, f"record set {NAME} A 10.0.0.1 --nonsense"),
    (2, f"record set {NAME} A 10.0.0.1 --ttl x"),
    (2, f"record set {NAME} A 10.0.0.1 --lease soon"),
    (2, f"record set {NAME} A 10.0.0.1 --lease 60s --label x"),
    (2, f"record set {NAME} A 10.0.0.1 --add --if-revision 3"),
    (2, f"record set {NAME} A! 10.0.0.1 --server http://127.0.0.1:1"),
    (2, f"record set {NAME} A 10.0.0.1 --label x --server http://127.0.0.1:1"),
    (2, f"record set {NAME} A 10.0.0.1 --zone other.test"),
    (2, "record set a..b A 10.0.0.1 --server http://127.0.0.1:1"),
    (2, f"record show {NAME} A! --server http://127.0.0.1:1"),
    (2, f"record delete {NAME} A! --server http://127.0.0.1:1"),
    (2, f"record delete {NAME} A 10.0.0.1 --id one"),
    (2, f"record history {NAME} A! --server http://127.0.0.1:1"),
    (2, f"record history {NAME} --limit 0"),
    (2, f"record history {NAME} --limit -1"),
    (2, "record list --type A! --server http://127.0.0.1:1"),
    (2, "record list --label x --server http://127.0.0.1:1"),
    (2, f"explain {NAME} A! --server http://127.0.0.1:1"),
    (2, "explain a..b --server http://127.0.0.1:1"),
    (2, "token create ci"),
    (2, "token create ci --scope nonsense"),
    (2, "status --server nonsense://x"),
    (2, "status --token-file {missing}"),
    (2, "zone check {good} --zone a..b"),
    (2, "store copy etcd://x y z"),
)  # fmt: skip


@pytest.mark.parametrize(("code", "line"), CODES)
def test_exit_code(api: RunningApi, tmp_path: Path, code: int, line: str) -> None:
    (tmp_path / "good").write_text("a 60 A 10.0.0.2\n")
    (tmp_path / "bad").write_text("a 60 A 10.0.0.999\n")
    names = {name: str(tmp_path / name) for name in ("good", "bad", "missing")}
    api("record", "set", NAME, "A", "10.0.0.1")
    out, error = api.both(*line.format(**names).split(), code=code)
    # An empty list of JSON objects is enough.
    assert out or error or "--json" in line or "list" in line or "check" in line


def test_refused_command_leaves_no_lease(api: RunningApi) -> None:
    api.fails("record", "set", NAME, "A", "10.0.0.1", "--lease", "60s", "--label", "x", code=2)
    api.fails("record", "set", NAME, "A", "10.0.0.999", "--lease", "60s")


@pytest.mark.parametrize("line", ["config example", "--help"])
def test_full_disk_is_a_failure_without_traceback(line: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*MUSTERD, *line.split()], stdout=full, stderr=subprocess.PIPE, check=False, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "musterd: standard output: No space left on device\n"


def test_interrupt_is_reported_as_a_signal() -> None:
    code = (
        "import musterd.cli, musterd.cli.config\n"
        "def interrupt(*_, **__): raise KeyboardInterrupt\n"
        "musterd.cli.app = interrupt\n"
        "musterd.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    "words", [["config", "init"], ["serve", "--zone", "lab.internal"], ["serve", "-c", "x.toml"]]
)
def test_removed_current_directory_is_reported(
    tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "removed"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    done = subprocess.run(
        [*MUSTERD, *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == (
        "musterd: the current directory can't be used: No such file or directory; "
        "cd to another one\n"
    )
