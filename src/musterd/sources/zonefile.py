"""A source that reads a zone file (RFC 1035 section 5), again each time it changes.

The core reads it in bulk, in a thread and without the GIL. An invalid record is reported as a
``Fault`` with its file and line; the rest is served. A file that can't be read, or has no valid
record, is reported as ``Lost``: the known records stay.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype

from musterd._core import ZoneFile
from musterd.backoff import Backoff
from musterd.file_watch import FileWatch, Looks, WatchedFiles, look
from musterd.rr.names import fold
from musterd.rr.rrset import pack, soa_serial
from musterd.rr.types import SOA
from musterd.sources.changes import Begin, Change, Fault, Lost, PutMany, Synced

CHUNK: Final = 1000
"""Rows in each change; they are freed after it."""
SETTLE: Final = 0.05
"""Seconds for which a changed file must stay the same, so that no partial write is read."""
MAX_SETTLE_LOOKS: Final = 100
"""Maximum looks at a file that does not settle."""
RETRY: Final = Backoff(1.0, 30.0)
"""Delays before a file that can't be read is tried again."""

Row = tuple[bytes, int, bytes]
"""Owner, type, packed RRset."""
Wrong = tuple[str, int, str]
"""File, line and reason of an invalid record."""
Reader = Callable[[str, bytes, int], ZoneFile]
"""Signature of ``musterd._core.read_zone``."""


@dataclass(slots=True)
class _List:
    """The result of reading the file; revision: the serial of its SOA, else its time."""

    rows: list[Row]
    faults: list[Fault]
    files: list[str]
    revision: int
    time: float


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
        files, lost, retry = [self.path], "", RETRY.start()
        try:
            seen = await asyncio.to_thread(look, files)
            while True:
                await watch.follow(files)
                found = await asyncio.to_thread(self._list, seen)
                if isinstance(found, _List):
                    for change in _changes(found):
                        yield change
                    files, lost = found.files, ""
                    retry.reset()
                    await watch.follow(files)
                    seen = await self._change(watch, files, seen)
                    continue
                for change in found if found[-1].reason != lost else ():
                    yield change
                lost = found[-1].reason
                await watch.changed(retry.next())
                seen = await _settled(files)
        finally:
            watch.close()

    async def _change(self, watch: WatchedFiles, files: list[str], seen: Looks) -> Looks:
        """Wait until a file differs from what was seen; return the new state of all files."""
        # An included file became known only after the look: it counts as changed.
        seen = {file: seen.get(file) for file in files}
        while await asyncio.to_thread(look, files) == seen:
            await watch.changed()
        return await _settled(files)

    def _list(self, seen: Looks) -> _List | list[Fault | Lost]:
        """Read the file, in a thread. If it can't be used, return faults that end in ``Lost``."""
        try:
            found = self.read(self.path, self.origin, self.ttl)
        except OSError as error:
            return [Lost(f"{self.path}: can't be read: {error.strerror or error}")]
        foreign, wrong = foreign_rrsets(found)
        problems = [*found.problems, *wrong]
        faults = [Fault(f"{file}:{line}", reason) for file, line, reason in problems]
        rows = found.rrsets
        rows += foreign
        if not rows and faults:
            first = f"{faults[0].where}: {faults[0].reason}"
            return [*faults, Lost(f"{self.path}: nothing in it can be served: {first}")]
        times = [state[3] for state in seen.values() if state]
        time = max(times, default=0) / 1e9
        serial = self._serial(rows)
        return _List(rows, faults, found.files, int(time) if serial is None else serial, time)

    def _serial(self, rows: Iterable[Row]) -> int | None:
        apex = fold(self.origin)
        for owner, rtype, packed in rows:
            if rtype == SOA and fold(owner) == apex:
                return soa_serial(packed)
        return None


async def _settled(files: list[str]) -> Looks:
    """Return the state of the files once it stays the same."""
    seen = await asyncio.to_thread(look, files)
    for _ in range(MAX_SETTLE_LOOKS):
        await asyncio.sleep(SETTLE)
        last, seen = seen, await asyncio.to_thread(look, files)
        if last == seen:
            break
    return seen


def _changes(found: _List) -> Iterator[Change]:
    """Yield the full list; its rows are freed on the way."""
    yield Begin()
    yield from found.faults
    while found.rows:
        rows = found.rows[-CHUNK:]
        del found.rows[-CHUNK:]
        yield PutMany(found.revision, found.time, rows)
    yield Synced(found.revision)


def foreign_rrsets(found: ZoneFile) -> tuple[list[Row], list[Wrong]]:
    """Return the RRsets of types whose text the core can't read, and the invalid records."""
    wrong: list[Wrong] = []
    ttls: dict[tuple[bytes, int], int] = {}
    rdatas: dict[tuple[bytes, int], dict[bytes, None]] = {}
    for file, line, origin, owner, ttl, word, text in found.foreign:
        try:
            rtype, rdata = _rdata(origin, word, text)
        except (dns.exception.DNSException, ValueError) as error:
            reason = str(error) or type(error).__name__
            wrong.append((file, line, f"{word}: {reason}"))
            continue
        rrset = fold(owner), rtype
        ttls[rrset] = min(ttls.get(rrset, ttl), ttl)
        rdatas.setdefault(rrset, {})[rdata] = None
    rows = [
        (owner, rtype, pack(ttls[owner, rtype], [(1, rdata) for rdata in given]))
        for (owner, rtype), given in rdatas.items()
    ]
    return rows, wrong


def _rdata(origin: bytes, word: str, text: str) -> tuple[int, bytes]:
    rtype = dns.rdatatype.from_text(word)
    base, _ = dns.name.from_wire(origin, 0)
    rdata = dns.rdata.from_text("IN", rtype, text, origin=base, relativize=False)
    return int(rtype), rdata.to_wire() or b""
