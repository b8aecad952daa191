"""What is in etcd, and the RRsets of the names that a change of it touches.

A name answers with what its own key says and every key below it, but with no more than the first
``MOST`` of these, in the order of the keys. So a change touches its own name and those above it,
save where so many come before that it isn't one of the first.

Kept for each key is one octet string (``Tree``): its head, and what it says in packed form.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from musterd.model import AAAA, A, Delete, Fault, Put, Record, name_to_text
from musterd.sources.etcd import answers
from musterd.sources.etcd.answers import MOST, RRsets
from musterd.sources.etcd.layout import Key, Keys, Layout, is_reverse, name_of
from musterd.sources.etcd.message import Rules, Service, is_hashed, pack, read, revision_of, unpack
from musterd.sources.etcd.status import Statuses
from musterd.sources.etcd.tree import Tree

LARGE: Final = 100
"""Services of a name that is told after the others."""
STEP: Final = 250
"""Services that are looked at without a break: half a millisecond of work."""
BELOW: Final = "/..."
"""Stands after the key of a path for all keys below it; no key that has a name ends so."""

_ABOVE: Final = b"\x7f"
"""Above every head."""
Told = Put | Delete | Fault
"""What is told of a name."""


class _Look:
    """What a name is made of."""

    __slots__ = ("newest", "targets")

    def __init__(self) -> None:
        self.newest = 0
        """The highest revision of its keys."""
        self.targets: set[bytes] = set()
        """Paths whose addresses it gives."""


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
        self.bad: dict[bytes, int] = {}
        """Keys that can't be read, and their revisions."""
        self._layout = layout
        self._rules = Rules(ttl, layout.typed)
        self._subtree = subtree
        self._hashes = layout.typed and not subtree
        self._tree = Tree()
        self._dirty: dict[bytes, int] = {}
        """Paths whose names may have changed, and the revision of that."""
        self._begun = b""
        """The path of a name that is about to be told."""
        self._below: dict[bytes, int] = {}
        """Paths of names that were told with what is below them -> how many services."""
        self._last: dict[bytes, bytes] = {}
        """Paths of names that have more than they answer with -> the last head that counts."""
        self._targets: dict[bytes, set[bytes]] = {}
        """Path -> those whose addresses it gives; and the other way round."""
        self._dependents: dict[bytes, set[bytes]] = {}

    @property
    def empty(self) -> bool:
        """Whether no key is known."""
        return not (self._tree or self.bad or self.statuses.down)

    def revision(self, raw: bytes) -> int | None:
        """The revision of a key that is known, if it isn't a status."""
        if raw in self.bad:
            return self.bad[raw]
        key = self._key(raw)
        item = self._tree.get(key.head) if key else None
        return None if item is None or key is None else revision_of(item, len(key.head))

    def between(self, after: bytes, upto: bytes | None) -> set[bytes]:
        """The known keys that come after one in etcd's order, up to another; not the odd ones."""
        low = self.keys.bound(after)
        high = _ABOVE if upto is None else self.keys.bound(upto)
        return {self.keys.raw(item) for item in self._tree.each(low, high)} - self.odd

    def put(self, raw: bytes, value: bytes, revision: int, lease_ttl: int | None) -> Fault | None:
        """Take a key; what is wrong with it, if it can't be read: then it gives nothing."""
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
            self.delete(raw, revision)
            self.bad[raw] = revision
            return Fault(raw.decode("utf-8", "backslashreplace"), str(error))
        if self.bad:
            self.bad.pop(raw, None)
        return None

    def load(
        self, raw: bytes, value: bytes, revision: int, lease_ttl: int | None, time: float
    ) -> Put | None:
        """Take a key that is new: what its name gives, where that is all in its value.

        It is what ``put`` and ``take`` do, at half the cost, for a key that comes in order and is
        alone at its name, as most are. None where it is not that simple: then nothing is taken.
        """
        child = self.keys.child(raw)
        if child is None:
            return None
        path, owner, above = child
        if path in self._below or path in self._targets or path in self._dependents:
            return None
        try:
            service = read(path, value, revision, lease_ttl, self._rules)
        except ValueError:
            return None
        records = answers.address_records(service, owner)
        if not records or not self._tree.append(path + self.keys.plain + pack(service)):
            return None
        if self._subtree:
            for one in above:
                if one not in self._dirty:
                    self._mark(one, revision)
        return Put(self.keys.text(path), revision, time, records)

    def delete(self, raw: bytes, revision: int) -> None:
        """Forget a key."""
        if self.bad.pop(raw, None) is not None:
            return
        if self.statuses.owns(raw):
            address = self.statuses.address(raw)
            if address is not None:
                self._set_status(raw, address, revision, down=False)
            return
        key = self._key(raw)
        if key is not None:
            self._replace(key, None, revision)
            self.odd.discard(raw)

    def _key(self, raw: bytes) -> Key | None:
        """A key that may be known."""
        try:
            key = self.keys.read(raw)
        except ValueError:
            return None
        if key and not key.odd and raw in self.odd:
            return self.keys.odd(key.path.rpartition(b"/")[0], raw)
        return key

    def _replace(self, key: Key, item: bytes | None, revision: int) -> None:
        old = self._tree.pop(key.head) if item is None else self._tree.put(key.head, item)
        if item is not None or old is not None:
            self.statuses.hold(key.head, old, item)
            self._touch(key.path, key.head, revision)

    def _set_status(self, raw: bytes, address: bytes, revision: int, *, down: bool) -> None:
        if self.statuses.set(raw, address, down=down):
            for head in self.statuses.heads(address):
                self._touch(self.keys.split(head)[0], head, revision)

    def _touch(self, path: bytes, head: bytes, revision: int) -> None:
        """Note which names the key with a head is part of."""
        self._mark(path, revision)
        if self._subtree and not is_reverse(path):
            for above in self.keys.above(path):
                last = self._last.get(above)
                # What waits to be told may have a new last one.
                if last is None or head <= last or above in self._dirty:
                    self._mark(above, revision)
        for apex in self.keys.apexes(path):
            self._mark(apex, revision)

    def _mark(self, path: bytes, revision: int) -> None:
        self._dirty[path] = revision
        for dependent in self._dependents.get(path, ()):
            self._dirty[dependent] = revision

    def take(self, time: float) -> list[Told]:
        """What is new of the names that may have changed, at a time in epoch seconds.

        Those with many services stay for later (see ``later``).
        """
        dirty, self._dirty = self._dirty, {}
        if self._below or self._begun:
            count = self._below.get
            self._dirty = {path: rev for path, rev in dirty.items() if count(path, 0) > LARGE}
            if self._begun in dirty:
                self._dirty[self._begun] = dirty[self._begun]
            for path in self._dirty:
                del dirty[path]
        told: list[Told] = []
        for path, revision in dirty.items():
            put = self._leaf(path, time)
            if put is not None:
                told.append(put)
                continue
            for _ in self._tell(told, path, revision, time):
                pass
        return told

    def _leaf(self, path: bytes, time: float) -> Put | None:
        """What ``_tell`` gives of a name with one key that has one address, as most are."""
        keys = self.keys
        if path in self._below or path in self._targets or path in keys.zones or is_reverse(path):
            return None
        head = path + keys.plain
        item, after = self._tree.after(head)
        if not item.startswith(head) or (after and after < path + b"0"):
            return None
        service = unpack(path, item, len(head))
        records = answers.address_records(service, name_of(path))
        return Put(keys.text(path), service.revision, time, records) if records else None

    @property
    def waits(self) -> bool:
        """Whether there are names for later."""
        return bool(self._dirty)

    def later(self, time: float) -> Iterator[list[Told]]:
        """What is new of the rest, with a break after each step: then there is nothing yet.

        In between, changes and what is told of them may be taken.
        """
        while self._dirty:
            path = next(iter(self._dirty))
            revision = self._dirty.pop(path)
            told: list[Told] = []
            self._begun = path
            for _ in self._tell(told, path, revision, time):
                yield []
            self._begun = b""
            yield told

    def _tell(self, told: list[Told], path: bytes, revision: int, time: float) -> Iterator[None]:
        """Append what a name gives now: under the key of its path, or that and ``BELOW``."""
        items = self._items(path)
        if len(items) > MOST or self._last:
            self._cut(told, path, items)
        look = _Look()
        services: list[Service] = []
        for at in range(0, min(len(items), MOST), STEP):
            services += self._services(items[at : min(at + STEP, MOST)], look)
            if len(items) > STEP:
                yield
        found = yield from self._rrsets(path, services, look)
        if look.targets or self._targets:
            self._depend(path, look.targets)
        key, known = self.keys.text(path), path in self._below
        alone = len(items) == 1 and items[0].startswith(path + self.keys.plain) and not look.targets
        if found:
            owner = name_of(path)
            records = tuple(
                [Record(owner, rtype, packed) for rtype, packed in sorted(found.items())]
            )
            told.append(Put(key if alone else key + BELOW, look.newest, time, records))
        if not alone and found:
            if not known:
                told.append(Delete(key, revision))
            self._below[path] = len(services)
            return
        if not found:
            told.append(Delete(key, revision))
        if known:
            del self._below[path]
            told.append(Delete(key + BELOW, revision))

    def _rrsets(
        self, path: bytes, services: Sequence[Service], look: _Look
    ) -> Generator[None, None, RRsets]:
        apex, down = path in self.keys.zones, self.statuses.down
        found: RRsets | None = {}
        if is_reverse(path):
            found = answers.reverse(services)
        elif not apex or self._layout.whole:
            found = answers.alias(path, services, apex=apex)
        if found is None:
            found = {}
            hosts = answers.with_host(services)
            for part in answers.others(services, hosts, down):
                found |= part
                if len(services) > STEP:
                    yield
            # Without a break from here on: a target that changes meanwhile would not be noted.
            found |= answers.addresses(path, hosts, partial(self._follow, look), down)
        if apex:
            for rtype, place in self._layout.apex.items():
                found |= self._special(path + b"/" + place, rtype, look, found)
        return found

    def _special(self, path: bytes, rtype: int, look: _Look, found: RRsets) -> RRsets:
        """What an apex has of the keys at a place of their own."""
        services = self._services(self._items(path, subtree=True)[:MOST], look)
        if not services:
            return {}
        if rtype != A:
            return answers.of_type(rtype, services)
        for family in (A, AAAA):
            found.pop(family, None)
        hosts = answers.with_host(services)
        return answers.addresses(path, hosts, partial(self._follow, look), self.statuses.down)

    def _follow(self, look: _Look, path: bytes) -> Sequence[Service]:
        """The hosts that an alias leads to."""
        if self.keys.top(path) is None:
            return ()
        look.targets.add(path)
        services: Sequence[Service] = ()
        if path in self.keys.zones:
            place = self._layout.apex[A]
            services = self._services(self._items(path + b"/" + place, subtree=True)[:MOST], look)
        if not services:
            services = self._services(self._items(path)[:MOST], look)
        return answers.with_host(services)

    def _depend(self, path: bytes, targets: set[bytes]) -> None:
        """Note whose addresses a name gives."""
        before = self._targets.pop(path, set())
        for target in before - targets:
            dependents = self._dependents[target]
            dependents.discard(path)
            if not dependents:
                del self._dependents[target]
        for target in targets - before:
            self._dependents.setdefault(target, set()).add(path)
        if targets:
            self._targets[path] = targets

    def _items(self, path: bytes, *, subtree: bool | None = None) -> list[bytes]:
        """What is at a path and below it, one more than counts if there is more."""
        keys, tree = self.keys, self._tree
        if not (self._subtree if subtree is None else subtree) or is_reverse(path):
            return tree.slice(*keys.own(path), MOST + 1)
        low, high = keys.below(path)
        if keys.below_has_own:
            return tree.slice(low, high, MOST + 1)
        first, second = tree.after(path + b"\0")
        if first.startswith(path + b"\0") and (second >= high or not second):
            return [first]
        own = tree.slice(*keys.own(path), MOST + 1)
        return own + tree.slice(low, high, MOST + 1 - len(own))

    def _services(self, items: Sequence[bytes], look: _Look) -> list[Service]:
        """What some items say."""
        found = []
        for item in items:
            path, at = self.keys.split(item)
            service = unpack(path, item, at)
            look.newest = max(look.newest, service.revision)
            found.append(service)
        return found

    def _cut(self, told: list[Told], path: bytes, items: Sequence[bytes]) -> None:
        """Note where a name has more than it answers with."""
        if len(items) <= MOST:
            self._last.pop(path, None)
            return
        if path not in self._last:
            more = self._tree.count(self.keys.own(path)[0], self.keys.below(path)[1])
            reason = f"has {more} keys at and below it: it answers with the first {MOST}"
            told.append(Fault(name_to_text(name_of(path)), reason))
        self._last[path] = items[MOST - 1]
