"""Resolves a name: the RRsets of its own key, of the keys below it, and of its aliases."""

from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import Final

from musterd.rr.types import AAAA, A, type_text
from musterd.sources.etcd import rrsets
from musterd.sources.etcd.health import Statuses
from musterd.sources.etcd.keys import KeyCodec, Layout, is_reverse
from musterd.sources.etcd.rrsets import MAX_FOLLOWED, MAX_RECORDS, STEP, Dropped, RRsets
from musterd.sources.etcd.service import ServiceRecord, unpack
from musterd.sources.etcd.sorted_blocks import SortedBlocks

_KEYS: Final = f"has more than {MAX_RECORDS} keys at and below it"
_FOLLOWED: Final = f"has aliases to names with more than {MAX_FOLLOWED} services"


class LargeName(Exception):  # noqa: N818 - not an error
    """A name is built from so many services that it is resolved in the background."""


class Resolution:
    """State of resolving one name: services read, aliases followed, records dropped."""

    __slots__ = (
        "dropped",
        "followed",
        "full",
        "has_more_keys",
        "limit",
        "newest",
        "path",
        "services",
        "targets",
    )

    def __init__(self, path: bytes, limit: int | None) -> None:
        """Start with nothing read. limit: maximum services to read, None for no limit."""
        self.path = path
        self.limit = limit
        self.services = 0
        self.newest = 0
        """The highest revision of its keys."""
        self.targets: set[bytes] = set()
        """Paths of the names whose addresses it answers with."""
        self.followed = 0
        """Services of these names."""
        self.full = False
        """True if they have more services than the name answers with."""
        self.has_more_keys = False
        """True if the name has more keys than it answers with."""
        self.dropped = Dropped()

    def count(self, services: int) -> None:
        """Count services before they are read. Raises LargeName."""
        self.services += services
        if self.limit is not None and self.services > self.limit:
            raise LargeName

    def truncation(self) -> str:
        """Return why the name is truncated, without a count that would change; else empty."""
        reasons = [_KEYS] * self.has_more_keys + [_FOLLOWED] * self.full
        reasons += [
            f"has more {type_text(rtype)} records than an RRset can hold"
            for rtype in sorted(self.dropped.cut)
        ]
        return f"{', '.join(reasons)}: the rest is dropped" if reasons else ""


class Aliases:
    """The names that answer with the addresses of other names."""

    def __init__(self) -> None:
        """Create an empty set of aliases."""
        self.targets: dict[bytes, set[bytes]] = {}
        """Path of a name -> paths of its targets; ``dependents`` is the reverse."""
        self.dependents: dict[bytes, set[bytes]] = {}

    def add(self, path: bytes, target: bytes) -> None:
        """Add a target to those of a name."""
        self.targets.setdefault(path, set()).add(target)
        self.dependents.setdefault(target, set()).add(path)

    def set(self, path: bytes, targets: set[bytes]) -> None:
        """Set the targets of a name."""
        before = self.targets.pop(path, set())
        for target in before - targets:
            dependents = self.dependents[target]
            dependents.discard(path)
            if not dependents:
                del self.dependents[target]
        for target in targets - before:
            self.dependents.setdefault(target, set()).add(path)
        if targets:
            self.targets[path] = targets


class Resolver:
    """Resolves names from the keys of an index."""

    def __init__(
        self,
        layout: Layout,
        keys: KeyCodec,
        blocks: SortedBlocks,
        statuses: Statuses,
        *,
        subtree: bool,
    ) -> None:
        """Create a resolver. subtree: True if a name also answers with the keys below it."""
        self.aliases = Aliases()
        self.services_read = 0
        """Services read since the counter was last reset."""
        self._layout = layout
        self._keys = keys
        self._items = blocks
        self._statuses = statuses
        self._subtree = subtree

    def resolve(
        self, items: Sequence[bytes], resolution: Resolution
    ) -> Generator[None, None, RRsets]:
        """Return the RRsets of a name with some items. Raises LargeName.

        Yields where a pause is possible. A change during a pause may be included or not;
        ``aliases`` tells which names it affects.
        """
        services: list[ServiceRecord] = []
        for at in range(0, min(len(items), MAX_RECORDS), STEP):
            services += self._services(items[at : min(at + STEP, MAX_RECORDS)], resolution)
            if len(items) > STEP:
                yield
        return (yield from self._rrsets(services, resolution))

    def _rrsets(
        self, services: Sequence[ServiceRecord], resolution: Resolution
    ) -> Generator[None, None, RRsets]:
        path, dropped = resolution.path, resolution.dropped
        apex, down = path in self._keys.zones, self._statuses.down
        found: RRsets | None = {}
        if is_reverse(path):
            found = rrsets.reverse(services, dropped)
        elif not apex or self._layout.whole:
            found = rrsets.alias(path, services, apex=apex)
        if found is None:
            found = {}
            hosts = rrsets.with_host(services)
            for part in rrsets.others(services, hosts, down, dropped):
                found |= part
                if len(services) > STEP:
                    yield
            for part in rrsets.addresses(
                path, hosts, partial(self._follow, resolution), down, dropped
            ):
                found |= part
                if not part:
                    yield
        if apex:
            for rtype, place in self._layout.apex.items():
                for part in self._special(path + b"/" + place, rtype, resolution, found):
                    found |= part
                    if not part:
                        yield
        return found

    def _special(
        self, path: bytes, rtype: int, resolution: Resolution, found: RRsets
    ) -> Iterator[RRsets]:
        """Return the records of an apex that have keys of their own."""
        services = self._services(self.items(path, subtree=True)[:MAX_RECORDS], resolution)
        if not services:
            return
        dropped, down = resolution.dropped, self._statuses.down
        if rtype != A:
            dropped.cut.discard(rtype)
            yield rrsets.of_type(rtype, services, dropped)
            return
        # These replace the addresses of the whole zone.
        resolution.followed, resolution.full = 0, False
        dropped.down = {
            known: held for known, held in dropped.down.items() if known[0] not in {A, AAAA}
        }
        for family in (A, AAAA):
            found.pop(family, None)
            dropped.cut.discard(family)
        hosts = rrsets.with_host(services)
        yield from rrsets.addresses(path, hosts, partial(self._follow, resolution), down, dropped)

    def _follow(self, resolution: Resolution, path: bytes) -> Sequence[ServiceRecord]:
        """Return the services that an alias leads to."""
        room = MAX_FOLLOWED - resolution.followed
        if self._keys.top(path) is None:
            return ()
        if room <= 0:
            resolution.full = True
            return ()
        resolution.targets.add(path)
        # Before a pause, during which it may change.
        self.aliases.add(resolution.path, path)
        items: Sequence[bytes] = ()
        if path in self._keys.zones:
            items = self.items(path + b"/" + self._layout.apex[A], subtree=True)
        items = (items or self.items(path))[:MAX_RECORDS]
        resolution.followed += len(items)
        resolution.full = resolution.full or len(items) > room
        return rrsets.with_host(self._services(items[:room], resolution))

    def items(self, path: bytes, *, subtree: bool | None = None) -> list[bytes]:
        """Return the items at and below a path, one more than the limit if there are more."""
        keys, blocks = self._keys, self._items
        if not (self._subtree if subtree is None else subtree) or is_reverse(path):
            return blocks.slice(*keys.own(path), MAX_RECORDS + 1)
        low, high = keys.below(path)
        if keys.below_has_own:
            return blocks.slice(low, high, MAX_RECORDS + 1)
        first, second = blocks.after(path + b"\0")
        if first.startswith(path + b"\0") and (second >= high or not second):
            return [first]
        own = blocks.slice(*keys.own(path), MAX_RECORDS + 1)
        return own + blocks.slice(low, high, MAX_RECORDS + 1 - len(own))

    def _services(self, items: Sequence[bytes], resolution: Resolution) -> list[ServiceRecord]:
        """Return the services of some items. Raises LargeName."""
        resolution.count(len(items))
        self.services_read += len(items)
        found = []
        for item in items:
            path, at = self._keys.split(item)
            service = unpack(path, item, at)
            resolution.newest = max(resolution.newest, service.revision)
            found.append(service)
        return found
