"""``musterd completion``: the scripts are valid in their shells and complete."""

import os
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
def test_script_contains_nouns_verbs_and_options(shell: str, capsys: Capture) -> None:
    text = script(shell, capsys)
    for word in ("record", "history", "explain", "token", "revoke", "token-file", "if-revision"):
        assert word in text


@pytest.mark.parametrize(
    "shell", [pytest.param(s, marks=needs(s)) for s in ("bash", "zsh", "fish")]
)
def test_script_is_valid_in_its_shell(shell: str, capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(script(shell, capsys))
    done = subprocess.run([shell, "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


LINES = pytest.mark.parametrize(
    ("line", "words"),
    [
        ("musterd re", ["record"]),
        ("musterd record ", ["delete", "history", "list", "set", "show"]),
        ("musterd completion ", ["bash", "fish", "zsh"]),
        ("musterd record set a A --if", ["--if-revision"]),
        ("musterd token create x --sc", ["--scope"]),
    ],
)


@needs("fish")
@LINES
def test_fish_completes(line: str, words: list[str], capsys: Capture) -> None:
    ask = script("fish", capsys) + f"complete -C {line!r}"
    done = subprocess.run(["fish", "-N", "-c", ask], capture_output=True, text=True, check=True)
    assert sorted(offer.split("\t")[0] for offer in done.stdout.splitlines()) == words


@needs("fish")
@pytest.mark.parametrize(
    "line", ["serve -c ", "zone check ", "record list --token-file ", "zone import a.test "]
)
def test_fish_completes_file_arguments(line: str, capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "here.zone").touch()
    ask = script("fish", capsys) + f"complete -C 'musterd {line}'"
    command = ["fish", "-N", "-c", ask]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "here.zone" in done.stdout


ZSH = """
autoload -U compinit; compinit -u -D
eval "$(cat)"
print -r -- $_comps[musterd]
"""


@needs("zsh")
def test_zsh_registers_the_command(capsys: Capture, tmp_path: Path) -> None:
    done = subprocess.run(
        ["zsh", "-f", "-c", ZSH], input=script("zsh", capsys), capture_output=True, text=True,
        check=True, env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.stdout == "_cyclopts_musterd\n"


@LINES
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


def test_unknown_shell_is_a_usage_error(capsys: Capture) -> None:
    assert run(["completion", "tcsh"]) == 2
    assert '"bash"' in capsys.readouterr().err.replace("'", '"')
