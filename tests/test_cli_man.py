"""``musterd man``: a valid page with every command and option."""

import subprocess

import pytest

from musterd.cli import run
from tests.needs import needs


@pytest.fixture
def page(capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["man"]) == 0
    return capsys.readouterr().out


def test_page_has_every_command_and_option(page: str) -> None:
    for text in (
        ".SS musterd serve",
        ".SS musterd record set",
        ".B \\-\\-if\\-revision INT",
        ".SS musterd import hades\\-etcd",
        ".SH EXIT STATUS",
    ):
        assert text in page.splitlines()


@needs("groff")
def test_page_is_valid_roff(page: str) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-cbou", "-ww"],
        input=page,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "musterd record set [OPTIONS] NAME TYPE" in done.stdout
