"""Tables and JSON, printed to a terminal and to a pipe."""

import contextlib
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
    screen = io.TextIOWrapper(os.fdopen(slave, "wb", buffering=0), write_through=True)
    with screen, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", screen)
        show()
    text = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 65536):
            text += chunk
    os.close(master)
    return text.decode()


def lines(text: str) -> list[str]:
    """Return the lines of a terminal without their style."""
    return text.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()


def test_terminal_gets_bold_heads_and_wrapped_text(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["[red]a", "several words " * 4]]
    text = on_terminal(monkeypatch, 40, lambda: output.table(("k", "v"), rows, text=("v",)))
    assert text.startswith("\x1b[1mk       v\x1b[0m\r\n")
    assert lines(text)[1:] == [
        "[red]a  several words several words",
        "        several words several words",
    ]


def test_simple_terminal_gets_no_bold_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_has_bold", lambda: False)
    assert on_terminal(monkeypatch, 40, lambda: output.table(("k",), [["a"]])) == "k\r\na\r\n"


def test_first_cell_gets_its_own_line_if_nothing_else_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def show() -> None:
        output.table(("name", "type", "data"), [["n" * 30, "A", "192.0.2.11"]], indent=" ")

    text = on_terminal(monkeypatch, 40, show)
    assert lines(text) == [" name", "   type  data", f" {'n' * 30}", "   A     192.0.2.11"]


def test_long_word_sticks_out_and_leaves_other_rows_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [["a", f'"v=DKIM1; p={"M" * 200}"', "30"], ["b", "10.0.0.1", "60"]]
    text = on_terminal(
        monkeypatch, 40, lambda: output.table(("name", "data", "ttl"), rows, text=("data",))
    )
    first, long, _, last = [line for line in lines(text) if line]
    assert first.split() == ["name", "data", "ttl"]
    assert long.split() == ["a", '"v=DKIM1;', "30"]
    assert last.split() == ["b", "10.0.0.1", "60"]
    assert f'p={"M" * 200}"' in text
    assert len(first) == len(long.rstrip()) + 1 <= 40


def test_wide_characters_take_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["名前", "x"], ["abc", "y"]]
    text = on_terminal(monkeypatch, 40, lambda: output.table(("k", "v"), rows))
    assert lines(text) == ["k     v", "名前  x", "abc   y"]


def test_every_page_has_the_columns_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["n" * 20, "s" * 20, "d"]] * (output.PAGE + 1)

    def show() -> None:
        output.table(("name", "spare", "data"), rows, spare=("spare",))

    found: list[int] = []
    monkeypatch.setattr(output, "_print", lambda shown, *_: found.append(len(shown)))
    on_terminal(monkeypatch, 40, show)
    assert found == [2, 2]


def test_facts_and_paragraphs_wrap_at_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    def show() -> None:
        output.facts({"answers on": "127.0.0.1:5305, 192.0.2.111:5305, [2001:db8::1]:5305"})
        output.paragraph("a problem at web.lab.internal with a long text", "- ")

    assert lines(on_terminal(monkeypatch, 40, show)) == [
        "answers on  127.0.0.1:5305,",
        "            192.0.2.111:5305,",
        "            [2001:db8::1]:5305",
        "- a problem at web.lab.internal with a",
        "  long text",
    ]


def test_spare_columns_are_dropped_until_the_table_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, row = ("zone", "serial", "policy", "sources"), ("z" * 30, "1" * 10, "p" * 20, "s" * 20)

    def show() -> None:
        output.table(columns, [row], spare=("serial", "policy"))

    assert "serial" not in on_terminal(monkeypatch, 80, show)
    assert "policy" in on_terminal(monkeypatch, 80, show)
    narrow = on_terminal(monkeypatch, 40, show)
    assert "policy" not in narrow
    assert "z" * 30 in narrow
