"""Snapshot of the store at one revision, read in slices that don't block the loop.

Each slice is its own query within one read transaction: no query stays open when a reader gives
up, and the transaction can be ended at any time.
"""

import asyncio
import itertools
import sqlite3
import time
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Final

from musterd.kv.errors import Compacted
from musterd.kv.values import Entry, Event, EventBatch, EventKind, Page, Past, prefix_end

_SLICE: Final = 0.002
"""Longest time to block the loop, seconds."""
_ROWS: Final = 2000
"""Most rows of a slice."""
_CHECK_ROWS: Final = 16
"""Rows, each of up to 64 KiB, between two checks of the clock."""
_OCTETS: Final = 1_048_576
"""Bytes of values that fill a page."""

_RANGE = "SELECT * FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
_RANGE_UPWARD = "SELECT * FROM kv WHERE key >= ? ORDER BY key LIMIT ?"
_KEYS = "SELECT key FROM kv WHERE lease = ? AND lease <> 0 AND key > ? ORDER BY key LIMIT ?"
_EVENTS = (
    "SELECT rev, time, kind, key, value, create_rev, version, lease,"
    " prev_value, prev_mod_rev, prev_lease, seq FROM event"
    " WHERE (rev, seq) > (?, ?) AND rev <= ? ORDER BY rev, seq LIMIT ?"
)

_EVENT = (
    "SELECT rev, time, kind, key, value, create_rev, version, lease,"
    " prev_value, prev_mod_rev, prev_lease, seq FROM event WHERE rev = ? ORDER BY seq"
)
_CHANGED = (
    "SELECT rev, count(*) FROM event WHERE rev >= ? AND rev < ? AND key >= ? AND key < ?"
    " GROUP BY rev ORDER BY rev DESC LIMIT ?"
)
_CHANGED_UPWARD = (
    "SELECT rev, count(*) FROM event WHERE rev >= ? AND rev < ? AND key >= ?"
    " GROUP BY rev ORDER BY rev DESC LIMIT ?"
)
_WINDOW: Final = 2000
"""Revisions searched for changes in one query."""

_Row = tuple[Any, ...]


class Snapshot:
    """One read transaction; must be ended with ``end``."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Begin a transaction on a connection that nobody else uses meanwhile."""
        self._db: sqlite3.Connection | None = db
        self.revision: int
        self.compacted: int
        db.execute("BEGIN")
        ((self.revision, self.compacted),) = db.execute("SELECT revision, compacted FROM meta")

    def end(self) -> sqlite3.Connection | None:
        """End the transaction and return the connection, None if already ended."""
        db, self._db = self._db, None
        if db:
            db.execute("ROLLBACK")
        return db

    async def page(self, prefix: bytes, after: bytes, limit: int) -> Page:
        """Same as `Store.range`. Raises Compacted if the snapshot was ended."""
        lower = max(prefix, after + b"\0") if after else prefix
        upper = prefix_end(prefix)
        entries: list[Entry] = []
        octets, dry = 0, False
        while not dry:
            # Before each slice, so that reading page after page lets other tasks run too.
            await asyncio.sleep(0)
            wanted = limit + 1 - len(entries)
            if upper is None:
                rows, dry = self._slice(_RANGE_UPWARD, (lower,), wanted)
            else:
                rows, dry = self._slice(_RANGE, (lower, upper), wanted)
            for row in rows:
                octets += len(row[1])
                # A row that doesn't fit shows that there are more.
                if len(entries) == limit or (entries and octets > _OCTETS):
                    return Page(tuple(entries), self.revision, True)
                entries.append(Entry._make(row))
            if not dry:
                lower = entries[-1].key + b"\0"
        return Page(tuple(entries), self.revision, False)

    async def keys(self, lease: int) -> tuple[bytes, ...]:
        """Return the keys attached to a lease."""
        keys, dry = [b""], False
        while not dry:
            await asyncio.sleep(0)
            rows, dry = self._slice(_KEYS, (lease, keys[-1]), _ROWS)
            keys += (key for (key,) in rows)
        return tuple(keys[1:])

    async def history(self, first: int, last: int, prefix: bytes) -> tuple[list[EventBatch], int]:
        """Return changes of keys with a prefix between two revisions, at most a page.

        The second value is the revision up to which they are complete. Raises Compacted.
        """
        if first <= self.compacted:
            raise Compacted(first, self.compacted + 1)
        found: list[_Row] = []
        octets, dry, at = 0, False, (first, -1)
        while not dry:
            await asyncio.sleep(0)
            rows, dry = self._slice(_EVENTS, (*at, last), _ROWS)
            for row in rows:
                if octets > _OCTETS and row[0] != at[0]:
                    return _batches(found), at[0]
                at = row[0], row[-1]
                if row[3].startswith(prefix):
                    found.append(row)
                    octets += len(row[4] or b"") + len(row[8] or b"") + len(row[3])
        return _batches(found), last

    async def past(self, prefix: bytes, before: int | None, limit: int) -> Past:
        """Same as `Store.history`. Raises Compacted if the snapshot was ended."""
        end = self.revision + 1 if before is None else min(before, self.revision + 1)
        batches: list[EventBatch] = []
        octets = 0
        while end > self.compacted + 1:
            start = max(end - _WINDOW, self.compacted + 1)
            for revision, changes in self._changed(prefix, start, end, limit):
                batches += _batches(self._open().execute(_EVENT, (revision,)))
                limit -= changes
                befores = (event.previous for event in batches[-1].events)
                octets += sum(len(entry.value) for entry in befores if entry)
                if limit <= 0 or octets > _OCTETS:
                    return Past(tuple(batches), revision > self.compacted + 1)
            end = start
            await asyncio.sleep(0)
        return Past(tuple(batches), False)

    def _changed(self, prefix: bytes, start: int, end: int, limit: int) -> list[tuple[int, int]]:
        """Return the revisions that changed keys with a prefix, with the number of changes."""
        upper = prefix_end(prefix)
        if upper is None:
            found = self._open().execute(_CHANGED_UPWARD, (start, end, prefix, limit))
        else:
            found = self._open().execute(_CHANGED, (start, end, prefix, upper, limit))
        return found.fetchall()

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            raise Compacted(self.revision, self.compacted + 1)
        return self._db

    def _slice(self, query: str, args: _Row, limit: int) -> tuple[list[_Row], bool]:
        """Return rows of a query, as many as time allows, and whether these are the last."""
        if self._db is None:
            raise Compacted(self.revision, self.compacted + 1)
        until, limit = time.monotonic() + _SLICE, min(limit, _ROWS)
        cursor = self._db.execute(query, (*args, limit))
        rows: list[_Row] = []
        for row in cursor:
            rows.append(row)
            if not len(rows) % _CHECK_ROWS and time.monotonic() > until:
                cursor.close()
                return rows, False
        return rows, len(rows) < limit


def _batches(rows: Iterable[_Row]) -> list[EventBatch]:
    return [
        EventBatch(revision, time, tuple(map(_event, group)))
        for (revision, time), group in itertools.groupby(rows, itemgetter(0, 1))
    ]


def _event(row: _Row) -> Event:
    revision, _, number, key, value, created, version, lease, *before, _ = row
    prev_value, prev_revision, prev_lease = before
    kind, entry, previous = EventKind(number), None, None
    if kind is EventKind.PUT:
        entry = Entry(key, value, created, revision, version, lease)
    if prev_revision:
        previous = Entry(key, prev_value, created, prev_revision, version - 1, prev_lease)
    return Event(kind, key, entry, previous)
