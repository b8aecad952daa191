"""A source that reads a master file (RFC 1035 section 5), again each time it changes.

The core reads it in bulk, in a thread and without the GIL. An invalid record is reported as a
``Fault`` with its file and line; the rest is served. If the file or one that it includes can't be
read, or if no record is valid, the source is reported as ``Lost``: the known records stay.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype
import structlog

from musterd._core import ZoneFile
from musterd.backoff import Backoff
from musterd.file_state import is_regular, look
from musterd.file_watch import FileWatch
from musterd.registry.rdata_errors import Fields, expected, reason
from musterd.rr.names import fold
from musterd.rr.rrset import pack, soa_serial
from musterd.rr.types import SOA
from musterd.sources.changes import Begin, Change, Fault, Lost, PutMany, Synced

CHUNK: Final = 1000
"""Rows in each change; they are freed after it."""
RETRY: Final = Backoff(1.0, 30.0)
"""Delays before a file that can't be read is tried again."""

log = structlog.get_logger()

Row = tuple[bytes, int, bytes]
"""Owner, type, packed RRset."""
Wrong = tuple[str, int, str]
"""File, line and reason of an invalid record."""
Reader = Callable[[str, bytes, int], ZoneFile]
"""Signature of ``musterd._core.read_zone``."""


@dataclass(frozen=True, slots=True)
class _Signs:
    """Properties of the last good list. If a new one lacks them, the file may be cut off."""

    has_soa: bool = False
    has_rows: bool = True
    cut: frozenset[str] = frozenset()
    """Files without a last line end."""


@dataclass(slots=True)
class _List:
    """The result of reading the file; revision: the serial of its SOA, else its time."""

    rows: list[Row]
    faults: list[Fault]
    files: list[str]
    signs: _Signs
    lost: Lost | None
    """Reason why the list is incomplete, or why nothing can be served."""
    revision: int = 0
    time: float = 0.0

    def is_doubtful(self, last: _Signs) -> bool:
        """Return whether the list may be cut off, compared with the last good one."""
        signs = self.signs
        return self.lost is None and (
            last.has_soa > signs.has_soa
            or last.has_rows > signs.has_rows
            or not signs.cut <= last.cut
        )


@dataclass(frozen=True, slots=True)
class ZoneFileSource:
    """The zone file of one zone.

    origin: the zone's wire name; ttl: seconds, of records where the file has none;
    files: must run as long as ``changes`` does.
    """

    name: str
    path: str
    origin: bytes
    ttl: int
    read: Reader
    files: FileWatch

    async def changes(self) -> AsyncGenerator[Change]:
        """Yield the file's records now and each time it changes; never ends."""
        watch = self.files.watch()
        last, lost, retry = _Signs(), "", RETRY.start()
        has_synced = False
        try:
            await watch.follow([self.path])
            while True:
                is_new = watch.pending
                doubt = partial(_List.is_doubtful, last=last)
                found = await watch.read(self._list, doubt)
                if found.files and await watch.follow(found.files):
                    # An included file may have changed before it was watched.
                    continue
                if found.lost is None:
                    self._report_cut(found.signs.cut - last.cut)
                    last, lost, has_synced = found.signs, "", True
                    retry.reset()
                    for change in _changes(found):
                        yield change
                    yield Synced(found.revision)
                    await watch.changed()
                    continue
                if found.lost.reason != lost or (is_new and not has_synced):
                    lost = found.lost.reason
                    # Without an earlier list, an incomplete one is better than none.
                    is_used = bool(found.rows) and not has_synced
                    if is_used:
                        self._report_cut(found.signs.cut)
                    for change in _changes(found) if is_used else found.faults:
                        yield change
                    yield found.lost
                found.rows.clear()
                await watch.changed(retry.next())
        finally:
            watch.close()

    def _report_cut(self, files: Iterable[str]) -> None:
        for file in sorted(files):
            log.warning(
                "zone file read although its last line has no end", source=self.name, file=file
            )

    def _list(self) -> _List:
        """Read the file, in a thread."""
        try:
            if not is_regular(self.path):
                # Opening a pipe would wait for its writer.
                return self._unread("not a regular file")
            found = self.read(self.path, self.origin, self.ttl)
        except OSError as error:
            return self._unread(error.strerror or str(error))
        foreign, wrong = foreign_rrsets(found)
        problems = [*found.problems, *wrong]
        faults = [Fault(f"{file}:{line}", reason) for file, line, reason in problems]
        rows = found.rrsets
        rows += foreign
        serial = self._serial(rows)
        times = [state[3] for state in look(found.files).values() if state]
        time = max(times, default=0) / 1e9
        return _List(
            rows, faults, found.files,
            _Signs(serial is not None, bool(rows), frozenset(found.cut)),
            self._lost(found.unread, rows, faults), int(time) if serial is None else serial, time,
        )  # fmt: skip

    def _unread(self, reason: str) -> _List:
        return _List([], [], [], _Signs(), Lost(f"{self.path}: can't be read: {reason}"))

    def _lost(self, unread: list[str], rows: list[Row], faults: list[Fault]) -> Lost | None:
        """Return why a file that was read can't be served."""
        if unread:
            more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
            return Lost(f"{self.path}: included file {unread[0]}{more} can't be read")
        if faults and not rows:
            first = f"{faults[0].where}: {faults[0].reason}"
            return Lost(f"{self.path}: nothing in it can be served: {first}")
        return None

    def _serial(self, rows: Iterable[Row]) -> int | None:
        apex = fold(self.origin)
        for owner, rtype, packed in rows:
            if rtype == SOA and fold(owner) == apex:
                return soa_serial(packed)
        return None


def _changes(found: _List) -> Iterator[Change]:
    """Yield the list without its end; its rows are freed on the way."""
    yield Begin()
    yield from found.faults
    while found.rows:
        rows = found.rows[-CHUNK:]
        del found.rows[-CHUNK:]
        yield PutMany(found.revision, found.time, rows)


def foreign_rrsets(found: ZoneFile) -> tuple[list[Row], list[Wrong]]:
    """Return the RRsets of types whose text the core can't read, and the invalid records."""
    wrong: list[Wrong] = []
    ttls: dict[tuple[bytes, int], int] = {}
    rdatas: dict[tuple[bytes, int], dict[bytes, None]] = {}
    for file, line, origin, owner, ttl, word, text in found.foreign:
        fields = Fields(text)
        try:
            rtype, rdata = _rdata(origin, word, fields)
        except (dns.exception.DNSException, ValueError) as error:
            why = f"{reason(error, fields)}; expected {expected(word.upper())}"
            wrong.append((file, line, f"{word}: {why}"))
            continue
        rrset = fold(owner), rtype
        ttls[rrset] = min(ttls.get(rrset, ttl), ttl)
        rdatas.setdefault(rrset, {})[rdata] = None
    rows = [
        (owner, rtype, pack(ttls[owner, rtype], [(1, rdata) for rdata in given]))
        for (owner, rtype), given in rdatas.items()
    ]
    return rows, wrong


def _rdata(origin: bytes, word: str, fields: Fields) -> tuple[int, bytes]:
    rtype = dns.rdatatype.from_text(word)
    base, _ = dns.name.from_wire(origin, 0)
    rdata = dns.rdata.from_text("IN", rtype, fields, origin=base, relativize=False)
    return int(rtype), rdata.to_wire() or b""
