"""Prints tables for people and JSON for programs, row by row.

A list is printed as one JSON object per line, anything else as one indented object. If standard
output is not a terminal, tables are plain: no colour, no wrapping, two spaces between cells.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from shutil import get_terminal_size
from typing import Final

from musterd.display import printable

PAGE: Final = 1000
"""Rows that are laid out together; a longer table is printed page by page."""
MIN_WRAPPED: Final = 8
"""Minimum width of a column whose cells are wrapped."""
GAP: Final = 2
"""Spaces between columns."""

Row = Sequence[str]


def as_object(value: object) -> None:
    """Print one value as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def as_lines(values: Iterable[object]) -> int:
    """Print values as JSON, one per line. Return their number."""
    count = 0
    for value in values:
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        count += 1
    return count


def table(columns: Row, rows: Iterable[Row], *, indent: str = "", spare: Sequence[str] = ()) -> int:
    """Print rows under the names of their columns; print nothing if there are no rows.

    If the rows fit one page, empty columns are omitted. As long as the terminal is too narrow, so
    are the ``spare`` columns, in their order. Returns the number of rows.
    """
    source = iter([printable(cell) for cell in row] for row in rows)
    first = list(islice(source, PAGE))
    rest = next(source, None)
    if not first:
        return 0
    if rest is None:
        columns, first = _without_empty(columns, first)
        for dropped in spare:
            if _needed(_widths([columns, *first], ())) <= _room(indent):
                break
            kept = [at for at, name in enumerate(columns) if name != dropped]
            columns, first = _only(kept, columns, first)
        _print(columns, first, indent)
        return len(first)
    return _print_pages(columns, first, chain([rest], source), indent)


def facts(pairs: Mapping[str, str]) -> None:
    """Print aligned pairs of name and value; pairs with an empty value are omitted."""
    shown = {name: printable(value) for name, value in pairs.items() if value}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        print(f"{name:{width}}  {value}")


def _without_empty(columns: Row, rows: list[list[str]]) -> tuple[Row, list[list[str]]]:
    return _only([at for at in range(len(columns)) if any(row[at] for row in rows)], columns, rows)


def _only(kept: list[int], columns: Row, rows: list[list[str]]) -> tuple[Row, list[list[str]]]:
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


def _room(indent: str) -> int:
    """Return the characters of a line; unlimited if output is not a terminal."""
    return get_terminal_size().columns - len(indent) if sys.stdout.isatty() else sys.maxsize


def _needed(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _print_rich(columns: Row, rows: list[list[str]], indent: str, least: Sequence[int]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    laid = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=bool(columns))
    room = _room(indent)
    # If the widths don't fit, wrapping is better than cutting off.
    widths = least if _needed(least) <= room else []
    whole = _whole(_widths([columns, *rows], least), room)
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
    """Return the columns that need no wrapping.

    They are the first, which is a name, then the narrowest that leave room for the others.
    """
    whole: set[int] = set()
    room -= _needed([min(width, MIN_WRAPPED) for width in widths])
    for at in sorted(range(len(widths)), key=lambda at: (at > 0, widths[at])):
        room -= max(widths[at] - MIN_WRAPPED, 0)
        if room < 0:
            break
        whole.add(at)
    return frozenset(whole)
