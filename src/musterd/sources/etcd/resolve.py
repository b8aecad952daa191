"""Resolves a name: the RRsets of its own key, of the keys below it, and of its aliases."""

from collections.abc import Generator, Iterator, Sequence
from functools import partial

from musterd.rr.types import AAAA, A, type_text
from musterd.sources.etcd import rrsets
from musterd.sources.etcd.health import Statuses
from musterd.sources.etcd.keys import KeyCodec, is_reverse
from musterd.sources.etcd.limits import NameLimits
from musterd.sources.etcd.rrsets import RRsetBuilder, RRsets
from musterd.sources.etcd.service import ServiceRecord, unpack
from musterd.sources.etcd.sorted_blocks import SortedBlocks


class LargeName(Exception):  # noqa: N818 - not an error
    """A name has so many services that it is resolved in the background."""


class Resolution:
    """State of resolving one name: services read, aliases followed, RRsets built."""

    __slots__ = (
        "builder",
        "followed",
        "full",
        "has_more_keys",
        "limit",
        "newest",
        "path",
        "services",
        "targets",
    )

    def __init__(self, path: bytes, builder: RRsetBuilder, limit: int | None) -> None:
        """Start with nothing read. limit: maximum services to read, None for no limit."""
        self.path = path
        self.builder = builder
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

    def count(self, services: int) -> None:
        """Count services before they are read. Raises LargeName."""
        self.services += services
        if self.limit is not None and self.services > self.limit:
            raise LargeName


class Aliases:
    """The names that answer with the addresses of other names."""

    def __init__(self) -> None:
        """Create an empty set of aliases."""
        self.targets: dict[bytes, set[bytes]] = {}
        """Path of a name -> paths of its targets; ``dependents`` is the reverse."""
        self.dependents: dict[bytes, set[bytes]] = {}

    def add(self, path: bytes, target: bytes) -> None:
        """Add a target to a name."""
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
        keys: KeyCodec,
        blocks: SortedBlocks,
        statuses: Statuses,
        limits: NameLimits,
        *,
        subtree: bool,
    ) -> None:
        """Create a resolver. subtree: True if a name also answers with the keys below it."""
        self.aliases = Aliases()
        self.services_read = 0
        """Services read since the counter was last reset."""
        self._keys = keys
        self._items = blocks
        self._statuses = statuses
        self._limits = limits
        self._subtree = subtree

    def begin(self, path: bytes, limit: int | None) -> Resolution:
        """Return the state in which a name is resolved; see ``Resolution``."""
        return Resolution(path, RRsetBuilder(self._statuses.down, self._limits), limit)

    def resolve(
        self, items: Sequence[bytes], resolution: Resolution
    ) -> Generator[None, None, RRsets]:
        """Return the RRsets of a name with some items. Raises LargeName.

        Yields where a pause is possible. A change during a pause may be included or not;
        ``aliases`` tells which names it affects.
        """
        services: list[ServiceRecord] = []
        items, step = items[: self._limits.max_records], self._limits.step
        for at in range(0, len(items), step):
            services += self._services(items[at : at + step], resolution)
            if len(items) > step:
                yield
        return (yield from self._rrsets(services, resolution))

    def truncation(self, resolution: Resolution) -> str:
        """Return why a name is truncated, without a count that would change; else empty."""
        limits = self._limits
        reasons: list[str] = []
        if resolution.has_more_keys:
            reasons.append(f"has more than {limits.max_records} keys at and below it")
        if resolution.full:
            reasons.append(f"has aliases to names with more than {limits.max_followed} services")
        reasons += [
            f"has more {type_text(rtype)} records than an RRset can hold"
            for rtype in sorted(resolution.builder.cut)
        ]
        return f"{', '.join(reasons)}: the rest is dropped" if reasons else ""

    def _rrsets(
        self, services: Sequence[ServiceRecord], resolution: Resolution
    ) -> Generator[None, None, RRsets]:
        path, builder = resolution.path, resolution.builder
        apex = path in self._keys.zones
        found: RRsets | None = {}
        if is_reverse(path):
            found = builder.reverse(services)
        elif not apex or self._keys.layout.whole:
            found = rrsets.alias(path, services, apex=apex)
        if found is None:
            found = {}
            hosts = rrsets.with_host(services)
            for part in builder.others(services, hosts):
                found |= part
                if len(services) > self._limits.step:
                    yield
            for part in builder.addresses(path, hosts, partial(self._follow, resolution)):
                found |= part
                if not part:
                    yield
        if apex:
            for rtype, place in self._keys.layout.apex.items():
                for part in self._special(path + b"/" + place, rtype, resolution, found):
                    found |= part
                    if not part:
                        yield
        return found

    def _special(
        self, path: bytes, rtype: int, resolution: Resolution, found: RRsets
    ) -> Iterator[RRsets]:
        """Return the records of an apex that have keys of their own."""
        services = self._services(
            self.items(path, subtree=True)[: self._limits.max_records], resolution
        )
        if not services:
            return
        builder = resolution.builder
        if rtype != A:
            builder.cut.discard(rtype)
            yield builder.of_type(rtype, services)
            return
        # These replace the addresses of the whole zone.
        resolution.followed, resolution.full = 0, False
        builder.withheld = {
            known: held for known, held in builder.withheld.items() if known[0] not in {A, AAAA}
        }
        for family in (A, AAAA):
            found.pop(family, None)
            builder.cut.discard(family)
        hosts = rrsets.with_host(services)
        yield from builder.addresses(path, hosts, partial(self._follow, resolution))

    def _follow(self, resolution: Resolution, path: bytes) -> Sequence[ServiceRecord]:
        """Return the services that an alias leads to."""
        room = self._limits.max_followed - resolution.followed
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
            items = self.items(path + b"/" + self._keys.layout.apex[A], subtree=True)
        items = (items or self.items(path))[: self._limits.max_records]
        resolution.followed += len(items)
        resolution.full = resolution.full or len(items) > room
        return rrsets.with_host(self._services(items[:room], resolution))

    def items(self, path: bytes, *, subtree: bool | None = None) -> list[bytes]:
        """Return the items at and below a path, one more than the limit if there are more."""
        keys, blocks, most = self._keys, self._items, self._limits.max_records + 1
        if not (self._subtree if subtree is None else subtree) or is_reverse(path):
            return blocks.slice(*keys.own(path), most)
        low, high = keys.below(path)
        if keys.below_has_own:
            return blocks.slice(low, high, most)
        first, second = blocks.after(path + b"\0")
        if first.startswith(path + b"\0") and (second >= high or not second):
            return [first]
        own = blocks.slice(*keys.own(path), most)
        return own + blocks.slice(low, high, most - len(own))

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
