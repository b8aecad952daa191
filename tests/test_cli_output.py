"""Tables and JSON, printed to a terminal and to a pipe."""

import io
import os
import pty
import sys
from collections.abc import Callable, Iterator

import pytest

from musterd.cli import output

Capture = pytest.CaptureFixture[str]
ROWS = [["a", "", "1"], ["bcd", "", "x y"]]


def test_plain_cells_are_separated_by_two_spaces(capsys: Capture) -> None:
    assert output.table(("k", "none", "value"), ROWS, indent=" ") == 2
    assert capsys.readouterr().out == " k    value\n a    1\n bcd  x y\n"


def test_empty_table_prints_nothing(capsys: Capture) -> None:
    assert output.table(("k",), []) == 0
    output.as_lines([])
    assert capsys.readouterr().out == ""


def test_pages_share_one_head_and_keep_all_columns(capsys: Capture) -> None:
    rows = ([str(n), "", "x"] for n in range(2 * output.PAGE + 1))
    assert output.table(("n", "none", "x"), rows) == 2 * output.PAGE + 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "n    none  x"
    assert lines[1] == "0          x"
    assert lines[-1] == "2000        x"
    assert len(lines) == 2 * output.PAGE + 2


def test_list_is_printed_while_it_arrives(capsys: Capture) -> None:
    printed: list[int] = []

    def values() -> Iterator[dict[str, int]]:
        for n in range(3):
            printed.append(len(capsys.readouterr().out.splitlines()))
            yield {"n": n}

    output.as_lines(values())
    assert printed == [0, 1, 1]


def test_cell_with_newline_stays_on_one_line(capsys: Capture) -> None:
    output.table(("a",), [["x\n\x1b[31m"]])
    output.facts({"a": "y\r", "empty": ""})
    assert capsys.readouterr().out == "a\nx\\n\\x1b[31m\na  y\\r\n"


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int, show: Callable[[], object]) -> str:
    """Return the output on a terminal with a given width."""
    master, slave = pty.openpty()
    for name, value in (("TERM", "xterm"), ("COLUMNS", str(width))):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    with io.TextIOWrapper(os.fdopen(slave, "wb", buffering=0), write_through=True) as screen:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", screen)
            show()
        text = os.read(master, 65536).decode()
    os.close(master)
    return text


def test_terminal_gets_bold_heads_and_wrapped_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["[red]a", "x" * 60]]
    text = on_terminal(monkeypatch, 40, lambda: output.table(("k", "value"), rows))
    assert "\x1b[1m" in text
    assert "[red]a" in text
    assert text.count("x") == 60
    assert text.count("\n") == 3


def test_narrow_terminal_wraps_long_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ("type", "data", "ttl", "weight", "source", "key", "age", "why not")
    row = ["A", "192.0.2.11", "30", "1", "example", "k" * 40, "19min 15s", "registry comes first"]

    def show() -> None:
        output.table(columns, [row], indent="  ", spare=("weight", "age"))

    wide = on_terminal(monkeypatch, 160, show)
    assert all(cell in wide for cell in row)
    narrow = on_terminal(monkeypatch, 80, show)
    assert "weight" not in narrow
    assert all(cell in narrow for cell in ("192.0.2.11", "example", "registry comes first"))
    assert narrow.count("k") == 40 + len("k")
    assert max(map(len, narrow.splitlines()[1:])) <= 80


def test_spare_columns_are_dropped_until_the_table_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, row = ("zone", "serial", "policy", "sources"), ("z" * 30, "1" * 10, "p" * 20, "s" * 20)

    def show() -> None:
        output.table(columns, [row], spare=("serial", "policy"))

    assert "serial" not in on_terminal(monkeypatch, 80, show)
    assert "policy" in on_terminal(monkeypatch, 80, show)
    narrow = on_terminal(monkeypatch, 40, show)
    assert "policy" not in narrow
    assert "z" * 30 in narrow
