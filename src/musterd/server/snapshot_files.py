"""Snapshot files: the records of each source, for a restart while the source is lost.

One file per source::

    magic 8 | header length u32 | header, JSON | n x (key length u32 | row length u32 | key | row)
    | BLAKE2b 32 of everything before

Integers are big-endian. Keys and rows are those of ``musterd.catalog.rows``, without the fields
that are valid for one run only. A JSON file beside them has the serials of the zones, which must
not decrease, with a checksum.
"""

import asyncio
import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import structlog
from pydantic_core import from_json

from musterd.catalog import Catalog
from musterd.catalog.rows import GENERATION_BYTES, SOURCE_BYTES
from musterd.errors import StateError
from musterd.server.private import warn_unless_private

MAGIC: Final = b"musterd\1"
VERSION: Final = 1
DIGEST: Final = 32
SERIAL_AHEAD: Final = 120
"""Added to each serial that is saved while running: more than can be used until the next save,
because a serial grows at most once a second."""
_MAX_SERIAL: Final = (1 << 63) - 1
_LENGTH = struct.Struct("!I")
_LENGTHS = struct.Struct("!II")
_ROWS_PER_WRITE = 1000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a snapshot. time: epoch seconds, when its rows were valid."""

    version: int
    source: str
    settings: str
    revision: int
    time: float
    rows: int


class SnapshotFiles:
    """The files in the state directory. Blocking calls run in threads."""

    def __init__(self, folder: Path, catalog: Catalog, clock: Callable[[], float]) -> None:
        """Use an existing folder. clock: returns epoch seconds."""
        self.bad_total = 0
        """Files that were unreadable or corrupt."""
        self.failed_total = 0
        """Failed writes."""
        self._folder = folder
        self._catalog = catalog
        self._clock = clock
        self._serials: dict[str, int] = {}

    async def restore(self, source: str, settings: str) -> bool:
        """Restore the rows of a source in the catalog. Return False if there are none, or no need.

        settings: hash of the settings of the source; a snapshot with another hash is ignored.
        """
        content = await asyncio.to_thread(self._read, self._path(source))
        if content is None:
            return False
        try:
            header, at = _header(content)
        except (ValueError, KeyError, TypeError, struct.error) as error:
            self._bad(self._path(source), f"invalid header: {error!r}")
            return False
        if header is None or (header.source, header.settings) != (source, settings):
            log.info("snapshot ignored: other version or settings", source=source)
            return False
        restored = await self._catalog.restore(source, header.time, _rows(content, at))
        if restored:
            log.info("snapshot restored", source=source, time=header.time, rows=header.rows)
        return restored

    async def save(self, settings: Mapping[str, str]) -> None:
        """Save the sources that have changed: name -> hash of the settings, as in ``restore``."""
        for source, digest in settings.items():
            taken = self._catalog.snapshot(source)
            if taken is None:
                continue
            rows, revision = taken
            header = Header(VERSION, source, digest, revision, self._clock(), len(rows))
            path = self._path(source)
            try:
                await asyncio.to_thread(_write, path, _signed(_content(header, rows)))
            except OSError as error:
                self._failed(path, error)
                self._catalog.snapshot_failed(source)

    def read_serials(self) -> dict[str, int]:
        """Return the lower bound of the serial of each zone."""
        path = self._serials_path
        try:
            self._serials = _parse_serials(path.read_bytes())
        except FileNotFoundError:
            pass
        except OSError as error:
            self._bad(path, error.strerror or str(error))
        except ValueError as error:
            self._bad(path, str(error))
        return self._serials

    async def save_serials(self, *, last: bool = False) -> None:
        """Save the serials if needed: exact ones the last time, else some way ahead."""
        now = self._catalog.serials()
        half = SERIAL_AHEAD // 2
        if not last and all(s + half <= self._serials.get(z, 0) for z, s in now.items()):
            return
        ahead = 0 if last else SERIAL_AHEAD
        serials = {**self._serials, **{zone: serial + ahead for zone, serial in now.items()}}
        try:
            await asyncio.to_thread(_write, self._serials_path, [_serials_content(serials)])
            self._serials = serials
        except OSError as error:
            self._failed(self._serials_path, error)

    @property
    def _serials_path(self) -> Path:
        return self._folder / "serials.json"

    def _path(self, source: str) -> Path:
        return self._folder / f"{source}.snapshot"

    def _read(self, path: Path) -> memoryview | None:
        """Return a file without its checksum, or None if it is missing or invalid."""
        try:
            content = memoryview(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            self._bad(path, error.strerror or str(error))
            return None
        before, digest = content[:-DIGEST], content[-DIGEST:]
        right = hashlib.blake2b(before, digest_size=DIGEST).digest()
        if digest != right or before[: len(MAGIC)] != memoryview(MAGIC):
            self._bad(path, "checksum mismatch")
            return None
        return before

    def _bad(self, path: Path, reason: str) -> None:
        self.bad_total += 1
        log.warning("state file ignored", file=str(path), reason=reason)

    def _failed(self, path: Path, error: OSError) -> None:
        self.failed_total += 1
        reason = error.strerror or str(error)
        log.error("state file not written", file=str(path), reason=reason)


def open_folder(folder: Path) -> None:
    """Create the state directory if it does not exist. Raises StateError."""
    hint = 'set [state] dir, or MUSTERD_STATE__DIR, to another directory, or to "" for no files'
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"{folder}: can't be created: {error.strerror}; {hint}") from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StateError(f"{folder}: can't be written to; {hint}")
    warn_unless_private(folder, "state directory")


def _header(content: memoryview) -> tuple[Header | None, int]:
    """Return the header, or None if it has another version; and the offset of the rows."""
    (length,) = _LENGTH.unpack_from(content, len(MAGIC))
    at = len(MAGIC) + _LENGTH.size
    fields = json.loads(bytes(content[at : at + length]))
    return (Header(**fields) if fields["version"] == VERSION else None), at + length


def _rows(content: memoryview, at: int) -> Iterator[tuple[bytes, bytes]]:
    while at < len(content):
        key, row = _LENGTHS.unpack_from(content, at)
        middle = at + _LENGTHS.size + key
        yield bytes(content[at + _LENGTHS.size : middle]), bytes(content[middle : middle + row])
        at = middle + row


def _serials_content(serials: Mapping[str, int]) -> bytes:
    return json.dumps({"serials": serials, "checksum": _serials_sum(serials)}, indent=1).encode()


def _serials_sum(serials: Mapping[str, int]) -> str:
    text = json.dumps(serials, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=DIGEST).hexdigest()


def _parse_serials(content: bytes) -> dict[str, int]:
    """Return the serials in a file. Raises ValueError."""
    found = from_json(content)
    if not isinstance(found, dict):
        raise ValueError("expected an object")  # noqa: TRY004 - the content is wrong
    checksum = found.get("checksum")
    # Until version 0.1 the file was the inner object, without a checksum.
    serials = found if checksum is None else found.get("serials")
    if not isinstance(serials, dict) or not all(map(_is_serial, serials.values())):
        raise ValueError("expected a serial for each zone")
    if checksum is not None and checksum != _serials_sum(serials):
        raise ValueError("checksum mismatch")
    return serials


def _is_serial(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MAX_SERIAL


def _content(header: Header, rows: Mapping[bytes, bytes]) -> Iterator[bytes]:
    front = json.dumps(asdict(header)).encode()
    yield MAGIC + _LENGTH.pack(len(front)) + front
    pairs = iter(rows.items())
    while batch := list(islice(pairs, _ROWS_PER_WRITE)):
        yield b"".join(part for key, row in batch for part in _pair(key, row))


def _pair(key: bytes, row: bytes) -> tuple[bytes, bytes, bytes]:
    key, row = key[SOURCE_BYTES:], row[GENERATION_BYTES:]
    return _LENGTHS.pack(len(key), len(row)), key, row


def _signed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the parts, then their checksum."""
    digest = hashlib.blake2b(digest_size=DIGEST)
    for part in parts:
        digest.update(part)
        yield part
    yield digest.digest()


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner may read."""
    file = os.open(path, flags | os.O_CLOEXEC, 0o600)
    os.fchmod(file, 0o600)
    return file


def _write(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file atomically: beside its path, then rename it."""
    beside = path.with_name(path.name + ".new")
    with open(beside, "wb", opener=_private) as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
