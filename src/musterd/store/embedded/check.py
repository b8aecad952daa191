"""Check of a whole database for damage, before it is used.

SQLite checks its own structures and the indexes; the checksums show that each row is what was
written; the sum of the marks shows that none is missing.
"""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from musterd.store.embedded.checksums import (
    MARK,
    DamagedRow,
    Meta,
    read_lease,
    read_meta,
    verify_entry,
)
from musterd.store.embedded.layout import TABLES

Connect = Callable[[], sqlite3.Connection]
T = TypeVar("T")


def check_structure(db: sqlite3.Connection) -> None:
    """Check SQLite's structures and indexes. Raises DamagedRow and other errors of SQLite."""
    ((found,),) = db.execute("PRAGMA integrity_check(1)")
    if found != "ok":
        raise DamagedRow(" ".join(found.split()))


def check_all(connect: Connect) -> Meta:
    """Check structure and rows, with a connection and a thread each; return the state.

    Raises DamagedRow and other errors of SQLite.
    """
    # SQLite checks its structures while this thread computes checksums.
    with ThreadPoolExecutor(1, "musterd-check") as thread:
        structure = thread.submit(_with, connect, check_structure)
        meta = _with(connect, check_rows)
        structure.result()
    return meta


def check_rows(db: sqlite3.Connection) -> Meta:
    """Check each row, and that none is missing; return the state.

    Raises DamagedRow and other errors of SQLite.
    """
    _check_tables(db)
    db.execute("BEGIN")
    expected = read_meta(db)
    marks = 0
    for row in db.execute("SELECT * FROM kv"):
        verify_entry(row)
        marks += row[-1] + MARK
    for row in db.execute("SELECT * FROM lease"):
        *_, checksum = read_lease(row)
        marks += checksum + MARK
    db.execute("ROLLBACK")
    if marks != expected.marks:
        raise DamagedRow("records or leases are missing")
    return expected


def _check_tables(db: sqlite3.Connection) -> None:
    found = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_schema")}
    if not found.issuperset(TABLES):
        raise DamagedRow("its tables are not those of a store")


def _with(connect: Connect, check: Callable[[sqlite3.Connection], T]) -> T:
    with closing(connect()) as db:
        return check(db)
