"""What a name is made of, as far as it was looked at, and what of that is left out."""

from typing import Final

from musterd.rr.types import type_text
from musterd.sources.etcd.rrsets import FOLLOWED, MOST, Left

_KEYS: Final = f"has more than {MOST} keys at and below it"
_FOLLOWED: Final = f"has aliases to names with more than {FOLLOWED} services"


class Large(Exception):  # noqa: N818 - it is no error.
    """A name is made of so many services that it waits."""


class Look:
    """What one name is made of."""

    __slots__ = (
        "followed",
        "full",
        "left",
        "many",
        "most",
        "newest",
        "path",
        "services",
        "targets",
    )

    def __init__(self, path: bytes, most: int | None) -> None:
        """path: of the name; most: services that may be looked at."""
        self.path = path
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
        self.left = Left()

    def take(self, services: int) -> None:
        """Count services before they are looked at. Raises Large."""
        self.services += services
        if self.most is not None and self.services > self.most:
            raise Large

    def wrong(self) -> str:
        """What is left out, if anything is. It holds no count, or each key would change it."""
        wrong = [_KEYS] * self.many + [_FOLLOWED] * self.full
        wrong += [
            f"has more {type_text(one)} records than an RRset" for one in sorted(self.left.cut)
        ]
        return f"{', '.join(wrong)}: the rest is left out" if wrong else ""


class Aliases:
    """Which names give the addresses of which others."""

    def __init__(self) -> None:
        """None."""
        self.targets: dict[bytes, set[bytes]] = {}
        """Path -> those whose addresses it gives; and the other way round."""
        self.dependents: dict[bytes, set[bytes]] = {}

    def add(self, path: bytes, target: bytes) -> None:
        """Note that a name gives the addresses of another, too."""
        self.targets.setdefault(path, set()).add(target)
        self.dependents.setdefault(target, set()).add(path)

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
