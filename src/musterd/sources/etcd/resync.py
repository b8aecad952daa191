"""A full list of the keys, compared page by page with the known ones, without a second copy."""

from collections.abc import Sequence

from musterd.display import printable_key
from musterd.kv.values import Entry
from musterd.sources.etcd.index import Index, Report
from musterd.sources.etcd.lease_ttl import LeaseTtls


class Resync:
    """One list, in the order of its keys."""

    def __init__(self, index: Index, leases: LeaseTtls) -> None:
        """Start a comparison. Nobody else may change the index before ``end``."""
        self._index = index
        self._leases = leases
        self._after = index.keys.prefix
        self._first = index.empty
        self._irregular: set[bytes] = set()
        self._bad: set[str] = set()
        self._down: set[bytes] = set()
        self._gone: set[bytes] = set()
        """Keys that were deleted, up to the last compared entry."""

    def compare(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return which of the next entries are new or differ, to be passed to ``take``.

        The TTLs of their leases must be known before that.
        """
        if self._first or not entries:
            return entries
        index = self._index
        known = index.between(self._after, entries[-1].key)
        changed = []
        for entry in entries:
            key = entry.key
            revision = known.pop(key, None)
            if revision is None:
                revision = index.irregular_revision(key)
            if revision == entry.mod_revision:
                self._note(key)
            else:
                changed.append(entry)
        self._gone.update(known)
        self._after = entries[-1].key
        return changed

    def take(self, changed: Sequence[Entry], revision: int, time: float) -> list[Report]:
        """Take the entries that ``compare`` returned, and delete keys that are missing before them.

        Return the records of some keys of a first list, at a time in epoch seconds.
        """
        index = self._index
        reports: list[Report] = []
        for key, value, _, modified, _, lease in changed:
            ttl = self._leases.ttl(lease)
            if not self._first:
                index.put(key, value, modified, ttl)
                self._note(key)
            elif put := index.load(key, value, modified, ttl, time):
                reports.append(put)
        for key in self._gone:
            index.delete(key, revision)
        self._gone.clear()
        return reports

    def end(self, revision: int) -> None:
        """Delete the keys that the list did not have."""
        index = self._index
        if self._first:
            return
        for key in index.between(self._after, None):
            index.delete(key, revision)
        for key in index.irregular - self._irregular:
            index.delete(key, revision)
        for where in index.faults.keys.keys() - self._bad:
            index.faults.resolve_key(where)
        for key in set(index.statuses.down.values()) - self._down:
            index.delete(key, revision)

    def _note(self, key: bytes) -> None:
        index = self._index
        if key in index.irregular:
            self._irregular.add(key)
        if index.faults.keys and (where := printable_key(key)) in index.faults.keys:
            self._bad.add(where)
        if index.statuses.owns(key) and index.statuses.address(key) in index.statuses.down:
            self._down.add(key)
