"""Takes over a database of layout 1, which had no checksums."""

import sqlite3
import struct
from typing import Final

from musterd.kv.values import EventKind
from musterd.store.embedded.check import check_structure
from musterd.store.embedded.checksums import (
    MARK,
    DamagedRow,
    Meta,
    Row,
    entry_sum,
    event_sum,
    lease_sum,
    meta_sum,
)
from musterd.store.embedded.layout import INSERT_EVENT, create_tables, insert_meta
from musterd.store.embedded.sequence import event_id

OLD_VERSION: Final = 1

_OLD: Final = ("kv", "event", "lease", "meta")
_ROWS: Final = 1000
"""Rows read at once, so that memory stays bounded."""


def check_old(db: sqlite3.Connection) -> Meta:
    """Check a database of the old layout for damage and return the state it is given.

    Raises DamagedRow and other errors of SQLite.
    """
    check_structure(db)
    rows = db.execute("SELECT revision, compacted FROM meta").fetchall()
    ((last,),) = db.execute(
        "SELECT max((SELECT ifnull(max(mod_rev), 0) FROM kv),"
        " (SELECT ifnull(max(rev), 0) FROM event))"
    )
    try:
        ((revision, compacted),) = rows
        meta = Meta(commits=revision, revision=revision, compacted=compacted, marks=0)
        meta_sum(meta)
    except (ValueError, struct.error):
        raise DamagedRow("it has no revision") from None
    if last > revision:
        raise DamagedRow(f"it is at revision {revision}, but has a change of revision {last}")
    return meta


def migrate(db: sqlite3.Connection) -> None:
    """Add checksums to all rows, in one transaction: a crash leaves either layout, complete.

    The caller has checked the file.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("DROP INDEX kv_lease")
        for table in _OLD:
            db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        create_tables(db)
        ((revision, compacted),) = db.execute("SELECT revision, compacted FROM old_meta")
        marks = _entries(db) + _leases(db)
        _events(db)
        insert_meta(db, Meta(revision, revision, compacted, marks))
        for table in _OLD:
            db.execute(f"DROP TABLE old_{table}")
        db.execute("COMMIT")
    except BaseException as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if isinstance(error, TypeError | struct.error):
            raise DamagedRow("a column has another type") from error
        raise


def _entries(db: sqlite3.Connection) -> int:
    marks = 0
    rows = db.execute("SELECT key, value, create_rev, mod_rev, version, lease FROM old_kv")
    while page := rows.fetchmany(_ROWS):
        summed = [(*row, entry_sum(row)) for row in page]
        marks += sum(row[-1] + MARK for row in summed)
        db.executemany("INSERT INTO kv VALUES (?, ?, ?, ?, ?, ?, ?)", summed)
    return marks


def _leases(db: sqlite3.Connection) -> int:
    summed = [(*row, lease_sum(*row)) for row in db.execute("SELECT id, ttl FROM old_lease")]
    db.executemany("INSERT INTO lease VALUES (?, ?, ?)", summed)
    return sum(row[-1] + MARK for row in summed)


def _events(db: sqlite3.Connection) -> None:
    rows = db.execute(
        "SELECT rev, seq, time, kind, key, value, create_rev, version, lease,"
        " prev_value, prev_mod_rev, prev_lease FROM old_event ORDER BY rev, seq"
    )
    while page := rows.fetchmany(_ROWS):
        db.executemany(INSERT_EVENT, map(_event, page))


def _event(row: Row) -> Row:
    revision, place, time, kind, key, value, created, version, lease, *before = row
    prev_value, prev_revision, prev_lease = before
    id_ = event_id(revision, place)
    now = then = 0
    if kind == EventKind.PUT.value:
        now = entry_sum((key, value, created, revision, version, lease))
    if prev_revision:
        then = entry_sum((key, prev_value, created, prev_revision, version - 1, prev_lease))
    checksum = event_sum(id_, time, kind, now, then)
    return (id_, time, kind, key, value, created, version, lease, *before, checksum)
