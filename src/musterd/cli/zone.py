"""``musterd zone``: zone files, and the zones of a server."""

import re
import sys
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from cyclopts import App, Parameter

from musterd.cli.extra import server_side
from musterd.cli.options import (
    OPTIONS,
    SERVER_OPTIONS,
    AsJson,
    Flag,
    OutputOptions,
    ServerOptions,
    ZoneArg,
)
from musterd.errors import MusterdError, UsageError, ZoneFileError
from musterd.file_state import is_named_pipe

if TYPE_CHECKING:
    from musterd._core import ZoneFile
    from musterd.client.values import ImportProblem, ImportResult

app = App(name="zone", help="Check a zone file; list, export and import the zones of a server.")

STDIN = Path("-")
"""Stands for standard input."""
TTL = 30
"""TTL of records without one, in seconds: the default of ``ttl`` of a zone."""
SCANNED_BYTES = 2**20
"""Leading bytes of a file that are searched for the name of its zone."""

_FILE = Parameter(help='A zone file (RFC 1035); "-" for standard input.', allow_leading_hyphen=True)
FileArg = Annotated[Path, _FILE]

_ORIGIN = re.compile(r"\$ORIGIN[ \t]+(\S*\.)(?=[\s;]|$)", re.IGNORECASE)
_SOA = re.compile(r"([^\s;$\"()]\S*)[ \t]+(?:(?:[0-9]\w*|IN)[ \t]+)*SOA[ \t]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ZoneFileProblem:
    """A record that would not be served; line 0 if the line is unknown."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        """Return for example ``example.zone:7: unknown type``."""
        return f"{self.file}:{self.line}: {self.message}" if self.line else str(self.message)


@dataclass(frozen=True, slots=True)
class ZoneFileReport:
    """Contents of a zone file: records by type, problems, and warnings."""

    zone: str
    files: list[str]
    records: dict[str, int]
    problems: list[ZoneFileProblem]
    warnings: list[str]


@app.command
def check(
    file: FileArg,
    /,
    *,
    zone: str | None = None,
    as_json: AsJson = False,
) -> int:
    """Check a zone file; exit with 1 if it has problems.

    Args:
        file: A zone file (RFC 1035); "-" for standard input.
        zone: Name of the zone; default: the owner of the SOA record, else the first $ORIGIN.
        as_json: Print JSON.
    """
    from musterd.cli import output

    _reject_option(file)
    if file == STDIN:
        file = Path("/dev/stdin")
        if zone is None:
            raise UsageError("pass --zone NAME: standard input can be read only once")
    elif is_named_pipe(str(file)):
        raise ZoneFileError(
            f"{file}: is a named pipe, which would wait for a writer; for standard input write -"
        )
    with server_side("musterd zone check"):
        report = inspect(file, zone_of(file) if zone is None else zone)
    if as_json:
        output.as_object(asdict(report))
    else:
        _print_text(file, report)
    return 1 if report.problems else 0


@app.command(name="list")
def list_(*, options: OutputOptions = OPTIONS) -> None:
    """List the zones of the server."""
    from musterd.cli import output
    from musterd.cli.status import zone_table

    with options.client() as client:
        zones = client.zones()
    if options.json:
        output.as_lines(zones)
    else:
        zone_table(zones)


@app.command
def export(zone: ZoneArg, /, *, server: ServerOptions = SERVER_OPTIONS) -> None:
    """Print the answers of a zone as a zone file."""
    from musterd.client.names import zone_part

    with server.client() as client:
        for piece in client.export(zone_part(zone)):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


_REPLACE = Parameter(help="Delete registered records of the zone that are not in the file.")
_DRY = Parameter(help="Only print what would be done.")


@app.command(name="import")
def import_(
    zone: ZoneArg,
    file: FileArg,
    /,
    *,
    replace: Annotated[bool, Flag, _REPLACE] = False,
    dry_run: Annotated[bool, Flag, _DRY] = False,
    options: OutputOptions = OPTIONS,
) -> int:
    """Register all records of a zone file, or none if one of them is invalid."""
    from musterd.cli import output
    from musterd.client.names import zone_part

    _reject_option(file)
    with _open(file) as opened, options.client() as client, _problems_by_line(file):
        done = client.import_(zone_part(zone), opened, replace=replace, dry_run=dry_run)
    if options.json:
        output.as_object(done)
    else:
        _print_import(file, done, "would be " if dry_run else "")
    return 1 if done["problems"] else 0


def _reject_option(file: Path) -> None:
    """Raise UsageError if a misspelled option was taken for the file."""
    if str(file).startswith("-") and file != STDIN:
        raise UsageError(f"unknown option: {file}; write a file of this name as ./{file}")


def _open(file: Path) -> BinaryIO:
    """Open a zone file for an import. Raises ZoneFileError."""
    if file == STDIN:
        return BytesIO(sys.stdin.buffer.read())
    try:
        return file.open("rb")
    except OSError as error:
        raise ZoneFileError(f"{file}: can't be read: {error.strerror}") from error


@contextmanager
def _problems_by_line(file: Path) -> Iterator[None]:
    """Report each problem by its line if the server rejects the file."""
    from musterd.client.problems import ApiError

    try:
        yield
    except ApiError as error:
        problems: list[ImportProblem] = error.members.get("problems", [])
        if not problems:
            raise
        lines = [_at_line(file, problem) for problem in problems]
        raise MusterdError(*lines, f"{file}: nothing was registered") from error


def _at_line(file: Path, problem: "ImportProblem") -> str:
    from musterd.display import printable

    where = f"{file}:{problem['line']}" if problem["line"] else f"{file}"
    return printable(f"{where}: {problem['problem']}")


def _print_import(file: Path, done: "ImportResult", would: str) -> None:
    for problem in done["problems"]:
        print(_at_line(file, problem))
    changes = ", ".join(f"{done[key]} {key}" for key in ("added", "changed", "removed"))
    print(f"{file}: {would}{changes}; {done['unchanged']} unchanged")


def zone_of(file: Path) -> str:
    """Return the zone that a file names itself. Raises UsageError if there is none."""
    origin = ""
    for line in _head(file).splitlines():
        directive, soa = _ORIGIN.match(line), _SOA.match(line)
        if soa and soa.group(1).endswith("."):
            return soa.group(1)
        if soa and origin:
            return origin if soa.group(1) == "@" else f"{soa.group(1)}.{origin}"
        if directive and not origin:
            origin = directive.group(1)
    if not origin:
        raise UsageError(
            f"{file}: has neither $ORIGIN nor a SOA record with an absolute name; pass --zone NAME"
        )
    return origin


def _head(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            # Some editors begin a file with a byte order mark.
            return opened.read(SCANNED_BYTES).removeprefix(BOM_UTF8).decode("latin-1")
    except OSError as error:
        raise ZoneFileError(f"{file}: can't be read: {error.strerror}") from error


def inspect(file: Path, zone: str) -> ZoneFileReport:
    """Read a zone file as the server does. Raises ZoneFileError, UsageError."""
    from musterd._core import read_zone
    from musterd.client.names import wire_name
    from musterd.rr.names import fold

    try:
        origin = wire_name(zone)
    except UsageError as error:
        raise UsageError(f"--zone: {error}") from error
    try:
        found = read_zone(str(file), fold(origin), TTL)
    except OSError as error:
        raise ZoneFileError(f"{file}: can't be read: {error.strerror or error}") from error
    return _report(origin, found)


def _report(origin: bytes, found: "ZoneFile") -> ZoneFileReport:
    from musterd.rr.answer_size import too_large
    from musterd.rr.names import fold, name_to_text
    from musterd.rr.rrset import count
    from musterd.rr.types import ADDRESSED, type_text
    from musterd.sources.zonefile import foreign_rrsets

    foreign, wrong = foreign_rrsets(found)
    counts: Counter[str] = Counter()
    problems = [ZoneFileProblem(*problem) for problem in [*found.problems, *wrong]]
    for owner, rtype, packed in [*found.rrsets, *foreign]:
        counts[type_text(rtype)] += count(packed)
        # A policy may select a few of many addresses.
        reason = "" if rtype in ADDRESSED else too_large(fold(owner), rtype, packed)
        if reason:
            why = f"{name_to_text(owner)} {type_text(rtype)}: {reason}"
            problems.append(ZoneFileProblem(found.files[0], 0, why))
    problems += _hidden(origin, [*found.rrsets, *foreign], found.files[0])
    order = {name: index for index, name in enumerate(found.files)}
    problems.sort(key=lambda problem: (order.get(problem.file, 0), problem.line))
    warnings = [f"{file}: its last line has no end, so it may be cut off" for file in found.cut]
    records = dict(sorted(counts.items()))
    return ZoneFileReport(name_to_text(origin), found.files, records, problems, warnings)


def _hidden(
    origin: bytes, rrsets: Sequence[tuple[bytes, int, bytes]], file: str
) -> Iterator[ZoneFileProblem]:
    """Return the RRsets that would never be answered."""
    from musterd.catalog.hidden import hidden_by
    from musterd.rr.names import fold, name_to_text
    from musterd.rr.rrset import unpack_records
    from musterd.rr.types import DNAME, NS, type_text

    apex = fold(origin)
    places = {(fold(owner), rtype) for owner, rtype, _ in rrsets}
    cuts = {place for place in places if place[1] in (NS, DNAME) and place != (apex, NS)}
    if not cuts:
        return
    named = [packed for _, rtype, packed in rrsets if rtype == NS]
    servers = {fold(wire) for packed in named for _, wire in unpack_records(packed)}
    for owner, rtype in sorted(places):
        reason = hidden_by(owner, rtype, apex, cuts, lambda _: servers)
        if reason:
            rrset = f"{name_to_text(owner)} {type_text(rtype)}"
            yield ZoneFileProblem(file, 0, f"{rrset} would never be answered: {reason}")


def _print_text(file: Path, report: ZoneFileReport) -> None:
    from musterd.cli import output

    for problem in report.problems:
        print(problem)
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    output.table(("type", "records"), ((rtype, str(n)) for rtype, n in report.records.items()))
    total, faults = sum(report.records.values()), len(report.problems)
    verdict = f"{faults} problem{'' if faults == 1 else 's'}" if faults else "ok"
    print(f"{file}: {verdict}, {total} record{'' if total == 1 else 's'} in {report.zone}")
