"""Run the examples of the documentation unchanged.

In a page, a block ```` ```KIND file=NAME ```` is a file. A ``console`` block has commands after
``$ ``, each with its output: ``…`` matches anything in a line, or any lines if alone, and a text
that matches a pattern of ``VARYING`` stands for any other match. All other ``toml`` blocks must be
valid settings.

A command that ends in a backslash continues in the next line. A command that ends in ``&`` runs
until the page ends, and the next one waits until it is ready. A command whose output ends in ``^C``
is stopped there. ``export`` applies to all commands that follow. ``sleep`` is not run: the command
after it is repeated until its output matches; a ``grep`` is repeated too, since it may read a log.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cyclopts import App

from musterd.api.app import described
from musterd.cli import app
from musterd.settings import load
from tests.needs import needs

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("docs/moving/*.md")])
BLOCK = re.compile(r"^```(\S+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
VARYING = {
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+Z)?": "time",
    r"\b1\d{9}(?:\.\d+)?\b": "seconds since 1970",
    r"\b(?:[0-9a-f]{12}|[0-9a-f]{16})\b": "id of a token or a lease",
    r"\b\d+(?:min|[dhs])(?: \d+(?:min|[hs]))?\b": "age",
    r" {2,}": "between columns",
}
"""Patterns of texts that differ from run to run, with their meaning."""
PATIENCE = 60
READY = "all sources synced"
RUN_READY = "Ctrl-C stops"
"""Output of ``make run`` when it is ready."""
LISTENING = re.compile(r"127\.0\.0\.1:(\d+)")
PORTS = {"5300": "5307", "8053": "8060", "9353": "9360"}
"""Replacements for the ports of the README, which a developer may have in use."""


class Block(NamedTuple):
    """A fenced block of a page."""

    kind: str
    file: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    return [Block(*found) for found in BLOCK.findall(page.read_text())]


def commands(text: str) -> list[tuple[str, str]]:
    """Return (command, expected output) pairs of a console block."""
    return COMMAND.findall(text)


def expected(printed: str) -> str:
    """Return the pattern of a command's expected output."""
    return "".join(
        "(?:.*\n)*" if line == "…" else ".*".join(map(_varied, line.split("…"))) + "\n"
        for line in printed.splitlines()
    )


def _varied(text: str) -> str:
    """Return the pattern of a text without ``…``."""
    for pattern in VARYING:
        parts = re.split(pattern, text)
        if len(parts) > 1:
            return pattern.join(map(_varied, parts))
    return re.escape(text)


class Shell:
    """Runs the commands of one page in a folder."""

    def __init__(self, folder: Path) -> None:
        """Create a shell without servers and without the user's settings."""
        inherited = {name: value for name, value in os.environ.items() if "MUSTERD_" not in name}
        inherited.pop("XDG_CONFIG_HOME", None)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        overrides = {
            "PATH": path,
            "HOME": str(folder),
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "TZ": "UTC",
        }
        self.environ = inherited | overrides
        self.folder = folder
        self.servers: list[subprocess.Popen[str]] = []

    def start(self, command: str, ready: str = READY) -> None:
        """Start a server and wait until it is ready."""
        command, _, file = command.removesuffix("&").partition(" 2> ")
        log = self.folder / (file.strip() or "log")
        server = self._open(f"exec env {command}")
        self.servers.append(server)
        output = self._read_until(server, re.compile(f"(?s).*{ready}.*"))
        assert ready in output, f"$ {command}\n{output}"
        log.write_text(output)
        threading.Thread(target=_append, args=(server, log), daemon=True).start()

    def run(self, command: str) -> str:
        """Run a command and return its output."""
        if not command.startswith("export "):
            return self._output(command)
        environment = self._output(f"{command} && env -0")
        self.environ = dict(item.split("=", 1) for item in environment.split("\0") if item)
        return ""

    def _output(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout

    def run_until(self, command: str, pattern: str) -> str:
        """Run a command until its output matches, stop it and return the output."""
        process = self._open(command)
        printed = self._read_until(process, re.compile(pattern))
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)
        return printed

    def stop(self) -> None:
        """Stop all servers."""
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            server.wait(PATIENCE)

    def _open(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _read_until(self, process: subprocess.Popen[str], wanted: re.Pattern[str]) -> str:
        """Read the output of a process until it matches, or to its end."""
        assert process.stdout is not None
        timer = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        output = ""
        try:
            for line in process.stdout:
                output += line
                if wanted.fullmatch(output):
                    break
        finally:
            timer.cancel()
        return output


def _append(server: subprocess.Popen[str], log: Path) -> None:
    """Append the remaining output of a server to a file."""
    assert server.stdout is not None
    with log.open("a", buffering=1) as out:
        out.writelines(server.stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder."""
    shell = Shell(tmp_path)
    yield shell
    shell.stop()


def test_pages_listen_on_different_ports() -> None:
    """Pages are tested at the same time."""
    users: dict[str, set[str]] = {}
    for page in PAGES:
        for block in blocks(page):
            for port in LISTENING.findall(block.text) if block.file else ():
                users.setdefault(port, set()).add(page.name)
    assert len(users) > 5
    assert {port: pages for port, pages in users.items() if len(pages) > 1} == {}


@needs("dig", "curl", "jq")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_examples_work(page: Path, shell: Shell) -> None:
    """Each command has the documented output, and each settings file loads."""
    for block in blocks(page):
        if block.file:
            (shell.folder / block.file).write_text(block.text)
        elif block.kind == "toml":
            settings = shell.folder / "part.toml"
            settings.write_text(block.text)
            load(settings, {})
        elif block.kind == "console":
            run(shell, block.text)


@needs("dig", "curl", "jq")
def test_readme_examples_work(shell: Shell) -> None:
    """The README's commands work with ``make run``, on ports and in a folder of the test."""
    state = shell.folder / ".run/example"
    listen = {"DNS": "5300", "API": "8053", "METRICS": "9353"}
    addresses = {f"MUSTERD_{name}__LISTEN": f"127.0.0.1:{port}" for name, port in listen.items()}
    settings = addresses | {"MUSTERD_STATE__DIR": str(state)}
    run_command = shlex.join(
        ["env", *(f"{name}={value}" for name, value in settings.items()), f"{ROOT}/scripts/run"]
    )
    shell.environ["MUSTERD_SERVER"] = _moved("http://127.0.0.1:8053")
    for block in blocks(README):
        for command, wanted in commands(_moved(block.text)) if block.kind == "console" else ():
            if command.startswith("make run"):
                shell.start(_moved(run_command), RUN_READY)
            elif not command.startswith("make "):
                run_one(shell, command, wanted)
    assert shell.servers


def _moved(text: str) -> str:
    for port, free in PORTS.items():
        text = text.replace(port, free)
    return text


def run(shell: Shell, text: str) -> None:
    """Run the commands of a block and compare."""
    slept = False
    for command, wanted in commands(text):
        if not command.startswith("sleep "):
            run_one(shell, command, wanted, repeat=slept or command.startswith("grep "))
        slept = command.startswith("sleep ")


def run_one(shell: Shell, command: str, wanted: str, repeat: bool = False) -> None:
    """Run a command and compare its output; with ``repeat``, run it until the output matches."""
    if command.endswith("&"):
        shell.start(command)
        return
    pattern = expected(wanted.removesuffix("^C\n"))
    stopped = wanted.endswith("^C\n")
    printed = shell.run_until(command, pattern) if stopped else shell.run(command)
    deadline = time.monotonic() + PATIENCE
    while repeat and not re.fullmatch(pattern, printed) and time.monotonic() < deadline:
        printed = shell.run(command)
    assert re.fullmatch(pattern, printed), f"$ {command}\n{printed}"


def test_links_have_targets() -> None:
    """Check relative links only."""
    for page in [*ROOT.glob("**/*.md")]:
        if any(part.startswith(".") or part == "target" for part in page.relative_to(ROOT).parts):
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_architecture_names_files_that_exist() -> None:
    """The text may give only the end of a path."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    folders = (ROOT / "src/musterd", ROOT / "core/src")
    files = [f"/{path}" for folder in folders for path in folder.rglob("*.*")]
    for name in re.findall(r"`([\w/.]+\.(?:py|pyi|rs))`", text):
        assert any(file.endswith(f"/{name}") for file in files), name


def test_api_page_lists_every_route() -> None:
    """Parameters are written in capitals."""
    page = (ROOT / "docs/api.md").read_text()
    for path in described("1").openapi()["paths"]:
        route = re.sub(r"{(\w+)}", lambda found: found[1].upper(), path.removeprefix("/v1"))
        assert f"`{route}`" in page, path


def test_command_line_page_lists_every_command() -> None:
    """Each noun appears with each of its verbs, or alone if it has none."""
    page = (ROOT / "docs/command-line.md").read_text()
    for noun in subcommands(app):
        for words in [f"{noun} {verb}" for verb in subcommands(app[noun])] or [noun]:
            assert re.search(rf"`(musterd )?{words}\b", page), words


def subcommands(command: App) -> list[str]:
    """Return the names of a command's subcommands."""
    return [name for name in command if not name.startswith("-")]
