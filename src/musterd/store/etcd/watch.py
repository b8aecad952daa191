"""Changes in etcd as those of a store."""

from collections.abc import Sequence
from typing import Final, Self

from musterd.etcd import EtcdBatch, EtcdEvent
from musterd.etcd import EtcdWatch as Source
from musterd.kv.errors import Compacted
from musterd.kv.values import NO_LEASE, Entry, Event, EventBatch, EventKind

NO_TIME: Final = 0.0
"""The time of every batch: etcd keeps none."""


class EtcdWatch:
    """As `Watch`."""

    def __init__(self, source: Source, base: int) -> None:
        """``base``: octets of each key at etcd that the store doesn't show."""
        self._source = source
        self._base = base

    @property
    def revision(self) -> int:
        """As of `Watch`."""
        return self._source.revision

    @property
    def ready(self) -> bool:
        """As of `Watch`."""
        return self._source.ready

    @property
    def current(self) -> bool:
        """As of `Watch`."""
        return self._source.current

    def __aiter__(self) -> Self:
        """As of `Watch`."""
        return self

    async def __anext__(self) -> EventBatch:
        """As of `Watch`."""
        return batch(await anext(self._source), self._base)


def batch(events: EtcdBatch, base: int) -> EventBatch:
    """The changes of a revision. Raises Compacted where etcd forgot what was before."""
    deletion = _deletion(events.events)
    found = tuple(_event(events.revision, change, base, deletion) for change in events.events)
    return EventBatch(events.revision, NO_TIME, found)


def bare(entry: Entry, base: int) -> Entry:
    """An entry of etcd with the key that it has in the store."""
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
    """Which kind of deletion those of a revision are, which etcd doesn't tell.

    The end of a lease deletes what hung on it, and nothing else; what requests of ours delete
    that hung on a lease, they delete beside something put.
    """
    leases = {change.previous.lease for change in changes if change.previous is not None}
    expired = len(leases) == 1 and NO_LEASE not in leases
    return EventKind.EXPIRED if expired and not any(c.entry for c in changes) else EventKind.DELETED
