"""What is in etcd, and the RRsets of the names that a change of it touches.

A name answers with what its own key says and every key below it, but with no more than the first
``MOST`` of these, in the order of the keys. So a change touches its own name and those above it,
save where so many come before that it isn't one of the first.

Kept for each key is one octet string (``Tree``): its head, and what it says in packed form.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from musterd.rr.rrset import Record
from musterd.sources.changes import Delete, Fault, Put, Resolved, WithheldRecord
from musterd.sources.etcd import rrsets
from musterd.sources.etcd.faults import Wrong, shown
from musterd.sources.etcd.health import Statuses
from musterd.sources.etcd.keys import Keys, Layout, ServiceKey, is_reverse, name_of, path_of
from musterd.sources.etcd.look import Large, Look
from musterd.sources.etcd.resolve import Maker
from musterd.sources.etcd.rrsets import MOST
from musterd.sources.etcd.service import Rules, is_hashed, pack, read, revision_of, unpack
from musterd.sources.etcd.sorted_blocks import Tree

LARGE: Final = 100
"""A name that is made of more services, those of other names too, is told after the others."""
AT_ONCE: Final = 2500
"""Services that are looked at before what else changed is told after the others, too."""

_ABOVE: Final = b"\x7f"
"""Above every head."""
Told = Put | Delete | Fault | Resolved
"""What is told of a name, or of a key."""


class Index:
    """The keys below one prefix."""

    def __init__(
        self, layout: Layout, prefix: str, zones: Iterable[bytes], ttl: int, *, subtree: bool = True
    ) -> None:
        """An empty one.

        zones: folded wire names; ttl: seconds, of what has none; subtree: whether a name answers
        with the keys below it, too.
        """
        self.keys = Keys(layout, prefix, zones)
        self.statuses = Statuses(layout, prefix)
        self.odd: set[bytes] = set()
        """Keys that are not where their order in etcd would have them."""
        self.wrong = Wrong()
        self._layout = layout
        self._rules = Rules(ttl, layout.typed)
        self._subtree = subtree
        self._hashes = layout.typed and not subtree
        self._tree = Tree()
        self._dirty: dict[bytes, int] = {}
        """Paths whose names may have changed, and the revision of that."""
        self._begun = b"", 0
        """The path of a name that is about to be told, and the revision of its change."""
        self._below: set[bytes] = set()
        """Paths of names that were told with what is below them."""
        self._large: set[bytes] = set()
        """Paths of names that are made of more than ``LARGE`` services."""
        self._last: dict[bytes, bytes] = {}
        """Paths of names that have more than they answer with -> the last head that counts."""
        self._maker = Maker(layout, self.keys, self._tree, self.statuses, subtree=subtree)
        self._aliases = self._maker.aliases
        self._targets, self._dependents = self._aliases.targets, self._aliases.dependents

    @property
    def empty(self) -> bool:
        """Whether no key is known."""
        return not (self._tree or self.wrong.keys or self.statuses.down)

    def irregular_revision(self, raw: bytes) -> int | None:
        """Return the revision of a known key that ``between`` leaves out, if it isn't a status."""
        if self.wrong.keys and (known := self.wrong.keys.get(shown(raw))) is not None:
            return known
        key = self._key(raw) if raw in self.odd else None
        item = self._tree.get(key.head) if key else None
        return None if item is None or key is None else revision_of(item, len(key.head))

    def between(self, after: bytes, upto: bytes | None) -> dict[bytes, int]:
        """Return key -> revision of the regular keys after one in etcd order, up to another."""
        low = self.keys.bound(after)
        high = _ABOVE if upto is None else self.keys.bound(upto)
        found = {}
        for item in self._tree.each(low, high):
            raw = self.keys.raw(item)
            if raw not in self.odd:
                found[raw] = revision_of(item, self.keys.split(item)[1])
        return found

    def put(self, raw: bytes, value: bytes, revision: int, lease_ttl: int | None) -> None:
        """Take a key; one that can't be read gives nothing, and what is wrong with it is told."""
        try:
            if self.statuses.owns(raw):
                address, down = self.statuses.read(raw, value)
                self._set_status(raw, address, revision, down=down)
            elif key := self.keys.read(raw):
                service = read(key.path, value, revision, lease_ttl, self._rules)
                if self._hashes and is_hashed(key.path.rpartition(b"/")[2], value):
                    key = self.keys.odd(key.path.rpartition(b"/")[0], raw)
                before = self._key(raw) if self._hashes else None
                if before and before.head != key.head:
                    self._replace(before, None, revision)
                    self.odd.discard(raw)
                self._replace(key, key.head + pack(service), revision)
                if key.odd:
                    self.odd.add(raw)
        except ValueError as error:
            if self.wrong.key(raw, revision, str(error)):
                self._forget(raw, revision)
        else:
            if self.wrong.keys:
                self.wrong.mend(shown(raw))

    def load(
        self, raw: bytes, value: bytes, revision: int, lease_ttl: int | None, time: float
    ) -> Put | None:
        """Take a key that is new; what its name gives, where that is all in its value.

        That is what ``put`` and ``take`` do, at half the cost, for a key that comes in order and is
        alone at its name, as most are.
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
        if known or not records or not self._tree.append(item):
            self._replace(ServiceKey(path, head, odd=False), item, revision)
            return None
        if self._subtree:
            for one in above:
                # Those who follow it may have been told since it was marked.
                if one not in self._dirty or (self._dependents and one in self._dependents):
                    self._mark(one, revision)
        return Put(self.keys.text(path), revision, time, records)

    def delete(self, raw: bytes, revision: int) -> None:
        """Forget a key."""
        if not self.wrong.keys or not self.wrong.mend(shown(raw)):
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
            self.odd.discard(raw)

    def _key(self, raw: bytes) -> ServiceKey | None:
        """A key that may be known."""
        try:
            key = self.keys.read(raw)
        except ValueError:
            return None
        if key and raw in self.odd:
            hashed = self.keys.odd(key.path.rpartition(b"/")[0], raw)
            # A key that is irregular by itself may be known at its own path or at the parent's.
            if not key.odd or self._tree.get(hashed.head) is not None:
                return hashed
        return key

    def _replace(self, key: ServiceKey, item: bytes | None, revision: int) -> None:
        old = self._tree.pop(key.head) if item is None else self._tree.put(key.head, item)
        if item is not None or old is not None:
            self.statuses.hold(key.head, old, item)
            self._touch(key.path, key.head, revision, gone=item is None)

    def _set_status(self, raw: bytes, address: bytes, revision: int, *, down: bool) -> None:
        if self.statuses.set(raw, address, down=down):
            for head in self.statuses.heads(address):
                self._touch(self.keys.split(head)[0], head, revision)

    def _touch(self, path: bytes, head: bytes, revision: int, *, gone: bool = False) -> None:
        """Note which names the key with a head is part of."""
        self._mark(path, revision)
        if self._subtree and not is_reverse(path):
            for above in self.keys.above(path):
                last = self._last.get(above)
                # What waits to be told may have a new last one.
                if last is None or head <= last or above in self._dirty:
                    self._mark(above, revision)
                elif gone and not self._tree.after(last + b"\0")[0].startswith(above + b"/"):
                    # There are no more of it than it answers with.
                    self._mark(above, revision)
        for apex in self.keys.apexes(path):
            self._mark(apex, revision)

    def _mark(self, path: bytes, revision: int) -> None:
        self._dirty[path] = revision
        for dependent in self._dependents.get(path, ()):
            self._dirty[dependent] = revision

    def take(self, time: float) -> list[Told]:
        """What is new of the names that may have changed, at a time in epoch seconds.

        Those with many services stay for later (see ``later``), as do all where there are many.
        """
        told: list[Told] = []
        dirty, self._dirty, self._maker.looked = self._dirty, {}, 0
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
                told.append(put)
                continue
            if self._maker.looked > AT_ONCE:
                self._dirty[path] = revision
                continue
            try:
                for _ in self._tell(told, path, revision, time, LARGE):
                    pass
            except Large:
                self._large.add(path)
                self._dirty[path] = revision
        return [*self.wrong.told(), *told]

    def _leaf(self, path: bytes, time: float) -> Put | None:
        """What ``_tell`` gives of a name with one key that has one address, as most are."""
        keys = self.keys
        if path in self._below or path in self._targets or path in self.wrong.names:
            return None
        if path in keys.zones or is_reverse(path):
            return None
        head = path + keys.plain
        item, after = self._tree.after(head)
        if not item.startswith(head) or (after and after < path + b"0"):
            return None
        service = unpack(path, item, len(head))
        records = rrsets.address_records(service, name_of(path))
        return Put(keys.text(path), service.revision, time, records) if records else None

    @property
    def waits(self) -> bool:
        """Whether there is something for later."""
        return bool(self._dirty or self.wrong.news)

    def later(self, time: float) -> Iterator[list[Told]]:
        """What is new of the rest, with a break after each step: then there is nothing yet.

        In between, changes and what is told of them may be taken. Begun again, it goes on with what
        was not told of the one before.
        """
        begun, revision = self._begun
        if begun:
            self._dirty.setdefault(begun, revision)
        while self.waits:
            if self.wrong.news:
                yield [*self.wrong.told()]
                continue
            path = next(iter(self._dirty))
            revision = self._dirty.pop(path)
            told: list[Told] = []
            self._begun = path, revision
            for _ in self._tell(told, path, revision, time, None):
                yield []
            self._begun = b"", 0
            yield told

    def left_out(self, owner: bytes) -> list[WithheldRecord]:
        """The records of a folded owner name whose addresses are down while there are others."""
        path, found = path_of(owner), []
        if self.statuses.down and self.keys.top(path) is not None:
            look = Look(path, None)
            for _ in self._maker.make(self._maker.items(path), look):
                pass
            for (rtype, rdata), (weight, address) in sorted(look.left.down.items()):
                key = self.statuses.down[address]
                found.append(WithheldRecord(rtype, weight, rdata, f"{shown(key)} says it is down"))
        return found

    def _tell(
        self, told: list[Told], path: bytes, revision: int, time: float, most: int | None
    ) -> Iterator[None]:
        """Append what a name gives now: under the key of its path, or ``text_below``.

        Raises Large where it is made of more than ``most`` services, to be told later. What is
        noted before a break, ``_last`` and aliases, is so that changes in the break are seen.
        """
        items = self._maker.items(path)
        look = Look(path, most)
        look.many = len(items) > MOST
        if look.many:
            self._last[path] = items[MOST - 1]
        elif self._last:
            self._last.pop(path, None)
        found = yield from self._maker.make(items, look)
        if look.services > LARGE:
            self._large.add(path)
        elif self._large:
            self._large.discard(path)
        if look.targets or self._targets:
            self._aliases.set(path, look.targets)
        self.wrong.name(path, look.wrong())
        key, below, known = self.keys.text(path), self.keys.text_below(path), path in self._below
        alone = len(items) == 1 and items[0].startswith(path + self.keys.plain) and not look.targets
        if found:
            owner = name_of(path)
            records = tuple(
                [Record(owner, rtype, packed) for rtype, packed in sorted(found.items())]
            )
            told.append(Put(key if alone else below, look.newest, time, records))
        if not alone and found:
            if not known:
                told.append(Delete(key, revision))
                self._below.add(path)
            return
        if not found:
            told.append(Delete(key, revision))
        if known:
            self._below.remove(path)
            told.append(Delete(below, revision))
