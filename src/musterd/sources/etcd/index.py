"""The keys of a source, and the RRsets of the names that a change affects.

A name is answered from its own key and every key below it, at most the first ``max_records`` of
them in the order of the keys. So a change affects its own name and the names above it, except
names that have so many earlier keys that this one doesn't count.

Each key is stored as one byte string in ``SortedBlocks``: its head, and its packed value.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from musterd.display import printable_key
from musterd.rr.rrset import Record
from musterd.sources.changes import Delete, Fault, Put, Resolved, Withheld, WithheldRecord
from musterd.sources.etcd import rrsets
from musterd.sources.etcd.faults import FaultLog
from musterd.sources.etcd.health import Statuses
from musterd.sources.etcd.keys import KeyCodec, Layout, ServiceKey, is_reverse, name_of
from musterd.sources.etcd.limits import LIMITS, NameLimits
from musterd.sources.etcd.resolve import LargeName, Resolution, Resolver
from musterd.sources.etcd.service import Rules, is_hashed, pack, read, revision_of, unpack
from musterd.sources.etcd.sorted_blocks import SortedBlocks

_ABOVE: Final = b"\x7f"
"""A bound above every head."""
Report = Put | Delete | Withheld | Fault | Resolved
"""A report about a name or a key."""


class Index:
    """The keys below one prefix."""

    def __init__(  # noqa: PLR0913
        self,
        layout: Layout,
        prefix: str,
        zones: Iterable[bytes],
        ttl: int,
        *,
        subtree: bool = True,
        limits: NameLimits = LIMITS,
    ) -> None:
        """Create an empty index.

        zones: folded wire names; ttl: of records without one, seconds; subtree: True if a name also
        answers with the keys below it.
        """
        self.keys = KeyCodec(layout, prefix, zones)
        self.statuses = Statuses(layout, prefix)
        self.irregular: set[bytes] = set()
        """Irregular keys: their order here differs from their order in etcd."""
        self.faults = FaultLog()
        self._layout = layout
        self._rules = Rules(ttl, layout.typed)
        self._subtree = subtree
        self._limits = limits
        self._hashes = layout.typed and not subtree
        self._items = SortedBlocks()
        self._dirty: dict[bytes, int] = {}
        """Paths of names that may have changed -> the revision of the change."""
        self._begun = b"", 0
        """The path of the name that is being resolved in steps, and the revision of its change."""
        self._below: set[bytes] = set()
        """Paths of names that were reported with the keys below them."""
        self._large: set[bytes] = set()
        """Paths of names that are built from more than ``max_small`` services."""
        self._last: dict[bytes, bytes] = {}
        """Path of a truncated name -> head of its last included service."""
        self._withheld: set[bytes] = set()
        """Paths of names with a report of withheld records."""
        self._resolver = Resolver(self.keys, self._items, self.statuses, limits, subtree=subtree)
        self._aliases = self._resolver.aliases
        self._targets, self._dependents = self._aliases.targets, self._aliases.dependents

    @property
    def empty(self) -> bool:
        """True if no key is known."""
        return not (self._items or self.faults.keys or self.statuses.down)

    def irregular_revision(self, raw: bytes) -> int | None:
        """Return the revision of a known key that ``between`` leaves out, if it isn't a status."""
        if self.faults.keys and (known := self.faults.keys.get(printable_key(raw))) is not None:
            return known
        key = self._key(raw) if raw in self.irregular else None
        item = self._items.get(key.head) if key else None
        return None if item is None or key is None else revision_of(item, len(key.head))

    def between(self, after: bytes, upto: bytes | None) -> dict[bytes, int]:
        """Return key -> revision of the regular keys after one in etcd order, up to another."""
        low = self.keys.bound(after)
        high = _ABOVE if upto is None else self.keys.bound(upto)
        found = {}
        for item in self._items.each(low, high):
            raw = self.keys.raw(item)
            if raw not in self.irregular:
                found[raw] = revision_of(item, self.keys.split(item)[1])
        return found

    def put(self, raw: bytes, value: bytes, revision: int, lease_ttl: int | None) -> None:
        """Take a key. An unreadable key gives no records, and is reported."""
        try:
            if self.statuses.owns(raw):
                address, down = self.statuses.read(raw, value)
                self._set_status(raw, address, revision, down=down)
            elif key := self.keys.read(raw):
                service = read(key.path, value, revision, lease_ttl, self._rules)
                if self._hashes and is_hashed(key.path.rpartition(b"/")[2], value):
                    key = self.keys.irregular(key.path.rpartition(b"/")[0], raw)
                before = self._key(raw) if self._hashes else None
                if before and before.head != key.head:
                    self._replace(before, None, revision)
                    self.irregular.discard(raw)
                self._replace(key, key.head + pack(service), revision)
                if key.irregular:
                    self.irregular.add(raw)
        except ValueError as error:
            if self.faults.key(raw, revision, str(error), self._owner(raw)):
                self._forget(raw, revision)
        else:
            if self.faults.keys:
                self.faults.resolve_key(printable_key(raw))

    def _owner(self, raw: bytes) -> bytes:
        """Return the owner name of an unreadable key; empty if it has none."""
        try:
            key = self.keys.read(raw)
            return b"" if key is None else name_of(key.path)
        except ValueError:
            return b""

    def load(
        self, raw: bytes, value: bytes, revision: int, lease_ttl: int | None, time: float
    ) -> Put | None:
        """Take a new key; return the records of its name if only this key has any.

        Same as ``put`` and ``take`` at half the cost, for a key that comes in order and is alone at
        its name, as most are.
        """
        child = self.keys.child(raw)
        if child is None:
            self.put(raw, value, revision, lease_ttl)
            return None
        path, owner, above = child
        try:
            service = read(path, value, revision, lease_ttl, self._rules)
        except ValueError:
            self.put(raw, value, revision, lease_ttl)
            return None
        head = path + self.keys.plain
        item = head + pack(service)
        records = rrsets.address_records(service, owner)
        known = path in self._below or path in self._targets or path in self._dependents
        if known or not records or not self._items.append(item):
            self._replace(ServiceKey(path, head, irregular=False), item, revision)
            return None
        if self._subtree:
            for ancestor in above:
                # Names that follow it may have been reported since it was marked.
                followed = self._dependents and ancestor in self._dependents
                if ancestor not in self._dirty or followed:
                    self._mark(ancestor, revision)
        return Put(self.keys.text(path), revision, time, records)

    def delete(self, raw: bytes, revision: int) -> None:
        """Delete a key."""
        if not self.faults.keys or not self.faults.resolve_key(printable_key(raw)):
            self._forget(raw, revision)

    def _forget(self, raw: bytes, revision: int) -> None:
        if self.statuses.owns(raw):
            address = self.statuses.address(raw)
            if address is not None:
                self._set_status(raw, address, revision, down=False)
            return
        key = self._key(raw)
        if key is not None:
            self._replace(key, None, revision)
            self.irregular.discard(raw)

    def _key(self, raw: bytes) -> ServiceKey | None:
        """Parse a key that may be known."""
        try:
            key = self.keys.read(raw)
        except ValueError:
            return None
        if key and raw in self.irregular:
            hashed = self.keys.irregular(key.path.rpartition(b"/")[0], raw)
            # A key that is irregular by itself may be known at its own path or at the parent's.
            if not key.irregular or self._items.get(hashed.head) is not None:
                return hashed
        return key

    def _replace(self, key: ServiceKey, item: bytes | None, revision: int) -> None:
        old = self._items.pop(key.head) if item is None else self._items.put(key.head, item)
        if item is not None or old is not None:
            self.statuses.hold(key.head, old, item)
            self._touch(key.path, key.head, revision, gone=item is None)

    def _set_status(self, raw: bytes, address: bytes, revision: int, *, down: bool) -> None:
        if self.statuses.set(raw, address, down=down):
            for head in self.statuses.heads(address):
                self._touch(self.keys.split(head)[0], head, revision)

    def _touch(self, path: bytes, head: bytes, revision: int, *, gone: bool = False) -> None:
        """Mark the names that the key with a head is part of."""
        self._mark(path, revision)
        if self._subtree and not is_reverse(path):
            for above in self.keys.above(path):
                last = self._last.get(above)
                # A name that is still dirty may have a new last service.
                if last is None or head <= last or above in self._dirty:
                    self._mark(above, revision)
                elif gone and not self._items.after(last + b"\0")[0].startswith(above + b"/"):
                    # The name is no longer truncated.
                    self._mark(above, revision)
        for apex in self.keys.apexes(path):
            self._mark(apex, revision)

    def _mark(self, path: bytes, revision: int) -> None:
        self._dirty[path] = revision
        for dependent in self._dependents.get(path, ()):
            self._dirty[dependent] = revision

    def take(self, time: float) -> list[Report]:
        """Return the reports of names that may have changed, at a time in epoch seconds.

        Large names are left for ``later``, and so is the rest if there are many changes.
        """
        reports: list[Report] = []
        dirty, self._dirty, self._resolver.services_read = self._dirty, {}, 0
        begun, _ = self._begun
        if self._large or begun:
            self._dirty = {path: dirty[path] for path in dirty if path in self._large}
            if begun in dirty:
                self._dirty[begun] = dirty[begun]
            for path in self._dirty:
                del dirty[path]
        for path, revision in dirty.items():
            put = self._leaf(path, time)
            if put is not None:
                reports.append(put)
                continue
            if self._resolver.services_read > self._limits.max_at_once:
                self._dirty[path] = revision
                continue
            try:
                for _ in self._resolve(reports, path, revision, time, self._limits.max_small):
                    pass
            except LargeName:
                self._large.add(path)
                self._dirty[path] = revision
        return [*self.faults.take(), *reports]

    def _leaf(self, path: bytes, time: float) -> Put | None:
        """Return the records of a name with one key and one address, as most are; else None."""
        keys = self.keys
        if path in self._below or path in self._targets or path in self.faults.names:
            return None
        if path in keys.zones or is_reverse(path):
            return None
        head = path + keys.plain
        item, after = self._items.after(head)
        if not item.startswith(head) or (after and after < path + b"0"):
            return None
        service = unpack(path, item, len(head))
        records = rrsets.address_records(service, name_of(path))
        return Put(keys.text(path), service.revision, time, records) if records else None

    @property
    def waits(self) -> bool:
        """True if ``later`` has work to do."""
        return bool(self._dirty or self.faults.unreported)

    def later(self, time: float) -> Iterator[list[Report]]:
        """Resolve the large names in steps; yield the reports of a step, often none.

        Changes may be taken between the steps. A new iterator continues where the last one ended.
        """
        begun, revision = self._begun
        if begun:
            self._dirty.setdefault(begun, revision)
        while self.waits:
            if self.faults.unreported:
                yield [*self.faults.take()]
                continue
            path = next(iter(self._dirty))
            revision = self._dirty.pop(path)
            reports: list[Report] = []
            self._begun = path, revision
            for _ in self._resolve(reports, path, revision, time, None):
                yield []
            self._begun = b"", 0
            yield reports

    def _report_withheld(self, reports: list[Report], path: bytes, resolution: Resolution) -> None:
        """Report the records whose addresses are down while others are up, if they have changed."""
        withheld = resolution.builder.withheld
        if not withheld and path not in self._withheld:
            return
        # An address that came up during a pause made its names dirty again.
        records = tuple(
            WithheldRecord(rtype, weight, rdata, f"{printable_key(key)} reports it as down")
            for (rtype, rdata), (weight, address) in sorted(withheld.items())
            if (key := self.statuses.down.get(address)) is not None
        )
        reports.append(Withheld(name_of(path), records))
        if records:
            self._withheld.add(path)
        else:
            self._withheld.discard(path)

    def _resolve(
        self, reports: list[Report], path: bytes, revision: int, time: float, limit: int | None
    ) -> Iterator[None]:
        """Append the records of a name: under the key of its path, or ``text_below``.

        Yields where a pause is possible. Raises LargeName if the name is built from more than
        ``limit`` services. ``_last`` and the aliases are noted before a pause, so that changes
        during the pause are seen.
        """
        items = self._resolver.items(path)
        resolution = self._resolver.begin(path, limit)
        resolution.has_more_keys = len(items) > self._limits.max_records
        if resolution.has_more_keys:
            self._last[path] = items[self._limits.max_records - 1]
        elif self._last:
            self._last.pop(path, None)
        found = yield from self._resolver.resolve(items, resolution)
        if resolution.services > self._limits.max_small:
            self._large.add(path)
        elif self._large:
            self._large.discard(path)
        if resolution.targets or self._targets:
            self._aliases.set(path, resolution.targets)
        self.faults.name(path, self._resolver.truncation(resolution))
        self._report_withheld(reports, path, resolution)
        key, below, known = self.keys.text(path), self.keys.text_below(path), path in self._below
        alone = (
            len(items) == 1
            and items[0].startswith(path + self.keys.plain)
            and not resolution.targets
        )
        if found:
            owner = name_of(path)
            records = tuple(
                [Record(owner, rtype, packed) for rtype, packed in sorted(found.items())]
            )
            reports.append(Put(key if alone else below, resolution.newest, time, records))
        if not alone and found:
            if not known:
                reports.append(Delete(key, revision))
                self._below.add(path)
            return
        if not found:
            reports.append(Delete(key, revision))
        if known:
            self._below.remove(path)
            reports.append(Delete(below, revision))
