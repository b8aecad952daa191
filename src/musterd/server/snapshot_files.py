"""Snapshots: what each source gave, on disk, so that a restart answers while a source is lost.

One file a source::

    magic 8 | header length u32 | header, JSON | n x (key length u32 | row length u32 | key | row)
    | BLAKE2b 32 of all before

Integers are big-endian; keys and rows are those of ``musterd.catalog.rows`` without what holds for
one run only. Beside them a JSON file has the serials of the zones, which must not fall.
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
from typing import Any, Final

import structlog

from musterd.catalog import Catalog
from musterd.catalog.rows import GENERATION_OCTETS, SOURCE_OCTETS
from musterd.errors import StateError

MAGIC: Final = b"musterd\1"
VERSION: Final = 1
DIGEST: Final = 32
SERIAL_AHEAD: Final = 120
"""What is written while running is above each serial by this: more than can be used up until the
next time, as there is at most one a second."""
_LENGTH = struct.Struct("!I")
_LENGTHS = struct.Struct("!II")
_JOINED = 1000
"""Rows joined before they are written."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Header:
    """What a snapshot is of; ``time``: epoch seconds, when its rows were true."""

    version: int
    source: str
    settings: str
    revision: int
    time: float
    rows: int


class SnapshotFiles:
    """The files in the state directory. What blocks is done in threads."""

    def __init__(self, folder: Path, catalog: Catalog, clock: Callable[[], float]) -> None:
        """In a folder that is there; ``clock`` gives epoch seconds."""
        self.bad_total = 0
        """Files that could not be read or did not match their checksum."""
        self.failed_total = 0
        """Files that could not be written."""
        self._folder = folder
        self._catalog = catalog
        self._clock = clock
        self._serials: dict[str, int] = {}

    async def restore(self, source: str, settings: str) -> bool:
        """Give the catalog the rows that a source had; False if there are none, or not needed.

        settings: a hash of the settings that decide about the rows; others' are ignored.
        """
        content = await asyncio.to_thread(self._read, self._path(source))
        if content is None:
            return False
        header, at = _header(content)
        if header is None or (header.source, header.settings) != (source, settings):
            log.info("snapshot ignored: it is of another version or other settings", source=source)
            return False
        restored = await self._catalog.restore(source, header.time, _rows(content, at))
        if restored:
            log.info("snapshot restored", source=source, time=header.time, rows=header.rows)
        return restored

    async def save(self, settings: Mapping[str, str]) -> None:
        """Write the sources that changed: name -> hash of settings, as in ``restore``."""
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
        """Zone -> the serial below which it must not fall."""
        try:
            found: Any = json.loads(self._serials_path.read_bytes())
            self._serials = {str(zone): int(serial) for zone, serial in found.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError) as error:
            self._bad(self._serials_path, str(error))
        return self._serials

    async def save_serials(self, *, last: bool = False) -> None:
        """Write the serials if one changed; the last time exactly, else some way ahead."""
        now = self._catalog.serials()
        half = SERIAL_AHEAD // 2
        if not last and all(s + half <= self._serials.get(z, 0) for z, s in now.items()):
            return
        ahead = 0 if last else SERIAL_AHEAD
        serials = {**self._serials, **{zone: serial + ahead for zone, serial in now.items()}}
        try:
            content = json.dumps(serials, indent=1).encode()
            await asyncio.to_thread(_write, self._serials_path, [content])
            self._serials = serials
        except OSError as error:
            self._failed(self._serials_path, error)

    @property
    def _serials_path(self) -> Path:
        return self._folder / "serials.json"

    def _path(self, source: str) -> Path:
        return self._folder / f"{source}.snapshot"

    def _read(self, path: Path) -> memoryview | None:
        """The part of a file before its checksum, if that is right."""
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
            self._bad(path, "its checksum does not match")
            return None
        return before

    def _bad(self, path: Path, reason: str) -> None:
        self.bad_total += 1
        log.warning("a file of the state directory is ignored", file=str(path), reason=reason)

    def _failed(self, path: Path, error: OSError) -> None:
        self.failed_total += 1
        reason = error.strerror or str(error)
        log.error("a file of the state directory can't be written", file=str(path), reason=reason)


def open_folder(folder: Path) -> None:
    """Make the state directory if it isn't there. Raises StateError."""
    hint = 'set [state] dir to another directory, or to "" to keep nothing'
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"{folder}: can't be made: {error.strerror}; {hint}") from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StateError(f"{folder}: can't be written to; {hint}")


def _header(content: memoryview) -> tuple[Header | None, int]:
    """The header, None if it is of another version; and where the rows begin."""
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


def _content(header: Header, rows: Mapping[bytes, bytes]) -> Iterator[bytes]:
    front = json.dumps(asdict(header)).encode()
    yield MAGIC + _LENGTH.pack(len(front)) + front
    pairs = iter(rows.items())
    while some := list(islice(pairs, _JOINED)):
        yield b"".join(part for key, row in some for part in _pair(key, row))


def _pair(key: bytes, row: bytes) -> tuple[bytes, bytes, bytes]:
    key, row = key[SOURCE_OCTETS:], row[GENERATION_OCTETS:]
    return _LENGTHS.pack(len(key), len(row)), key, row


def _signed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The parts, and their checksum."""
    digest = hashlib.blake2b(digest_size=DIGEST)
    for part in parts:
        digest.update(part)
        yield part
    yield digest.digest()


def _write(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file whole or not at all: beside its place, then put there."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
