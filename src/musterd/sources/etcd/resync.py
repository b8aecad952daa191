"""A full list of what is in etcd, compared page by page to what is known, without a second copy."""

from collections.abc import Sequence

from musterd.kv.values import Entry
from musterd.sources.etcd.faults import shown
from musterd.sources.etcd.index import Index, Told
from musterd.sources.etcd.lease_ttl import Leases


class Listing:
    """One list, in the order of its keys."""

    def __init__(self, index: Index, leases: Leases) -> None:
        """The leases of what is taken must be known (see ``wanted``)."""
        self._index = index
        self._leases = leases
        self._after = index.keys.prefix
        self._first = index.empty
        self._odd: set[bytes] = set()
        self._bad: set[str] = set()
        self._down: set[bytes] = set()

    def wanted(self, entries: Sequence[Entry]) -> list[int]:
        """The leases of those that are new or differ."""
        return [one.lease for one in entries if one.lease and self._differs(one)]

    def take(self, entries: Sequence[Entry], revision: int, time: float) -> list[Told]:
        """Take the next entries, as they are at a revision.

        Of a first list, what some of them give, at a time in epoch seconds.
        """
        index = self._index
        told: list[Told] = []
        gone: set[bytes] = set()
        if entries and not self._first:
            gone = index.between(self._after, entries[-1].key)
            gone.difference_update([one.key for one in entries])
        for one in entries:
            if self._first or self._differs(one):
                key, value, _, changed, _, lease = one
                ttl = self._leases.ttl(lease)
                if not self._first:
                    index.put(key, value, changed, ttl)
                elif put := index.load(key, value, changed, ttl, time):
                    told.append(put)
            if not self._first:
                self._note(one.key)
        for key in gone:
            index.delete(key, revision)
        if entries:
            self._after = entries[-1].key
        return told

    def end(self, revision: int) -> None:
        """There are no more."""
        index = self._index
        if self._first:
            return
        for key in index.between(self._after, None):
            index.delete(key, revision)
        for key in index.odd - self._odd:
            index.delete(key, revision)
        for where in index.wrong.keys.keys() - self._bad:
            index.wrong.mend(where)
        for key in set(index.statuses.down.values()) - self._down:
            index.delete(key, revision)

    def _differs(self, entry: Entry) -> bool:
        return self._first or self._index.revision(entry.key) != entry.mod_revision

    def _note(self, key: bytes) -> None:
        index = self._index
        if key in index.odd:
            self._odd.add(key)
        if index.wrong.keys and (where := shown(key)) in index.wrong.keys:
            self._bad.add(where)
        if index.statuses.owns(key) and index.statuses.address(key) in index.statuses.down:
            self._down.add(key)
