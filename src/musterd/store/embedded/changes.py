"""Writes to the database, each at its own revision; runs in the writer's thread."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
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
    leases_of,
    prefix_end,
)
from musterd.store.embedded.checksums import (
    MARK,
    DamagedRow,
    Meta,
    Row,
    entry_sum,
    event_sum,
    lease_sum,
    meta_sum,
    read_entry,
    read_lease,
    read_meta,
)
from musterd.store.embedded.layout import INSERT_EVENT
from musterd.store.embedded.options import EmbeddedOptions
from musterd.store.embedded.sequence import event_id, split

# The columns of kv are the fields of an Entry, and their checksum.
_GET = "SELECT * FROM kv WHERE key = ?"
_SINCE = "SELECT * FROM kv WHERE key >= ? AND key < ? AND mod_rev > ? ORDER BY key LIMIT 1"
_SINCE_UPWARD = "SELECT * FROM kv WHERE key >= ? AND mod_rev > ? ORDER BY key LIMIT 1"
_OF_LEASE = "SELECT * FROM kv WHERE lease = ? ORDER BY key"
_PUT = (
    "INSERT INTO kv VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
    " value = excluded.value, create_rev = excluded.create_rev, mod_rev = excluded.mod_rev,"
    " version = excluded.version, lease = excluded.lease, checksum = excluded.checksum"
)
_META = "UPDATE meta SET commits = ?, revision = ?, compacted = ?, marks = ?, checksum = ?"
_MIN_PRUNE: Final = 100
"""Events to prune in one step, so that pruning is rare."""
_MAX_PRUNE: Final = 5000
"""Events to prune at once, so that a store with lowered limits still answers meanwhile."""

_HOLDS: Final[dict[Is, Callable[[Entry | None, int], bool]]] = {
    Is.ABSENT: lambda entry, _: entry is None,
    Is.PRESENT: lambda entry, _: entry is not None,
    Is.MODIFIED_AT: lambda entry, at: entry is not None and entry.mod_revision == at,
    Is.CREATED_AT: lambda entry, at: entry is not None and entry.create_revision == at,
    Is.NONE_SINCE: lambda entry, _: entry is None,
}


class ChangeLog:
    """The database between the begin and the commit of a group of transactions.

    A method that raises a StoreError has changed nothing, because everything is checked before the
    first write. After any other error the whole group must be rolled back.
    """

    def __init__(self, db: sqlite3.Connection, options: EmbeddedOptions) -> None:
        """Create it on a writable connection that nobody else uses."""
        self._db = db
        self._options = options
        self._log: list[Row] = []
        self._sums: dict[bytes, int] = {}
        """Checksums of the entries that the transaction has read."""
        self._pruned = 0
        self._time = 0.0
        self.damage: DamagedRow | None = None
        """Damage that was skipped; None if there was none."""
        self.kept = read_meta(db)
        """State of the last commit."""
        _, self.revision, self.compacted, self._marks = self.kept
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
        self._db.executemany(INSERT_EVENT, self._log)
        if self._log:
            self._prune()
        meta = Meta(self.kept.commits, self.revision, self.compacted, self._marks)
        if meta != self.kept:
            meta = meta._replace(commits=meta.commits + 1)
            self._db.execute(_META, (*meta, meta_sum(meta)))
        self._db.execute("COMMIT")
        self.kept = meta
        self._events += len(self._log) - self._pruned

    def rollback(self) -> None:
        """Roll the group back."""
        _, self.revision, self.compacted, self._marks = self.kept
        self.batches = []
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def transaction(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> Result:
        """Same as `Store.transaction`."""
        self._sums.clear()
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
        checksum = lease_sum(lease, ttl)
        self._db.execute("INSERT INTO lease VALUES (?, ?, ?)", (lease, ttl, checksum))
        self._marks += checksum + MARK

    def end(self, leases: Sequence[int]) -> int:
        """End leases, each in its own transaction, and return the last revision.

        A lease with a damaged row stays, so that it doesn't keep others from ending. Raises
        DamagedRow if all of them have one.
        """
        ended = 0
        for lease in leases:
            try:
                rows = self._db.execute(_OF_LEASE, (lease,)).fetchall()
                entries = [self._read(row) for row in rows]
                row = self._db.execute("SELECT * FROM lease WHERE id = ?", (lease,)).fetchone()
                checksum = read_lease(row)[2] if row else None
            except DamagedRow as error:
                self.damage = error
                continue
            ended += 1
            self._apply([(DeleteOp(entry.key), entry) for entry in entries], EventKind.EXPIRED)
            if checksum is not None:
                self._db.execute("DELETE FROM lease WHERE id = ?", (lease,))
                self._marks -= checksum + MARK
        if self.damage and leases and not ended:
            raise self.damage
        return self.revision

    def compact(self, revision: int) -> None:
        """Remove all events up to a revision (inclusive)."""
        revision = min(revision, self.revision)
        pruned = self._db.execute("DELETE FROM event WHERE id < ?", (event_id(revision + 1),))
        self._pruned += pruned.rowcount
        self.compacted = max(self.compacted, revision)

    def _found(self, compare: Compare) -> Entry | None:
        if compare.test is not Is.NONE_SINCE:
            return self._get(compare.key)
        key, at, end = compare.key, compare.revision, prefix_end(compare.key)
        asked = (_SINCE_UPWARD, (key, at)) if end is None else (_SINCE, (key, end, at))
        row = self._db.execute(*asked).fetchone()
        return self._read(row) if row else None

    def _get(self, key: bytes) -> Entry | None:
        row = self._db.execute(_GET, (key,)).fetchone()
        return self._read(row) if row else None

    def _read(self, row: Row) -> Entry:
        entry = read_entry(row)
        self._sums[entry.key] = row[-1]
        return entry

    def _check_leases(self, operations: Sequence[Operation]) -> None:
        for lease in leases_of(operations):
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
        sums = self._sums
        puts: list[Row] = []
        events: list[Event] = []
        for place, (step, previous) in enumerate(steps):
            event = self._event(step, previous, deletion)
            events.append(event)
            before = now = 0
            if previous:
                before = sums[step.key]
                self._marks -= before + MARK
            if event.entry:
                now = entry_sum(event.entry)
                self._marks += now + MARK
                puts.append((*event.entry, now))
            id_, kind = event_id(self.revision, place), event.kind.value
            checksum = event_sum(id_, self._time, kind, now, before)
            self._log.append((id_, self._time, kind, *_logged(event), checksum))
        self._db.executemany(_PUT, puts)
        if len(puts) < len(events):
            deleted = [(event.key,) for event in events if event.entry is None]
            self._db.executemany("DELETE FROM kv WHERE key = ?", deleted)
        self.batches.append(EventBatch(self.revision, self._time, tuple(events)))

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
                "SELECT id FROM event ORDER BY id LIMIT 1 OFFSET ?",
                (min(surplus, _MAX_PRUNE) - 1,),
            )
            return split(last)[0]
        oldest = self._db.execute("SELECT time FROM event ORDER BY id LIMIT 1").fetchone()
        horizon = self._time - self._options.history_age
        if oldest is None or oldest[0] >= horizon:
            return None
        rows = self._db.execute(
            "SELECT id FROM (SELECT id, time FROM event ORDER BY id LIMIT ?)"
            " WHERE time < ? ORDER BY id DESC LIMIT 1",
            (_MAX_PRUNE, horizon),
        )
        return split(rows.fetchone()[0])[0]


def read_leases(db: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """Yield all leases with their TTLs in seconds."""
    for row in db.execute("SELECT * FROM lease"):
        lease, ttl, _ = read_lease(row)
        yield lease, ttl


def _logged(event: Event) -> Row:
    """Return the log's columns of an event, from its key to its previous state."""
    entry, previous = event.entry, event.previous
    now: Row = ()
    if entry:
        now = entry.value, entry.create_revision, entry.version, entry.lease
    elif previous:
        now = None, previous.create_revision, previous.version + 1, NO_LEASE
    before = (previous.value, previous.mod_revision, previous.lease) if previous else (None, 0, 0)
    return (event.key, *now, *before)
