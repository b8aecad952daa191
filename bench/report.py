"""The result of a subject: tables for people, data for programs, and targets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

Machine = Mapping[str, str | int | float]


@dataclass(frozen=True)
class Table:
    """Rows of text under columns; the first column is left-aligned, the others are figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Target:
    """A figure that should be at most (or at least) its limit."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """True if the figure is within the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def text(self) -> str:
        """One line for a terminal."""
        word = "at least" if self.at_least else "at most"
        verdict = "met" if self.met else "MISSED"
        return f"{verdict}: {self.what} {self.value:.4g}, {word} {self.limit:g}"


@dataclass(frozen=True)
class Result:
    """The result of a subject; ``data`` is every measurement, by round."""

    subject: str
    tables: Sequence[Table]
    data: object
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def show(result: Result, console: Console) -> None:
    """Print tables, targets and notes."""
    for table in result.tables:
        drawn = RichTable(title=table.title, title_justify="left")
        for i, column in enumerate(table.columns):
            drawn.add_column(column, justify="left" if i == 0 else "right")
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)
    for target in result.targets:
        console.print(target.text, style="green" if target.met else "bold red", highlight=False)
    for note in result.notes:
        console.print(note, style="dim", highlight=False)


def save(result: Result, machine: Machine, options: Mapping[str, object], folder: Path) -> Path:
    """Write ``<date>-<subject>.json`` and ``.md``; return the path of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    base = folder / f"{now:%Y-%m-%d}-{result.subject}"
    record = {
        "subject": result.subject,
        "date": now.isoformat(timespec="seconds"),
        "machine": machine,
        "versions": result.versions,
        "options": options,
        "targets": [
            {"what": t.what, "value": t.value, "limit": t.limit, "met": t.met}
            for t in result.targets
        ],
        "notes": result.notes,
        "data": result.data,
    }
    base.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    page = base.with_suffix(".md")
    page.write_text(_page(result, machine, options, now))
    return page


def _page(result: Result, machine: Machine, options: Mapping[str, object], now: datetime) -> str:
    given = ", ".join(f"{key} {value}" for key, value in options.items())
    lines = [f"# {result.subject}, {now:%Y-%m-%d %H:%M} UTC", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in machine.items()]
    lines += [f"- {name}: {version}" for name, version in result.versions.items()]
    lines += [f"- options: {given}", ""]
    for table in result.tables:
        lines += [f"## {table.title}", "", _row(table.columns)]
        lines.append(_row(["---"] + ["---:"] * (len(table.columns) - 1)))
        lines += [*map(_row, table.rows), ""]
    lines += [f"- {target.text}" for target in result.targets]
    lines += ["", *(f"{note}\n" for note in result.notes)]
    return "\n".join(lines).rstrip() + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
