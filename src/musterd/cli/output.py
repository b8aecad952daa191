"""Prints tables for people and JSON for programs, row by row.

A list is printed as one JSON object per line, anything else as one indented object. If standard
output is not a terminal, tables are plain: no bold, no wrapping, two spaces between cells.

In a terminal, a table gets as narrow as its width: columns of text are wrapped at spaces, spare
columns are dropped, and rows take several lines. Nothing is broken within a word, because it could
be a name.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from shutil import get_terminal_size
from typing import Final, NamedTuple

from musterd.display import printable

PAGE: Final = 1000
"""Rows that are laid out together; a longer table is printed page by page."""
MIN_TEXT: Final = 16
"""Minimum width of a column of text."""
MAX_WORD: Final = 64
"""Longest word for which a column of text makes room; longer ones stick out."""
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


def table(
    columns: Row,
    rows: Iterable[Row],
    *,
    indent: str = "",
    spare: Sequence[str] = (),
    text: Sequence[str] = (),
) -> int:
    """Print rows under the names of their columns; print nothing if there are no rows.

    If the rows fit one page, empty columns are omitted. In a terminal that is too narrow, so are
    the ``spare`` columns, in their order, and cells of the ``text`` columns are wrapped. Returns
    the number of rows.
    """
    source: Iterator[Row] = ([printable(cell) for cell in row] for row in rows)
    page = list(islice(source, PAGE))
    if not page:
        return 0
    room = _room(indent)
    shown = [_Column(at, title, title in text) for at, title in enumerate(columns)]
    rest = next(source, None)
    if rest is None:
        shown = [column for column in shown if any(row[column.at] for row in page)]
    else:
        source = chain([rest], source)
    for column in shown:
        column.extend([columns, *page])
    for dropped in spare:
        if _needed([column.least for column in shown]) <= room:
            break
        shown = [column for column in shown if column.title != dropped]
    total = 0
    while page:
        head = [] if total else [columns]
        if total:
            for column in shown:
                column.extend(page)
        _print(shown, head, page, indent)
        total += len(page)
        page = list(islice(source, PAGE))
    return total


def facts(pairs: Mapping[str, str]) -> None:
    """Print aligned pairs of name and value; pairs with an empty value are omitted."""
    shown = {name: printable(value) for name, value in pairs.items() if value}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        paragraph(value, f"{name:{width}}  ")


def paragraph(text: str, prefix: str) -> None:
    """Print a text after a prefix; in a terminal wrapped at spaces, and indented."""
    for line in _wrap(printable(text), _room(prefix)):
        print(prefix + line)
        prefix = " " * len(prefix)


@dataclass(slots=True)
class _Column:
    """A column of a table."""

    at: int
    title: str
    is_text: bool
    width: int = 0
    """Width of the widest cell."""
    word: int = 0
    """Width of the widest word of a text, except for words that stick out."""

    def extend(self, rows: Iterable[Row]) -> None:
        """Make room for more rows."""
        cells = [row[self.at] for row in rows]
        self.width = max(self.width, *map(_width, cells))
        if self.is_text:
            words = (_width(word) for cell in cells for word in cell.split())
            self.word = max(self.word, *(width for width in words if width <= MAX_WORD), 0)

    @property
    def least(self) -> int:
        """Minimum width."""
        return min(self.width, max(MIN_TEXT, self.word)) if self.is_text else self.width


class _Line(NamedTuple):
    """A line of each row."""

    start: str
    columns: list[_Column]
    widths: list[int]


def _print(columns: list[_Column], head: Sequence[Row], rows: Sequence[Row], indent: str) -> None:
    """Print rows in lines."""
    bold = sys.stdout.isatty() and _has_bold()
    layout = _layout(columns, _room(indent))
    for row in head:
        for line in _lines(layout, row):
            text = f"{indent}{line}".rstrip()
            sys.stdout.write(f"\x1b[1m{text}\x1b[0m\n" if bold else f"{text}\n")
    for row in rows:
        for line in _lines(layout, row):
            sys.stdout.write(f"{indent}{line}".rstrip() + "\n")


def _layout(columns: list[_Column], room: int) -> list[_Line]:
    """Return the lines of a row: one, or if it has too little room, the first cell and the rest."""
    if _needed([column.least for column in columns]) <= room:
        return [_Line("", columns, _shrunk(columns, room))]
    first, *rest = columns
    groups = [[first]]
    room -= GAP
    for column in rest:
        if len(groups) > 1 and _needed([each.least for each in (*groups[-1], column)]) <= room:
            groups[-1].append(column)
        else:
            groups.append([column])
    starts = ["", *[" " * GAP for _ in groups[1:]]]
    return [
        _Line(start, group, _shrunk(group, room))
        for start, group in zip(starts, groups, strict=True)
    ]


def _lines(layout: list[_Line], row: Row) -> Iterable[str]:
    """Return the lines of a row."""
    for start, columns, widths in layout:
        cells = (
            _wrap(row[column.at], width) if column.is_text else [row[column.at]]
            for column, width in zip(columns, widths, strict=True)
        )
        for line in zip_longest(*cells, fillvalue=""):
            padded = (
                cell + " " * (width - _width(cell))
                for cell, width in zip(line, widths, strict=True)
            )
            yield start + (" " * GAP).join(padded)


def _shrunk(columns: list[_Column], room: int) -> list[int]:
    """Return the width of each column, after the widest texts have made room for the others."""
    widths = [column.width for column in columns]
    for at in sorted(range(len(columns)), key=lambda at: -widths[at]):
        excess = _needed(widths) - room
        if excess > 0:
            widths[at] = max(columns[at].least, widths[at] - excess)
    return widths


def _needed(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _wrap(text: str, width: int) -> list[str]:
    """Return the lines of a text that is wrapped at spaces."""
    if _width(text) <= width:
        return [text]
    import textwrap

    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _width(text: str) -> int:
    """Return the columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _room(indent: str) -> int:
    """Return the characters of a line; unlimited if output is not a terminal."""
    if not sys.stdout.isatty():
        return sys.maxsize
    return max(get_terminal_size().columns - len(indent), 1)


def _has_bold() -> bool:
    return os.environ.get("TERM") not in {None, "", "dumb", "unknown"}
