"""What a name is made of, as far as it was looked at, and what of that is left out."""

from typing import Final

from musterd.model import type_text
from musterd.sources.etcd.answers import FOLLOWED, MOST

_KEYS: Final = f"has more than {MOST} keys at and below it"
_FOLLOWED: Final = f"has aliases to names with more than {FOLLOWED} services"


class Large(Exception):  # noqa: N818 - it is no error.
    """A name is made of so many services that it waits."""


class Look:
    """What one name is made of."""

    __slots__ = ("cut", "followed", "full", "many", "most", "newest", "services", "targets")

    def __init__(self, most: int | None) -> None:
        """most: services that may be looked at."""
        self.most = most
        self.services = 0
        self.newest = 0
        """The highest revision of its keys."""
        self.targets: set[bytes] = set()
        """Paths whose addresses it gives."""
        self.followed = 0
        """Services at these."""
        self.full = False
        """Whether there are more of them than it answers with."""
        self.many = False
        """Whether it has more keys than it answers with."""
        self.cut: set[int] = set()
        """Types of which it has more records than an RRset."""

    def take(self, services: int) -> None:
        """Count services before they are looked at. Raises Large."""
        self.services += services
        if self.most is not None and self.services > self.most:
            raise Large

    def wrong(self) -> str:
        """What is left out, if anything is. It holds no count, or each key would change it."""
        wrong = [_KEYS] * self.many + [_FOLLOWED] * self.full
        wrong += [f"has more {type_text(one)} records than an RRset" for one in sorted(self.cut)]
        return f"{', '.join(wrong)}: the rest is left out" if wrong else ""


class Aliases:
    """Which names give the addresses of which others."""

    def __init__(self) -> None:
        """None."""
        self.targets: dict[bytes, set[bytes]] = {}
        """Path -> those whose addresses it gives; and the other way round."""
        self.dependents: dict[bytes, set[bytes]] = {}

    def set(self, path: bytes, targets: set[bytes]) -> None:
        """Note whose addresses a name gives."""
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
