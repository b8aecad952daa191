"""The time from which the core marks all answers, with a clock set by the test."""

from musterd.catalog import Catalog
from musterd.server.heartbeat import TIMING, Heartbeat
from musterd.sources.changes import Begin, Lost, Synced
from tests.catalogkit import ManualClock, RecordingCore, new_catalog

ZONE = "lab.internal"
LIMIT, PERIOD, RECOVERY = TIMING.limit, TIMING.period, TIMING.recovery_beats


class Loop:
    """An event loop that can hang."""

    def __init__(self, catalog: Catalog, core: RecordingCore, clock: ManualClock) -> None:
        self.catalog, self.core, self.clock = catalog, core, clock
        self._heartbeat = Heartbeat(catalog.states, clock)
        self._heartbeat.beat()

    @property
    def until(self) -> float:
        """Return the time from which the core marks answers."""
        return self.core.until / 1e9

    @property
    def live(self) -> bool:
        """Return whether answers are not marked now."""
        return self.clock.steady < self.until and self.core.state_of(ZONE) == "live"

    @property
    def reported(self) -> tuple[str, float]:
        """Return the reported state of the zone, and its start (epoch seconds)."""
        (zone,) = self.catalog.zone_reports()
        return zone.state, zone.since

    def hang(self, seconds: float) -> None:
        """Let time pass without a beat, then beat."""
        self.clock.advance(seconds)
        self._heartbeat.beat()

    def run(self, beats: int) -> None:
        for _ in range(beats):
            self.hang(PERIOD)


async def new_loop(stale_after: float = 30.0) -> Loop:
    """Return a loop with a live zone."""
    zone = {"name": ZONE, "stale_after": stale_after}
    loop = Loop(*await new_catalog(zone, sources=[{"name": "one", "zone": ZONE}]))
    loop.catalog.apply("one", Begin(), Synced(1))
    return loop


async def test_each_beat_extends_the_time() -> None:
    loop = await new_loop()
    for _ in range(20):
        assert loop.until == loop.clock.steady + LIMIT
        loop.run(1)
    loop.hang(LIMIT - 0.1)
    assert loop.until == loop.clock.steady + LIMIT


async def test_answers_stay_marked_after_a_late_beat() -> None:
    loop = await new_loop()
    loop.hang(LIMIT)
    assert not loop.live
    loop.run(RECOVERY - 1)
    assert not loop.live
    loop.run(1)
    assert loop.live


async def test_another_late_beat_restarts_the_recovery() -> None:
    loop = await new_loop()
    loop.hang(60)
    loop.run(RECOVERY - 1)
    loop.hang(60)
    loop.run(RECOVERY - 1)
    assert not loop.live
    loop.run(1)
    assert loop.live


async def test_recovery_counts_beats_not_seconds() -> None:
    loop = await new_loop()
    loop.hang(LIMIT)
    loop.hang(LIMIT - 0.1)
    loop.run(RECOVERY - 2)
    assert not loop.live


async def test_source_found_lost_counts_as_lost_since_the_hang() -> None:
    """The zone of a lost source is stale as soon as the others are live again."""
    loop = await new_loop(stale_after=60.0)
    loop.hang(60)
    loop.catalog.apply("one", Lost("gone"))
    loop.run(RECOVERY)
    assert loop.until > loop.clock.steady
    assert loop.core.state_of(ZONE) == "stale"
    loop.catalog.apply("one", Synced(2))
    assert loop.live


async def test_source_found_lost_keeps_the_rest_of_stale_after() -> None:
    loop = await new_loop(stale_after=60.0)
    loop.hang(20)
    loop.catalog.apply("one", Lost("gone"))
    loop.run(RECOVERY)
    assert loop.live
    loop.run(60 - 20 - RECOVERY)
    assert not loop.live


async def test_reported_state_matches_the_answers() -> None:
    loop = await new_loop()
    start = loop.clock.now
    assert loop.reported == ("live", start)
    # When the loop goes on, a query may come before the beat.
    loop.clock.advance(60)
    assert loop.reported == ("stale", start + LIMIT)
    loop.run(1)
    loop.catalog.apply("one", Lost("gone"), Synced(2))
    for _ in range(RECOVERY):
        assert loop.reported[0] == "stale"
        assert not loop.live
        loop.run(1)
    assert loop.live
    assert loop.reported == ("live", loop.clock.now)


async def test_stale_zone_stays_stale() -> None:
    loop = await new_loop(stale_after=5.0)
    loop.catalog.apply("one", Lost("gone"))
    loop.run(5)
    since = loop.clock.now
    loop.hang(60)
    assert loop.reported == ("stale", since)
