"""Writes to the database, each at its own revision; runs in the writer's thread."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from musterd.kv.errors import LeaseNotFound
from musterd.kv.values import (
    NO_LEASE,
    Compare,
    DeleteOp,
    Entry,
    Event,
    EventBatch,
    EventKind,
    Is,
    Operation,
    PutOp,
    Result,
    prefix_end,
)
from musterd.store.embedded.options import EmbeddedOptions

# The columns of kv are the fields of an Entry.
_GET = "SELECT * FROM kv WHERE key = ?"
_SINCE = "SELECT * FROM kv WHERE key >= ? AND key < ? AND mod_rev > ? ORDER BY key LIMIT 1"
_SINCE_UPWARD = "SELECT * FROM kv WHERE key >= ? AND mod_rev > ? ORDER BY key LIMIT 1"
_OF_LEASE = "SELECT * FROM kv WHERE lease = ? ORDER BY key"
_PUT = (
    "INSERT INTO kv VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
    " value = excluded.value, create_rev = excluded.create_rev, mod_rev = excluded.mod_rev,"
    " version = excluded.version, lease = excluded.lease"
)
_LOG = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_MIN_PRUNE: Final = 100
"""Events to prune at once, so that pruning is rare."""
_MAX_PRUNE: Final = 5000
"""Events to prune at once, so that a store with lowered limits still answers meanwhile."""

_HOLDS: Final[dict[Is, Callable[[Entry | None, int], bool]]] = {
    Is.ABSENT: lambda entry, _: entry is None,
    Is.PRESENT: lambda entry, _: entry is not None,
    Is.MODIFIED_AT: lambda entry, at: entry is not None and entry.mod_revision == at,
    Is.CREATED_AT: lambda entry, at: entry is not None and entry.create_revision == at,
    Is.NONE_SINCE: lambda entry, _: entry is None,
}

_Row = tuple[object, ...]


class ChangeLog:
    """The database between the begin and the commit of a group of transactions.

    A method that raises a StoreError has changed nothing, because everything is checked before the
    first write. After any other error the whole group must be rolled back.
    """

    def __init__(self, db: sqlite3.Connection, options: EmbeddedOptions) -> None:
        """Create it on a writable connection that nobody else uses."""
        self._db = db
        self._options = options
        self.revision: int
        self.compacted: int
        self._log: list[_Row] = []
        self._pruned = 0
        self._time = 0.0
        ((self.revision, self.compacted),) = db.execute("SELECT revision, compacted FROM meta")
        self._kept = self.revision, self.compacted
        ((self._events,),) = db.execute("SELECT count(*) FROM event")
        self.batches: list[EventBatch] = []
        """Changes of the group so far."""

    def begin(self, time: float) -> None:
        """Start a group. time: of its changes, seconds since 1970."""
        self._db.execute("BEGIN IMMEDIATE")
        self._time = time
        self._log = []
        self._pruned = 0
        self.batches = []

    def commit(self) -> None:
        """Commit the group to disk."""
        self._db.executemany(_LOG, self._log)
        if self._log:
            self._prune()
        if self._kept != (self.revision, self.compacted):
            self._db.execute(
                "UPDATE meta SET revision = ?, compacted = ?", (self.revision, self.compacted)
            )
        self._db.execute("COMMIT")
        self._kept = self.revision, self.compacted
        self._events += len(self._log) - self._pruned

    def rollback(self) -> None:
        """Roll the group back."""
        self.revision, self.compacted = self._kept
        self.batches = []
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def transaction(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> Result:
        """Same as `Store.transaction`."""
        found = tuple(map(self._found, compares))
        known: dict[bytes, Entry | None] = {}
        for compare, entry in zip(compares, found, strict=True):
            if not _HOLDS[compare.test](entry, compare.revision):
                return Result(False, self.revision, found)
            if compare.test is not Is.NONE_SINCE:
                known[compare.key] = entry
        self._check_leases(operations)
        before = tuple(
            known[step.key] if step.key in known else self._get(step.key) for step in operations
        )
        steps = zip(operations, before, strict=True)
        self._apply([(step, entry) for step, entry in steps if entry or isinstance(step, PutOp)])
        return Result(True, self.revision, before)

    def grant(self, lease: int, ttl: int) -> None:
        """Insert a new lease."""
        self._db.execute("INSERT INTO lease VALUES (?, ?)", (lease, ttl))

    def end(self, leases: Iterable[int]) -> int:
        """End leases, each in its own transaction, and return the last revision."""
        for lease in leases:
            rows = self._db.execute(_OF_LEASE, (lease,)).fetchall()
            entries = [Entry._make(row) for row in rows]
            self._apply([(DeleteOp(entry.key), entry) for entry in entries], EventKind.EXPIRED)
            self._db.execute("DELETE FROM lease WHERE id = ?", (lease,))
        return self.revision

    def compact(self, revision: int) -> None:
        """Remove all events up to a revision (inclusive)."""
        pruned = self._db.execute("DELETE FROM event WHERE rev <= ?", (revision,))
        self._pruned += pruned.rowcount
        self.compacted = max(self.compacted, min(revision, self.revision))

    def _found(self, compare: Compare) -> Entry | None:
        if compare.test is not Is.NONE_SINCE:
            return self._get(compare.key)
        key, at, end = compare.key, compare.revision, prefix_end(compare.key)
        asked = (_SINCE_UPWARD, (key, at)) if end is None else (_SINCE, (key, end, at))
        row = self._db.execute(*asked).fetchone()
        return Entry._make(row) if row else None

    def _get(self, key: bytes) -> Entry | None:
        row = self._db.execute(_GET, (key,)).fetchone()
        return Entry._make(row) if row else None

    def _check_leases(self, operations: Sequence[Operation]) -> None:
        for lease in {step.lease for step in operations if isinstance(step, PutOp)} - {NO_LEASE}:
            if not self._db.execute("SELECT 1 FROM lease WHERE id = ?", (lease,)).fetchone():
                raise LeaseNotFound(lease)

    def _apply(
        self,
        steps: Sequence[tuple[Operation, Entry | None]],
        deletion: EventKind = EventKind.DELETED,
    ) -> None:
        """Apply operations at a new revision; each comes with the entry before it."""
        if not steps:
            return
        self.revision += 1
        events = tuple(self._event(step, previous, deletion) for step, previous in steps)
        self._db.executemany(_PUT, [event.entry for event in events if event.entry])
        self._db.executemany(
            "DELETE FROM kv WHERE key = ?", [(event.key,) for event in events if not event.entry]
        )
        self._log += (
            (self.revision, place, self._time, *_logged(event))
            for place, event in enumerate(events)
        )
        self.batches.append(EventBatch(self.revision, self._time, events))

    def _event(self, step: Operation, previous: Entry | None, deletion: EventKind) -> Event:
        if isinstance(step, DeleteOp):
            return Event(deletion, step.key, None, previous)
        created, version = self.revision, 1
        if previous:
            created, version = previous.create_revision, previous.version + 1
        entry = Entry(step.key, step.value, created, self.revision, version, step.lease)
        return Event(EventKind.PUT, step.key, entry, previous)

    def _prune(self) -> None:
        """Remove the oldest events beyond the limits."""
        last = self._prune_revision()
        if last is not None:
            self.compact(last)

    def _prune_revision(self) -> int | None:
        """Return the last revision to remove now, if any."""
        surplus = self._events + len(self._log) - self._pruned - self._options.history
        if surplus >= min(_MIN_PRUNE, self._options.history):
            ((last,),) = self._db.execute(
                "SELECT rev FROM event ORDER BY rev, seq LIMIT 1 OFFSET ?",
                (min(surplus, _MAX_PRUNE) - 1,),
            )
            return int(last)
        oldest = self._db.execute("SELECT time FROM event ORDER BY rev, seq LIMIT 1").fetchone()
        horizon = self._time - self._options.history_age
        if oldest is None or oldest[0] >= horizon:
            return None
        rows = self._db.execute(
            "SELECT rev FROM (SELECT rev, time FROM event ORDER BY rev, seq LIMIT ?)"
            " WHERE time < ? ORDER BY rev DESC LIMIT 1",
            (_MAX_PRUNE, horizon),
        )
        return int(rows.fetchone()[0])


def read_leases(db: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """Yield all leases with their TTLs in seconds."""
    yield from db.execute("SELECT id, ttl FROM lease")


def _logged(event: Event) -> _Row:
    """Return the log's columns of an event, from its kind on."""
    entry, previous = event.entry, event.previous
    now: _Row = ()
    if entry:
        now = entry.value, entry.create_revision, entry.version, entry.lease
    elif previous:
        now = None, previous.create_revision, previous.version + 1, NO_LEASE
    before = (previous.value, previous.mod_revision, previous.lease) if previous else (None, 0, 0)
    return (event.kind.value, event.key, *now, *before)
