"""Frozen values that the client returns."""

from collections.abc import Sequence
from typing import NamedTuple

from musterd.etcd import rpc_pb2 as rpc
from musterd.kv.values import Entry, prefix_end

ALL: bytes = b"\0"
"""The first possible key; as the end of a range: no end."""


class RangeResult(NamedTuple):
    """Entries of a range at one revision. more: there are more; total: number in the range."""

    entries: tuple[Entry, ...]
    revision: int
    more: bool
    total: int


class EtcdEvent(NamedTuple):
    """One change of a key. entry: the new state, None if deleted; previous: the state before.

    previous is also None if it was not requested, or etcd no longer has it.
    """

    key: bytes
    entry: Entry | None
    previous: Entry | None


class EtcdBatch(NamedTuple):
    """All changes of one revision that match a watch, in etcd's order.

    An empty batch reports that the watch is connected again.
    """

    revision: int
    events: tuple[EtcdEvent, ...]


def span(prefix: bytes) -> tuple[bytes, bytes]:
    """Return the range of all keys with a prefix, in etcd's form."""
    return prefix or ALL, prefix_end(prefix) or ALL


def entry(found: rpc.KeyValue) -> Entry:
    """Convert an entry."""
    return Entry(
        found.key,
        found.value,
        found.create_revision,
        found.mod_revision,
        found.version,
        found.lease,
    )


def as_event(event: rpc.Event) -> EtcdEvent:
    """Convert a change."""
    now = None if event.type == rpc.Event.DELETE else entry(event.kv)
    before = entry(event.prev_kv) if event.HasField("prev_kv") else None
    return EtcdEvent(event.kv.key, now, before)


def size_of(changes: Sequence[EtcdEvent]) -> int:
    """Return the size of the keys and values in changes, in bytes."""
    total = 0
    for change in changes:
        total += len(change.key)
        total += sum(len(entry.value) for entry in change[1:] if entry is not None)
    return total
