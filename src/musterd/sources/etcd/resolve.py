"""Makes the RRsets of a name, of its own key, those below it and those that aliases lead to."""

from collections.abc import Generator, Iterator, Sequence
from functools import partial

from musterd.rr.types import AAAA, A
from musterd.sources.etcd import rrsets
from musterd.sources.etcd.health import Statuses
from musterd.sources.etcd.keys import Keys, Layout, is_reverse
from musterd.sources.etcd.look import Aliases, Look
from musterd.sources.etcd.rrsets import FOLLOWED, MOST, STEP, RRsets
from musterd.sources.etcd.service import Service, unpack
from musterd.sources.etcd.sorted_blocks import Tree


class Maker:
    """Looks at the keys of names."""

    def __init__(
        self, layout: Layout, keys: Keys, tree: Tree, statuses: Statuses, *, subtree: bool
    ) -> None:
        """subtree: whether a name answers with the keys below it, too."""
        self.aliases = Aliases()
        self.looked = 0
        """Services that were looked at, since someone said none."""
        self._layout = layout
        self._keys = keys
        self._tree = tree
        self._statuses = statuses
        self._subtree = subtree

    def make(self, items: Sequence[bytes], look: Look) -> Generator[None, None, RRsets]:
        """The RRsets of a name with some items, with a break after each step. Raises Large.

        What changes in a break is in them or not; of which names that may be, ``aliases`` knows.
        """
        services: list[Service] = []
        for at in range(0, min(len(items), MOST), STEP):
            services += self._services(items[at : min(at + STEP, MOST)], look)
            if len(items) > STEP:
                yield
        return (yield from self._rrsets(services, look))

    def _rrsets(self, services: Sequence[Service], look: Look) -> Generator[None, None, RRsets]:
        path, left = look.path, look.left
        apex, down = path in self._keys.zones, self._statuses.down
        found: RRsets | None = {}
        if is_reverse(path):
            found = rrsets.reverse(services, left)
        elif not apex or self._layout.whole:
            found = rrsets.alias(path, services, apex=apex)
        if found is None:
            found = {}
            hosts = rrsets.with_host(services)
            for part in rrsets.others(services, hosts, down, left):
                found |= part
                if len(services) > STEP:
                    yield
            for part in rrsets.addresses(path, hosts, partial(self._follow, look), down, left):
                found |= part
                if not part:
                    yield
        if apex:
            for rtype, place in self._layout.apex.items():
                for part in self._special(path + b"/" + place, rtype, look, found):
                    found |= part
                    if not part:
                        yield
        return found

    def _special(self, path: bytes, rtype: int, look: Look, found: RRsets) -> Iterator[RRsets]:
        """What an apex has of the keys at a place of their own."""
        services = self._services(self.items(path, subtree=True)[:MOST], look)
        if not services:
            return
        left, down = look.left, self._statuses.down
        if rtype != A:
            left.cut.discard(rtype)
            yield rrsets.of_type(rtype, services, left)
            return
        # Not those of the whole zone.
        look.followed, look.full = 0, False
        left.down = {known: held for known, held in left.down.items() if known[0] not in {A, AAAA}}
        for family in (A, AAAA):
            found.pop(family, None)
            left.cut.discard(family)
        hosts = rrsets.with_host(services)
        yield from rrsets.addresses(path, hosts, partial(self._follow, look), down, left)

    def _follow(self, look: Look, path: bytes) -> Sequence[Service]:
        """The hosts that an alias leads to."""
        left = FOLLOWED - look.followed
        if self._keys.top(path) is None:
            return ()
        if left <= 0:
            look.full = True
            return ()
        look.targets.add(path)
        # Before a break, in which it may change.
        self.aliases.add(look.path, path)
        items: Sequence[bytes] = ()
        if path in self._keys.zones:
            items = self.items(path + b"/" + self._layout.apex[A], subtree=True)
        items = (items or self.items(path))[:MOST]
        look.followed += len(items)
        look.full = look.full or len(items) > left
        return rrsets.with_host(self._services(items[:left], look))

    def items(self, path: bytes, *, subtree: bool | None = None) -> list[bytes]:
        """What is at a path and below it, one more than counts if there is more."""
        keys, tree = self._keys, self._tree
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

    def _services(self, items: Sequence[bytes], look: Look) -> list[Service]:
        """What some items say. Raises Large."""
        look.take(len(items))
        self.looked += len(items)
        found = []
        for item in items:
            path, at = self._keys.split(item)
            service = unpack(path, item, at)
            look.newest = max(look.newest, service.revision)
            found.append(service)
        return found
