"""What of a source is left out now, and how often something was."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from musterd.display import shorten, shorten_unique

PROBLEMS = 100
"""Problems of a source that are remembered, and logged of one list; all are counted."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is left out: where it is in its source, why, and when that was seen (epoch seconds)."""

    where: str
    reason: str
    time: float


class Problems:
    """Those of one source that are so now, the last ``PROBLEMS`` of them."""

    def __init__(self, source: str, clock: Callable[[], float]) -> None:
        """None yet."""
        self.total = 0
        """How many there ever were."""
        self.forgotten = 0
        """How many of the present list made room for later ones, and may be so still."""
        self._source = source
        self._clock = clock
        self._told = 0
        """How many were logged since the last full list began."""
        self._known: dict[str | bytes, dict[str, Problem]] = {}
        """Where it is in the source, or the key of the row that has it -> by ``where``."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._known)

    @property
    def last(self) -> tuple[Problem, ...]:
        """Those that are remembered, the newest last."""
        return tuple(one for some in self._known.values() for one in some.values())[-PROBLEMS:]

    def add(self, where: str, reason: str, key: bytes | None = None) -> None:
        """Count and remember what is left out; by the key of its row, where one has several."""
        where, reason = shorten_unique(where), shorten(reason)
        self.total += 1
        place = where if key is None else key
        some = self._known.pop(place, {})
        some.pop(where, None)
        some[where] = Problem(where, reason, self._clock())
        self._known[place] = some
        if len(some) > PROBLEMS:
            del some[next(iter(some))]
            self.forgotten += 1
        if len(self._known) > PROBLEMS:
            self.forgotten += len(self._known.pop(next(iter(self._known))))
        if self._told < PROBLEMS:
            self._told += 1
            log.warning("left out", source=self._source, where=where, reason=reason)
            if self._told == PROBLEMS:
                log.warning("more may be left out, which is only counted", source=self._source)

    def drop(self, place: str | bytes) -> None:
        """Forget what was left out at a place, or of the row with a key: it is no more."""
        self._known.pop(shorten_unique(place) if isinstance(place, str) else place, None)

    def begin(self) -> None:
        """A full list follows."""
        self._told = self.forgotten = 0
        self._known.clear()
