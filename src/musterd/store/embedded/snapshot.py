"""Snapshot of the store at one revision, read in slices that don't block the loop.

Each slice is its own query within one read transaction: no query stays open when a reader gives
up, and the transaction can be ended at any time.
"""

import asyncio
import itertools
import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from musterd.kv.errors import Compacted
from musterd.kv.values import Entry, EventBatch, Page, Past, prefix_end
from musterd.store.embedded.checksums import DamagedRow, Row, read_entry, read_event, read_meta
from musterd.store.embedded.layout import EMPTY
from musterd.store.embedded.sequence import event_id, split

log = structlog.get_logger()

_SLICE: Final = 0.002
"""Longest time to block the loop, seconds."""
_ROWS: Final = 2000
"""Maximum rows of a slice."""
_CHECK_ROWS: Final = 16
"""Rows, each of up to 64 KiB, between two checks of the clock."""
_PAGE_BYTES: Final = 1_048_576
"""Bytes of values that fill a page."""

_RANGE = "SELECT * FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
_RANGE_UPWARD = "SELECT * FROM kv WHERE key >= ? ORDER BY key LIMIT ?"
_KEYS = "SELECT key FROM kv WHERE lease = ? AND lease <> 0 AND key > ? ORDER BY key LIMIT ?"
_EVENTS = "SELECT * FROM event WHERE id > ? AND id < ? ORDER BY id LIMIT ?"
_EVENT = "SELECT * FROM event WHERE id >= ? AND id < ? ORDER BY id"
_CHANGED = (
    "SELECT id FROM event WHERE id >= ? AND id < ? AND key >= ? AND key < ?"
    " ORDER BY id DESC LIMIT ?"
)
_CHANGED_UPWARD = (
    "SELECT id FROM event WHERE id >= ? AND id < ? AND key >= ? ORDER BY id DESC LIMIT ?"
)
_COUNT = "SELECT count(DISTINCT id / ?) FROM event WHERE id >= ? AND id < ?"
_FIRST: Final = EMPTY.revision + 1
"""Revision of the first change of a store."""
_WINDOW: Final = 2000
"""Revisions searched for changes in one query."""


class Snapshot:
    """One read transaction; must be ended with ``end``."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Begin a transaction on a connection that nobody else uses meanwhile."""
        self._db: sqlite3.Connection | None = db
        db.execute("BEGIN")
        _, self.revision, self.compacted, _ = read_meta(db)

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
        size, dry = 0, False
        while not dry:
            # Before each slice, so that reading page after page lets other tasks run too.
            await asyncio.sleep(0)
            wanted = limit + 1 - len(entries)
            if upper is None:
                rows, dry = self._slice(_RANGE_UPWARD, (lower,), wanted)
            else:
                rows, dry = self._slice(_RANGE, (lower, upper), wanted)
            for row in rows:
                size += len(row[1])
                # A row that doesn't fit shows that there are more.
                if len(entries) == limit or (entries and size > _PAGE_BYTES):
                    return Page(tuple(entries), self.revision, True)
                entries.append(read_entry(row))
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
        try:
            return await self._history(first, last, prefix)
        except DamagedRow as error:
            log.warning("history is damaged, watches continue with a list", reason=str(error))
            raise Compacted(first, self.revision + 1) from error

    async def _history(self, first: int, last: int, prefix: bytes) -> tuple[list[EventBatch], int]:
        found: list[Row] = []
        size, dry, revision = 0, False, max(first, _FIRST) - 1
        at, end = event_id(first) - 1, event_id(last + 1)
        while not dry:
            await asyncio.sleep(0)
            rows, dry = self._slice(_EVENTS, (at, end), _ROWS)
            for row in rows:
                at = row[0]
                if split(at)[0] != revision:
                    if size > _PAGE_BYTES:
                        return _batches(found), revision
                    revision = _following(revision, at)
                # Verified before the key is compared, as a changed key would not match.
                event = read_event(row)
                if event.key.startswith(prefix):
                    found.append(row)
                    size += len(row[4] or b"") + len(row[8] or b"") + len(event.key)
        _following(revision, end)
        return _batches(found), last

    async def past(self, prefix: bytes, before: int | None, limit: int) -> Past:
        """Same as `Store.history`. Raises Compacted if the snapshot was ended."""
        end = self.revision + 1 if before is None else min(before, self.revision + 1)
        batches: list[EventBatch] = []
        size = 0
        while end > self.compacted + 1:
            start = max(end - _WINDOW, self.compacted + 1)
            for revision, changes in self._changed(prefix, start, end, limit):
                ids = event_id(revision), event_id(revision + 1)
                found = _batches(self._open().execute(_EVENT, ids))
                if not found:
                    raise _gap()
                batches += found
                limit -= changes
                befores = (event.previous for event in batches[-1].events)
                size += sum(len(entry.value) for entry in befores if entry)
                if limit <= 0 or size > _PAGE_BYTES:
                    return Past(tuple(batches), revision > self.compacted + 1)
            end = start
            await asyncio.sleep(0)
        return Past(tuple(batches), False)

    def _changed(self, prefix: bytes, start: int, end: int, limit: int) -> list[tuple[int, int]]:
        """Return the revisions that changed keys with a prefix, with the number of changes."""
        upper, ids = prefix_end(prefix), (event_id(start), event_id(end))
        ((count,),) = self._open().execute(_COUNT, (event_id(1), *ids))
        if count != end - max(start, _FIRST):
            raise _gap()
        if upper is None:
            found = self._open().execute(_CHANGED_UPWARD, (*ids, prefix, limit))
        else:
            found = self._open().execute(_CHANGED, (*ids, prefix, upper, limit))
        revisions = (split(id_)[0] for (id_,) in found)
        return [(at, len(list(group))) for at, group in itertools.groupby(revisions)]

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            raise Compacted(self.revision, self.compacted + 1)
        return self._db

    def _slice(self, query: str, args: Row, limit: int) -> tuple[list[Row], bool]:
        """Return as many rows of a query as time allows, and whether they are the last."""
        if self._db is None:
            raise Compacted(self.revision, self.compacted + 1)
        until, limit = time.monotonic() + _SLICE, min(limit, _ROWS)
        cursor = self._db.execute(query, (*args, limit))
        rows: list[Row] = []
        for row in cursor:
            rows.append(row)
            if not len(rows) % _CHECK_ROWS and time.monotonic() > until:
                cursor.close()
                return rows, False
        return rows, len(rows) < limit


def _following(revision: int, id_: int) -> int:
    """Return the revision of an event, which must follow another. Raises DamagedRow."""
    found, _ = split(id_)
    if found != revision + 1:
        raise _gap()
    return found


def _gap() -> DamagedRow:
    return DamagedRow("changes are missing in the history")


def _batches(rows: Iterable[Row]) -> list[EventBatch]:
    """Return the changes of rows of the log. Raises DamagedRow."""
    groups = itertools.groupby(rows, lambda row: split(row[0])[0])
    return [_batch(revision, list(group)) for revision, group in groups]


def _batch(revision: int, rows: Sequence[Row]) -> EventBatch:
    return EventBatch(revision, rows[0][1], tuple(map(read_event, rows)))
