"""What goes into a store and comes out of it: frozen values.

A *revision* counts the transactions that changed something, in the whole store. A *lease* is a
number above 0; where a key hangs on none, it is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

NO_LEASE: Final = 0
ABSENT: Final = 0
"""The revision to expect of a key that must not be there."""


class Entry(NamedTuple):
    """A key and all that the store knows of it.

    create_revision, mod_revision: of the transaction that created and last changed it; version:
    how many times it was put since it was created, from 1; lease: on which it hangs.
    """

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class Page(NamedTuple):
    """Entries in the order of their keys, all as they were at one revision.

    more: there are more after the last.
    """

    entries: tuple[Entry, ...]
    revision: int
    more: bool


class Is(Enum):
    """What a comparison asks of a key."""

    ABSENT = "absent"
    PRESENT = "present"
    MODIFIED_AT = "modified at"
    """Its mod_revision is the one given."""
    CREATED_AT = "created at"
    """Its create_revision is the one given: still the same claim, whatever its value."""
    NONE_SINCE = "none since"
    """Of a prefix: no key that starts with it was put after the revision given. That some were
    removed does not count; after 0, there is none."""


class Compare(NamedTuple):
    """A condition of a transaction; the revision counts only where a comparison has one.

    key: or a prefix, where that is what is compared.
    """

    key: bytes
    test: Is
    revision: int = 0


class PutOp(NamedTuple):
    """Set a key; what lease it hung on before does not count."""

    key: bytes
    value: bytes
    lease: int = NO_LEASE


class DeleteOp(NamedTuple):
    """Remove a key, if it is there."""

    key: bytes


Operation = PutOp | DeleteOp


class Result(NamedTuple):
    """What became of a transaction.

    succeeded: all its comparisons held, and all its operations are done; revision: at which, or
    that of the store where nothing was changed; entries: where it succeeded, what each operation
    found before it; else what each comparison found: of a prefix, the first key that
    speaks against it.
    """

    succeeded: bool
    revision: int
    entries: tuple[Entry | None, ...]


class EventKind(Enum):
    """What an event did to its key. The values are those of the embedded store's log."""

    PUT = 0
    DELETED = 1
    """By a request."""
    EXPIRED = 2
    """Because its lease ended: its time was up, or it was revoked.

    An etcd doesn't tell: there it is what a transaction deleted that hung on one lease, if all that
    is known of that transaction is such deletions."""


class Event(NamedTuple):
    """One change of one key.

    entry: as it is now, None where it is gone; previous: as it was, None where it was not there.
    """

    kind: EventKind
    key: bytes
    entry: Entry | None
    previous: Entry | None


class EventBatch(NamedTuple):
    """Those changes of one transaction that a watch asked for, one for each key.

    time: of the transaction, seconds since 1970; it may be behind that of an earlier one. It is 0
    in an etcd, which keeps none. Without events it only says that the store is heard again.
    """

    revision: int
    time: float
    events: tuple[Event, ...]


class Past(NamedTuple):
    """Changes of the past, the newest first, each with all that its transaction changed.

    more: older ones are kept too.
    """

    batches: tuple[EventBatch, ...]
    more: bool


class Lease(NamedTuple):
    """Time for which keys stay.

    ttl: seconds granted; remaining: seconds left; keys: that hang on it, only where asked for.
    """

    id: int
    ttl: int
    remaining: float
    keys: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest that a store takes.

    key, value: octets; operations: of a transaction, its comparisons apart and as many;
    octets: of all keys and values of a transaction; ttl: of a lease, seconds; page: entries.
    """

    key: int = 1024
    value: int = 65_536
    operations: int = 1000
    octets: int = 1_048_576
    ttl: int = 31_536_000
    page: int = 10_000


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the lowest key above all keys with a prefix; None if the range has no end."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def shown(key: bytes) -> str:
    """A key for people."""
    return key.decode("utf-8", "backslashreplace")


def octets(operations: Sequence[Operation]) -> int:
    """The octets of the keys and values of operations."""
    return sum(len(part) for step in operations for part in step[:2])
