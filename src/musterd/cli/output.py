"""The one way to print: tables for people, JSON for programs, both as they come.

A list is one JSON object a line, anything else one indented object. Where output is no terminal,
tables are plain: no colour, no folding, cells parted by two spaces.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final

from musterd.client.text import printable

PAGE: Final = 1000
"""Rows that are laid out together: a longer table is printed page by page."""
SHORT: Final = 24
"""The widest column that is kept whole, so that addresses and times are."""
FOLDED: Final = 12
"""The least that is left for a column whose cells are folded."""

Row = Sequence[str]


def as_object(value: object) -> None:
    """Print one value as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def as_lines(values: Iterable[object]) -> None:
    """Print values as JSON, one a line."""
    for value in values:
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def table(columns: Row, rows: Iterable[Row], *, indent: str = "") -> int:
    """Print rows under the names of their columns; nothing at all if there are none.

    A column without a cell that says anything is left out, if its rows fit one page. Returns how
    many rows there were.
    """
    source = iter([printable(cell) for cell in row] for row in rows)
    first = list(islice(source, PAGE))
    rest = next(source, None)
    if not first:
        return 0
    if rest is None:
        columns, first = _without_empty(columns, first)
        _print(columns, first, indent)
        return len(first)
    return _print_pages(columns, first, chain([rest], source), indent)


def facts(pairs: Mapping[str, str]) -> None:
    """Print names with what they are, aligned; those that say nothing are left out."""
    shown = {name: printable(value) for name, value in pairs.items() if value}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        print(f"{name:{width}}  {value}")


def _without_empty(columns: Row, rows: list[list[str]]) -> tuple[Row, list[list[str]]]:
    kept = [at for at in range(len(columns)) if any(row[at] for row in rows)]
    return [columns[at] for at in kept], [[row[at] for at in kept] for row in rows]


def _print_pages(
    columns: Row, first: list[list[str]], rest: Iterator[list[str]], indent: str
) -> int:
    total, page, named = 0, first, columns
    widths = [0] * len(columns)
    while page:
        widths = _widths([named, *page], widths)
        _print(named, page, indent, widths)
        total += len(page)
        named, page = [], list(islice(rest, PAGE))
    return total


def _print(columns: Row, rows: list[list[str]], indent: str, least: Sequence[int] = ()) -> None:
    if sys.stdout.isatty():
        _print_rich(columns, rows, indent, least)
        return
    lines = [columns, *rows] if columns else rows
    widths = _widths(lines, least)
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write((indent + "  ".join(cells)).rstrip() + "\n")


def _widths(lines: Sequence[Row], least: Sequence[int]) -> list[int]:
    shown = [line for line in lines if line]
    found = [max(map(len, cells)) for cells in zip(*shown, strict=True)]
    return [max(pair) for pair in zip(found, least, strict=True)] if least else found


def _print_rich(columns: Row, rows: list[list[str]], indent: str, least: Sequence[int]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    laid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(columns))
    # What has no room for its widths is better folded afresh than cut off.
    widths = least if sum(least) + 2 * len(least) <= console.width else []
    whole = _whole(_widths([columns, *rows], least), console.width - len(indent))
    for at in range(len(rows[0])):
        laid.add_column(
            columns[at] if columns else "",
            overflow="fold",
            min_width=widths[at] if widths else None,
            no_wrap=at in whole,
        )
    for row in rows:
        laid.add_row(*map(Text, row))
    console.print(Padding(laid, (0, 0, 0, len(indent))))


def _whole(widths: Sequence[int], room: int) -> frozenset[int]:
    """The columns that need not be folded: the short ones, if that leaves room for the others."""
    short = frozenset(at for at, width in enumerate(widths) if width <= SHORT)
    taken = sum(widths[at] for at in short) + FOLDED * (len(widths) - len(short))
    return short if taken + 2 * len(widths) <= room else frozenset()
