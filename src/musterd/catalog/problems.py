"""Problems of a source: the records and keys that can't be used."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from musterd.display import shorten, shorten_unique

PROBLEMS = 100
"""Maximum problems of a source that are kept, and logged for each full list; all are counted."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Problem:
    """A rejected part of a source: its location, the reason, and the time (epoch seconds).

    owner: the folded owner name that lacks records therefore; empty if it is not known.
    """

    where: str
    reason: str
    time: float
    owner: bytes = b""


class Problems:
    """The most recent unresolved problems of one source, at most ``PROBLEMS``."""

    def __init__(self, source: str, clock: Callable[[], float]) -> None:
        """Create an empty list."""
        self.total = 0
        """Problems since the start."""
        self.forgotten = 0
        """Problems that were dropped to make room for later ones and may still exist."""
        self._source = source
        self._clock = clock
        self._logged = 0
        """Problems logged since the last full list began."""
        self.known: dict[str | bytes, dict[str, Problem]] = {}
        """Location, or key of the row -> problems by location."""

    @property
    def last(self) -> tuple[Problem, ...]:
        """The problems that are kept, the newest last."""
        return tuple(p for found in self.known.values() for p in found.values())[-PROBLEMS:]

    def add(self, where: str, reason: str, key: bytes | None = None, owner: bytes = b"") -> None:
        """Count and keep a problem; key: of its row, which may have several problems."""
        where, reason = shorten_unique(where), shorten(reason)
        self.total += 1
        place = where if key is None else key
        found = self.known.pop(place, {})
        found.pop(where, None)
        found[where] = Problem(where, reason, self._clock(), owner)
        self.known[place] = found
        if len(found) > PROBLEMS:
            del found[next(iter(found))]
            self.forgotten += 1
        if len(self.known) > PROBLEMS:
            self.forgotten += len(self.known.pop(next(iter(self.known))))
        if self._logged < PROBLEMS:
            self._logged += 1
            log.warning("record dropped", source=self._source, where=where, reason=reason)
            if self._logged == PROBLEMS:
                log.warning("further problems are counted but not logged", source=self._source)

    def drop(self, place: str | bytes) -> None:
        """Drop the problems of a location, or of the row with a key."""
        self.known.pop(shorten_unique(place) if isinstance(place, str) else place, None)

    def begin(self) -> None:
        """Drop all problems, as a full list follows."""
        self._logged = self.forgotten = 0
        self.known.clear()
