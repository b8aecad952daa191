"""Checksums of the rows of the database.

SQLite has no checksum for a page of the database file. So each row has a CRC-32 over its columns,
verified wherever the row is read; and the row of ``meta`` has the sum of all *marks* of keys and
leases, so that missing rows are noticed. A mark is a checksum with one added above its 32 bits.
"""

import sqlite3
import struct
from typing import Any, Final, NamedTuple
from zlib import crc32

from musterd.kv.values import Entry, Event, EventKind
from musterd.store.embedded.sequence import split

MARK: Final = 1 << 32
"""Added to the checksum of a row that is counted in the sum of ``meta``."""

_ENTRY = struct.Struct("!Hqqqq").pack
_EVENT = struct.Struct("!qdqLL").pack
_META = struct.Struct("!qqqq").pack
_LEASE = struct.Struct("!qq").pack

Row = tuple[Any, ...]


class DamagedRow(sqlite3.DatabaseError):
    """A row whose checksum is wrong."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    sqlite_errorname = "SQLITE_CORRUPT"


class Meta(NamedTuple):
    """State of the whole store.

    commits: number of commits so far; revision: of the last one that changed a key; compacted: the
    last revision removed from the log; marks: sum of the marks of all keys and leases.
    """

    commits: int
    revision: int
    compacted: int
    marks: int


def entry_sum(entry: Row) -> int:
    """Return the checksum of an entry or its columns."""
    key, value, created, modified, version, lease = entry
    numbers = _ENTRY(len(key), created, modified, version, lease)
    return crc32(b"".join((numbers, key, value)))


def lease_sum(lease: int, ttl: int) -> int:
    """Return the checksum of a lease's row."""
    return crc32(_LEASE(lease, ttl))


def meta_sum(meta: Meta) -> int:
    """Return the checksum of the row of ``meta``."""
    return crc32(_META(*meta))


def event_sum(id_: int, time: float, kind: int, entry: int, previous: int) -> int:
    """Return the checksum of an event's row.

    entry, previous: checksums of the states after and before the event, 0 for absent.
    """
    return crc32(_EVENT(id_, time, kind, entry, previous))


def verify_entry(row: Row) -> None:
    """Raise DamagedRow unless a key's row has the checksum at its end."""
    key, value, created, modified, version, lease, checksum = row
    try:
        numbers = _ENTRY(len(key), created, modified, version, lease)
        intact = crc32(b"".join((numbers, key, value))) == checksum
    except (TypeError, struct.error):
        intact = False
    if not intact:
        raise DamagedRow(f"the record of the key {key!r:.200} has changed on disk")


def read_entry(row: Row) -> Entry:
    """Return the entry of a key's row. Raises DamagedRow."""
    verify_entry(row)
    return Entry._make(row[:6])


def read_lease(row: Row) -> tuple[int, int, int]:
    """Return ID, TTL and checksum of a lease's row. Raises DamagedRow."""
    lease, ttl, checksum = row
    try:
        intact = lease_sum(lease, ttl) == checksum
    except (TypeError, struct.error):
        intact = False
    if not intact:
        raise DamagedRow("a lease has changed on disk")
    return lease, ttl, checksum


def read_meta(db: sqlite3.Connection) -> Meta:
    """Return the state of a store. Raises DamagedRow and other errors of SQLite."""
    rows = db.execute("SELECT * FROM meta").fetchall()
    try:
        ((*fields, checksum),) = rows
        meta = Meta._make(fields)
        intact = meta_sum(meta) == checksum
    except (TypeError, ValueError, struct.error):
        intact = False
    if not intact:
        raise DamagedRow("the revision has changed on disk")
    return meta


def read_event(row: Row) -> Event:
    """Return the event of a row of the log. Raises DamagedRow."""
    id_, time, number, key, value, created, version, lease, *before, checksum = row
    prev_value, prev_revision, prev_lease = before
    entry = previous = None
    now = then = 0
    try:
        revision, _ = split(id_)
        if number == EventKind.PUT.value:
            entry = Entry(key, value, created, revision, version, lease)
            now = entry_sum(entry)
        if prev_revision:
            previous = Entry(key, prev_value, created, prev_revision, version - 1, prev_lease)
            then = entry_sum(previous)
        intact = event_sum(id_, time, number, now, then) == checksum
    except (TypeError, struct.error):
        intact = False
    if not intact:
        raise DamagedRow(f"a change in the history of the key {key!r:.200} has changed on disk")
    return Event(EventKind(number), key, entry, previous)
