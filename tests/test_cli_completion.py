"""``musterd completion``: the scripts are right by their shells, and complete."""

import subprocess
from pathlib import Path

import pytest

from musterd.cli import run
from tests.needs import needs

Capture = pytest.CaptureFixture[str]


def script(shell: str, capsys: Capture) -> str:
    assert run(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_names_nouns_verbs_and_options(shell: str, capsys: Capture) -> None:
    text = script(shell, capsys)
    for word in ("record", "history", "explain", "token", "revoke", "token-file", "if-revision"):
        assert word in text


@pytest.mark.parametrize(
    "shell", [pytest.param(s, marks=needs(s)) for s in ("bash", "zsh", "fish")]
)
def test_its_shell_can_read_it(shell: str, capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(script(shell, capsys))
    done = subprocess.run([shell, "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("musterd re", ["record"]),
        ("musterd record ", ["delete", "history", "list", "set", "show"]),
        ("musterd completion ", ["bash", "fish", "zsh"]),
        ("musterd record set a A --if", ["--if-revision"]),
        ("musterd token create x --sc", ["--scope"]),
    ],
)
def test_bash_completes(line: str, words: list[str], capsys: Capture) -> None:
    ask = f"""
COMP_LINE={line!r} COMP_POINT={len(line)}
read -ra COMP_WORDS <<<"$COMP_LINE"
[[ $COMP_LINE == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_musterd
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", script("bash", capsys) + ask], capture_output=True, text=True, check=True
    )
    assert sorted(word.strip() for word in done.stdout.split()) == words


def test_another_shell_is_a_wrong_usage(capsys: Capture) -> None:
    assert run(["completion", "tcsh"]) == 2
    assert '"bash"' in capsys.readouterr().err.replace("'", '"')
