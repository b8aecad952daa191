"""What comes out of etcd: frozen values. An entry is that of every store."""

from collections.abc import Sequence
from typing import NamedTuple

from musterd.etcd import rpc_pb2 as rpc
from musterd.kv.values import Entry, prefix_end

ALL: bytes = b"\0"
"""As the end of a range: there is none. As its key: the first that there can be."""


class Found(NamedTuple):
    """Entries of a range at one revision. more: there are more; total: of all in the range."""

    entries: tuple[Entry, ...]
    revision: int
    more: bool
    total: int


class EtcdEvent(NamedTuple):
    """One change of a key. entry: as it is now, None where it is gone; previous: as it was.

    previous is None too where it was not asked for, or is forgotten by etcd.
    """

    key: bytes
    entry: Entry | None
    previous: Entry | None


class EtcdBatch(NamedTuple):
    """All changes of one revision that a watch asked for, in the order of etcd.

    Without any it says that the watch is back after it was lost.
    """

    revision: int
    events: tuple[EtcdEvent, ...]


def span(prefix: bytes) -> tuple[bytes, bytes]:
    """All keys with a prefix as etcd asks for them: the first, and the first after them."""
    return prefix or ALL, prefix_end(prefix) or ALL


def entry(found: rpc.KeyValue) -> Entry:
    """An entry as etcd has it."""
    return Entry(
        found.key,
        found.value,
        found.create_revision,
        found.mod_revision,
        found.version,
        found.lease,
    )


def as_event(event: rpc.Event) -> EtcdEvent:
    """A change as etcd tells it."""
    now = None if event.type == rpc.Event.DELETE else entry(event.kv)
    before = entry(event.prev_kv) if event.HasField("prev_kv") else None
    return EtcdEvent(event.kv.key, now, before)


def octets(changes: Sequence[EtcdEvent]) -> int:
    """The octets of keys and values in changes."""
    total = 0
    for one in changes:
        total += len(one.key)
        total += sum(len(each.value) for each in one[1:] if each is not None)
    return total
