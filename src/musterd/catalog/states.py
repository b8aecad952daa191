"""States of zones: loading, restoring, live or stale, from the states of their sources."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final, Protocol

from musterd.clock import Clock, Timer

LIVE: Final = 0
LOADING: Final = 1
STALE: Final = 2
RESTORING: Final = 3
"""The core's ``STATE_*`` constants."""
STATE_TEXT: Final = ("live", "loading", "stale", "restoring")


@dataclass(slots=True)
class SourceStatus:
    """The state of a source; times are epoch seconds."""

    begun: bool = False
    """True if a full list has begun."""
    synced: float | None = None
    """Time of the last complete list."""
    restoring: bool = False
    """True if rows of a snapshot are being loaded, or were."""
    restored: float | None = None
    """Time of the snapshot that its rows are from."""
    lost: float | None = None
    """Time since which it can't be read."""
    lost_monotonic: float = 0.0
    reason: str = ""
    """Reason why it can't be read."""
    revision: int = 0

    @property
    def known(self) -> bool:
        """True if its rows are, or once were, complete."""
        return self.synced is not None or self.restored is not None


@dataclass(slots=True)
class ZoneState:
    """The state of a zone; ``since`` is in epoch seconds."""

    needs: tuple[str, ...]
    """The sources that it depends on."""
    stale_after: float
    """Seconds for which a source may be lost before the zone is stale."""
    state: int
    since: float
    timer: Timer | None = None


class StateCore(Protocol):
    """The part of ``musterd._core.Core`` that the states use."""

    def set_state(self, apex: bytes, state: int) -> None: ...  # noqa: D102
    def live_until(self, time: int) -> None: ...  # noqa: D102


class States:
    """Tracks the sources and sets the state of each zone in the core."""

    def __init__(self, core: StateCore, clock: Clock) -> None:
        """Start without zones. ``core`` gets each change."""
        self.sources: dict[str, SourceStatus] = {}
        self.zones: dict[bytes, ZoneState] = {}
        self._live_until = inf
        """Monotonic time from which the core marks all answers stale."""
        self._live_since = -inf
        """Time when the core last stopped marking them (epoch seconds)."""
        self._core = core
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
        """Record that a source has begun a full list."""
        self.sources[name].begun = True

    def synced(self, name: str, revision: int) -> None:
        """Record that a source has completed a full list."""
        self.sources[name] = SourceStatus(begun=True, synced=self._clock.time(), revision=revision)
        self.refresh(self._needed_by.get(name, ()))

    def restoring(self, name: str) -> None:
        """Record that rows of a snapshot are being loaded."""
        self.sources[name].restoring = True
        self.refresh(self._needed_by.get(name, ()))

    def restored(self, name: str, time: float) -> None:
        """Record that the rows of a source come from a snapshot, made at a time."""
        self.sources[name].restored = time
        self.refresh(self._needed_by.get(name, ()))

    def lost(self, name: str, reason: str) -> None:
        """Record that a source can't be read."""
        status = self.sources[name]
        status.begun, status.reason = False, reason
        if status.lost is None:
            status.lost, status.lost_monotonic = self._clock.time(), self._clock.monotonic()
        self.refresh(self._needed_by.get(name, ()))

    def reported(self, apex: bytes) -> tuple[int, float]:
        """Return the state of a zone in its answers, and its start (epoch seconds)."""
        zone = self.zones.get(apex)
        if zone is None:
            # A reload that is in progress has declared it.
            return LOADING, self._clock.time()
        if zone.state != LIVE:
            return zone.state, zone.since
        late = self._clock.monotonic() - self._live_until
        if late >= 0:
            return STALE, max(zone.since, self._clock.time() - late)
        return LIVE, max(zone.since, self._live_since)

    def extend(self, until: float) -> None:
        """Set the monotonic time until which the states are valid; later answers are stale."""
        self._live_until = until
        self._core.live_until(round(until * 1e9))

    def live_again(self, since: float) -> None:
        """Clear the stale mark that was set while the event loop was stalled.

        Sources that are lost may have been lost since ``since``, a monotonic time.
        """
        self._live_since = self._clock.time()
        for status in self.sources.values():
            status.lost_monotonic = min(status.lost_monotonic, since)
        self.refresh(self.zones)

    def refresh(self, apexes: Iterable[bytes]) -> None:
        """Recompute the state of zones, and report changes to the core."""
        for apex in apexes:
            zone = self.zones[apex]
            state, wait = self._state(zone)
            _cancel(zone)
            if wait is not None:
                zone.timer = self._clock.call_later(wait, partial(self.refresh, (apex,)))
            if state != zone.state:
                zone.state, zone.since = state, self._clock.time()
                self._core.set_state(apex, state)

    def _state(self, zone: ZoneState) -> tuple[int, float | None]:
        """Return the state, and the seconds until it changes by itself."""
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
