"""The tables of the database."""

import sqlite3
from typing import Final

from musterd.store.embedded.checksums import Meta, meta_sum

VERSION: Final = 2
"""Layout version; a file with a higher version is rejected."""
APPLICATION: Final = int.from_bytes(b"mstd")
"""SQLite's application_id, to reject files of other programs."""

# An event includes the previous state, so that a watch can report it when older events are gone.
# A deletion has the create_rev of the deleted entry and its version plus one, so that the previous
# state is derived in the same way for puts and deletions.
TABLES: Final = (
    """CREATE TABLE kv (
        key BLOB PRIMARY KEY, value BLOB NOT NULL, create_rev INTEGER NOT NULL,
        mod_rev INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    )""",
    "CREATE INDEX kv_lease ON kv (lease, key) WHERE lease <> 0",
    """CREATE TABLE event (
        id INTEGER PRIMARY KEY, time REAL NOT NULL, kind INTEGER NOT NULL, key BLOB NOT NULL,
        value BLOB, create_rev INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL,
        prev_value BLOB, prev_mod_rev INTEGER NOT NULL, prev_lease INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    )""",
    """CREATE TABLE lease (
        id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL, checksum INTEGER NOT NULL
    )""",
    """CREATE TABLE meta (
        commits INTEGER NOT NULL, revision INTEGER NOT NULL, compacted INTEGER NOT NULL,
        marks INTEGER NOT NULL, checksum INTEGER NOT NULL
    )""",
)
INSERT_EVENT: Final = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

EMPTY: Final = Meta(commits=0, revision=1, compacted=0, marks=0)
"""State of an empty store: at revision 1, as in etcd."""


def create_tables(db: sqlite3.Connection) -> None:
    """Create empty tables of this version; the caller commits."""
    for statement in TABLES:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    db.execute(f"PRAGMA user_version = {VERSION}")


def insert_meta(db: sqlite3.Connection, meta: Meta) -> None:
    """Insert the state of a new store; the caller commits."""
    db.execute("INSERT INTO meta VALUES (?, ?, ?, ?, ?)", (*meta, meta_sum(meta)))


def lay_out(db: sqlite3.Connection) -> None:
    """Create the tables of an empty file, all or none."""
    db.execute("BEGIN IMMEDIATE")
    create_tables(db)
    insert_meta(db, EMPTY)
    db.execute("COMMIT")
