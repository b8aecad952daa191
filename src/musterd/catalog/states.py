"""Whether what is known of a zone can be trusted: loading, restoring, live, stale."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final

from musterd.clock import Clock, Timer

LIVE: Final = 0
LOADING: Final = 1
STALE: Final = 2
RESTORING: Final = 3
"""As the core's ``STATE_*``."""
STATE_TEXT: Final = ("live", "loading", "stale", "restoring")


@dataclass(slots=True)
class SourceStatus:
    """How far a source is; times are epoch seconds."""

    begun: bool = False
    """A full list is on its way."""
    synced: float | None = None
    """When it was last complete."""
    restoring: bool = False
    """Whether rows of a snapshot are taken, or were."""
    restored: float | None = None
    """When the snapshot was taken that its rows are from."""
    lost: float | None = None
    """Since when it can't be read."""
    lost_monotonic: float = 0.0
    reason: str = ""
    """Why it can't."""
    revision: int = 0

    @property
    def known(self) -> bool:
        """Whether its rows are, or once were, all that it gives."""
        return self.synced is not None or self.restored is not None


@dataclass(slots=True)
class ZoneState:
    """The state of a zone, and since when (epoch seconds)."""

    needs: tuple[str, ...]
    """The sources that it is made of."""
    stale_after: float
    """Seconds for which one of these may be lost."""
    state: int
    since: float
    timer: Timer | None = None


class States:
    """Follows the sources and tells the core the state of each zone."""

    def __init__(self, tell: Callable[[bytes, int], None], clock: Clock) -> None:
        """``tell`` hears the apex and the state of a zone, each time that it changes."""
        self.sources: dict[str, SourceStatus] = {}
        self.zones: dict[bytes, ZoneState] = {}
        self.live_until = inf
        """When the core marks all answers, by the monotonic clock (see ``Heartbeat``)."""
        self._live_since = -inf
        """When it did so no more (epoch seconds)."""
        self._tell = tell
        self._clock = clock
        self._needed_by: dict[str, list[bytes]] = {}

    def configure(self, zones: Mapping[bytes, tuple[tuple[str, ...], float]]) -> None:
        """Set each zone's sources and stale_after, by apex; a new zone is loading."""
        for apex in self.zones.keys() - zones.keys():
            _cancel(self.zones.pop(apex))
        self._needed_by = {}
        for apex, (needs, stale_after) in zones.items():
            new = ZoneState(needs, stale_after, LOADING, self._clock.time())
            known = self.zones.setdefault(apex, new)
            known.needs, known.stale_after = needs, stale_after
            for name in needs:
                self._needed_by.setdefault(name, []).append(apex)
        self.sources = {name: self.sources.get(name, SourceStatus()) for name in self._needed_by}
        self.refresh(self.zones)

    def begin(self, name: str) -> None:
        """A source has begun a full list."""
        self.sources[name].begun = True

    def synced(self, name: str, revision: int) -> None:
        """A source is complete."""
        self.sources[name] = SourceStatus(begun=True, synced=self._clock.time(), revision=revision)
        self.refresh(self._needed_by.get(name, ()))

    def restoring(self, name: str) -> None:
        """Rows of a snapshot come, which may be old."""
        self.sources[name].restoring = True
        self.refresh(self._needed_by.get(name, ()))

    def restored(self, name: str, time: float) -> None:
        """The rows of a source are those of a snapshot of that time."""
        self.sources[name].restored = time
        self.refresh(self._needed_by.get(name, ()))

    def lost(self, name: str, reason: str) -> None:
        """A source can't be read."""
        status = self.sources[name]
        status.begun, status.reason = False, reason
        if status.lost is None:
            status.lost, status.lost_monotonic = self._clock.time(), self._clock.monotonic()
        self.refresh(self._needed_by.get(name, ()))

    def said(self, apex: bytes) -> tuple[int, float]:
        """The state of a zone as answers have it, and since when (epoch seconds)."""
        zone = self.zones[apex]
        if zone.state != LIVE:
            return zone.state, zone.since
        late = self._clock.monotonic() - self.live_until
        if late >= 0:
            return STALE, max(zone.since, self._clock.time() - late)
        return LIVE, max(zone.since, self._live_since)

    def live_again(self, since: float) -> None:
        """Answers are marked no more that were for their sources not being followed.

        What was found lost after a time, by the monotonic clock, may have been lost then.
        """
        self._live_since = self._clock.time()
        for status in self.sources.values():
            status.lost_monotonic = min(status.lost_monotonic, since)
        self.refresh(self.zones)

    def refresh(self, apexes: Iterable[bytes]) -> None:
        """Find the state of some zones anew, and tell those that changed."""
        for apex in apexes:
            zone = self.zones[apex]
            state, wait = self._state(zone)
            _cancel(zone)
            if wait is not None:
                zone.timer = self._clock.call_later(wait, partial(self.refresh, (apex,)))
            if state != zone.state:
                zone.state, zone.since = state, self._clock.time()
                self._tell(apex, state)

    def _state(self, zone: ZoneState) -> tuple[int, float | None]:
        """The state, and in how many seconds it changes by itself."""
        needs = [self.sources[name] for name in zone.needs]
        if not all(status.known for status in needs):
            old = any(status.restoring and status.synced is None for status in needs)
            return RESTORING if old else LOADING, None
        if any(status.synced is None for status in needs):
            return STALE, None
        lost = [status.lost_monotonic for status in needs if status.lost is not None]
        if not lost:
            return LIVE, None
        left = min(lost) + zone.stale_after - self._clock.monotonic()
        return (STALE, None) if left <= 0 else (LIVE, left)


def _cancel(zone: ZoneState) -> None:
    if zone.timer is not None:
        zone.timer.cancel()
        zone.timer = None
