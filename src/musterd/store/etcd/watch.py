"""Converts the events of etcd to events of a store."""

from collections.abc import Sequence
from typing import Final, Self

from musterd.etcd import EtcdBatch, EtcdEvent, EtcdWatch
from musterd.kv.errors import Compacted
from musterd.kv.values import NO_LEASE, Entry, Event, EventBatch, EventKind

NO_TIME: Final = 0.0
"""Time of every batch: etcd keeps none."""


class EtcdStoreWatch:
    """A `Watch` of the etcd store."""

    def __init__(self, source: EtcdWatch, base: int) -> None:
        """Wrap a watch of etcd. base: length of the key prefix that the store hides."""
        self._source = source
        self._base = base

    @property
    def revision(self) -> int:
        """Same as in `Watch`."""
        return self._source.revision

    @property
    def ready(self) -> bool:
        """Same as in `Watch`."""
        return self._source.ready

    @property
    def current(self) -> bool:
        """Same as in `Watch`."""
        return self._source.current

    def __aiter__(self) -> Self:
        """Same as in `Watch`."""
        return self

    async def __anext__(self) -> EventBatch:
        """Same as in `Watch`."""
        return batch(await anext(self._source), self._base)


def batch(events: EtcdBatch, base: int) -> EventBatch:
    """Convert the changes of a revision. Raises Compacted if etcd lost the previous state."""
    deletion = _deletion(events.events)
    found = tuple(_event(events.revision, change, base, deletion) for change in events.events)
    return EventBatch(events.revision, NO_TIME, found)


def bare(entry: Entry, base: int) -> Entry:
    """Return an entry of etcd with the key as in the store."""
    return entry._replace(key=entry.key[base:]) if base else entry


def _event(revision: int, change: EtcdEvent, base: int, deletion: EventKind) -> Event:
    entry, previous = change.entry, change.previous
    if previous is None and (entry is None or entry.version > 1):
        raise Compacted(revision, revision + 1)
    return Event(
        deletion if entry is None else EventKind.PUT,
        change.key[base:],
        None if entry is None else bare(entry, base),
        None if previous is None else bare(previous, base),
    )


def _deletion(changes: Sequence[EtcdEvent]) -> EventKind:
    """Return the kind of a revision's deletions, which etcd doesn't report.

    The end of a lease deletes exactly the keys attached to it. Requests of musterd that delete a
    key with a lease also put another key.
    """
    leases = {change.previous.lease for change in changes if change.previous is not None}
    expired = len(leases) == 1 and NO_LEASE not in leases
    return EventKind.EXPIRED if expired and not any(c.entry for c in changes) else EventKind.DELETED
