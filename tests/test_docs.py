"""The examples of the documentation, run as they stand.

In a page, a block ```` ```KIND file=NAME ```` is a file; a ``console`` block has commands after
``$ ``, and what each prints, where ``…`` stands for anything. A command that ends in ``&`` goes on
until the page ends, and the next waits until it has said that it is ready. All other ``toml``
blocks must be settings that load.
"""

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from musterd.settings import load
from tests.needs import needs

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md"])
BLOCK = re.compile(r"^```(\S+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SERVED = {"README.md"}
"""Pages whose commands are those of `make`, which other tests cover."""
PATIENCE = 20.0


class Block(NamedTuple):
    """A fenced block of a page."""

    kind: str
    file: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    return [Block(*found) for found in BLOCK.findall(page.read_text())]


def commands(text: str) -> Iterator[tuple[str, str]]:
    """(command, what it prints) of a console block."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


class Shell:
    """Runs the commands of one page in a folder."""

    def __init__(self, folder: Path) -> None:
        """Without servers."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environ = os.environ | {"PATH": path, "COLUMNS": "200", "NO_COLOR": "1"}
        self.folder = folder
        self.servers: list[subprocess.Popen[str]] = []

    def start(self, command: str) -> None:
        """Start a server, and wait until it says that it is ready."""
        variables = [word for word in shlex.split(command) if re.match(r"[A-Z_]+=", word)]
        words = shlex.split(command.removesuffix("&"))[len(variables) :]
        environ = self.environ | dict(word.split("=", 1) for word in variables)
        server = subprocess.Popen(
            words, cwd=self.folder, env=environ, stderr=subprocess.PIPE, text=True
        )
        self.servers.append(server)
        assert server.stderr is not None
        timer = threading.Timer(PATIENCE, server.kill)
        timer.start()
        try:
            said = []
            for line in server.stderr:
                said.append(line)
                if "all sources synced" in line:
                    break
            else:
                pytest.fail(f"{command}: {''.join(said)}")
        finally:
            timer.cancel()
        threading.Thread(target=server.stderr.read, daemon=True).start()

    def run(self, command: str) -> str:
        """What a command prints."""
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

    def stop(self) -> None:
        """Stop all servers."""
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            server.wait(PATIENCE)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder."""
    shell = Shell(tmp_path)
    yield shell
    shell.stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples(page: Path, shell: Shell) -> None:
    """Each command prints what the page says; each file of settings is one."""
    needs("dig", "curl")
    for block in blocks(page):
        if block.file:
            (shell.folder / block.file).write_text(block.text)
        elif block.kind == "toml":
            settings = shell.folder / "part.toml"
            settings.write_text(block.text)
            load(settings, {})
        elif block.kind == "console" and page.name not in SERVED:
            run(shell, block.text)


def run(shell: Shell, text: str) -> None:
    """Run the commands of a block and compare."""
    for command, wanted in commands(text):
        if command.endswith("&"):
            shell.start(command)
            continue
        printed = shell.run(command)
        pattern = ".*".join(re.escape(part) for part in wanted.split("…"))
        assert re.fullmatch(pattern, printed), f"$ {command}\n{printed}"


def test_links() -> None:
    """What a page links to in this project is there."""
    for page in [*ROOT.glob("**/*.md")]:
        if any(part.startswith(".") or part == "target" for part in page.relative_to(ROOT).parts):
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
