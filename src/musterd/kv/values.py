"""Frozen values that stores take and return.

A *revision* counts the transactions that changed anything in the whole store. A *lease* is a
number above 0; a key without a lease has 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

NO_LEASE: Final = 0
ABSENT: Final = 0
"""Expected revision of a key that must be absent."""


class Entry(NamedTuple):
    """A key with its value and metadata.

    create_revision, mod_revision: of the transactions that created and last changed it; version:
    number of puts since it was created, from 1; lease: the one it is attached to.
    """

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class Page(NamedTuple):
    """Entries in key order, as of one revision.

    more: there are more after the last.
    """

    entries: tuple[Entry, ...]
    revision: int
    more: bool


class Is(Enum):
    """Condition that a comparison checks."""

    ABSENT = "absent"
    PRESENT = "present"
    MODIFIED_AT = "modified at"
    """The mod_revision is the given one."""
    CREATED_AT = "created at"
    """The create_revision is the given one: it is the same claim, whatever its value."""
    NONE_SINCE = "none since"
    """No key with the prefix was put after the given revision. Removals don't count; with revision
    0 no such key exists."""


class Compare(NamedTuple):
    """A condition of a transaction.

    key: a prefix for NONE_SINCE; revision: ignored by tests without one.
    """

    key: bytes
    test: Is
    revision: int = 0


class PutOp(NamedTuple):
    """Set a key, and replace the lease it was attached to."""

    key: bytes
    value: bytes
    lease: int = NO_LEASE


class DeleteOp(NamedTuple):
    """Remove a key if it exists."""

    key: bytes


Operation = PutOp | DeleteOp


class Result(NamedTuple):
    """Outcome of a transaction.

    succeeded: all comparisons held and all operations are done; revision: of the transaction, or
    of the store if nothing was changed; entries: after success the entry before each operation,
    else the entry that each comparison found (for a prefix, the first key that violates it).
    """

    succeeded: bool
    revision: int
    entries: tuple[Entry | None, ...]


class EventKind(Enum):
    """Effect of an event on its key. The embedded store's log has the values."""

    PUT = 0
    DELETED = 1
    """Deleted by a request."""
    EXPIRED = 2
    """Deleted with its lease, which expired or was revoked.

    etcd doesn't report this. There it is a deletion of a key with a lease, if the known part of its
    transaction only deletes keys of that lease."""


class Event(NamedTuple):
    """One change of one key.

    entry: the new state, None if deleted; previous: the state before, None if absent.
    """

    kind: EventKind
    key: bytes
    entry: Entry | None
    previous: Entry | None


class EventBatch(NamedTuple):
    """Changes of one transaction that match a watch, at most one for each key.

    time: of the transaction, seconds since 1970; it may be lower than an earlier one's. It is 0
    in etcd, which keeps no time. A batch without events reports that the store is back.
    """

    revision: int
    time: float
    events: tuple[Event, ...]


class Past(NamedTuple):
    """Past transactions with all their changes, newest first.

    more: older ones are kept too.
    """

    batches: tuple[EventBatch, ...]
    more: bool


class Lease(NamedTuple):
    """A lease; its keys are removed when it ends.

    ttl: seconds granted; remaining: seconds left; keys: attached keys, only if requested.
    """

    id: int
    ttl: int
    remaining: float
    keys: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest requests that a store accepts.

    key, value: bytes; operations: per transaction, and as many comparisons; size: bytes of all
    keys and values of a transaction; ttl: of a lease, seconds; page: entries.
    """

    key: int = 1024
    value: int = 65_536
    operations: int = 1000
    size: int = 1_048_576
    ttl: int = 31_536_000
    page: int = 10_000


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the lowest key above all keys with a prefix; None if the range has no end."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def leases_of(operations: Sequence[Operation]) -> set[int]:
    """Return the leases to which operations attach keys."""
    return {step.lease for step in operations if isinstance(step, PutOp) and step.lease != NO_LEASE}


def size_of(operations: Sequence[Operation]) -> int:
    """Return the size of the keys and values of operations, in bytes."""
    size = 0
    for step in operations:
        size += len(step.key)
        if isinstance(step, PutOp):
            size += len(step.value)
    return size
