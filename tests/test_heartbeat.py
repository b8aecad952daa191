"""From when on the core marks all answers, by a clock that is set."""

from musterd.catalog import Catalog
from musterd.server.heartbeat import HELD, LIMIT, PERIOD, Heartbeat
from musterd.sources.changes import Begin, Lost, Synced
from tests.catalogkit import ManualClock, RecordingCore, new_catalog

ZONE = "muster.local"


class Loop:
    """An event loop that may stand still."""

    def __init__(self, catalog: Catalog, core: RecordingCore, clock: ManualClock) -> None:
        self.catalog, self.core, self.clock = catalog, core, clock
        self.until = 0.0
        """When the core marks answers, as told last."""
        self._heartbeat = Heartbeat(self._live_until, catalog.states, clock)
        self._heartbeat.beat()

    def _live_until(self, time: int) -> None:
        self.until = time / 1e9

    @property
    def live(self) -> bool:
        """Whether answers are not marked now."""
        return self.clock.steady < self.until and self.core.state_of(ZONE) == "live"

    @property
    def said(self) -> tuple[str, float]:
        """The state of the zone as it is reported, and since when (epoch seconds)."""
        (zone,) = self.catalog.zone_reports()
        return zone.state, zone.since

    def stand(self, seconds: float) -> None:
        """Let time pass without a beat, but for one at its end."""
        self.clock.advance(seconds)
        self._heartbeat.beat()

    def run(self, beats: int) -> None:
        for _ in range(beats):
            self.stand(PERIOD)


async def new_loop(stale_after: float = 30.0) -> Loop:
    """One with a live zone."""
    zone = {"name": ZONE, "stale_after": stale_after}
    loop = Loop(*await new_catalog(zone, sources=[{"name": "one", "zone": ZONE}]))
    loop.catalog.apply("one", Begin(), Synced(1))
    return loop


async def test_each_beat_puts_it_off() -> None:
    loop = await new_loop()
    for _ in range(20):
        assert loop.until == loop.clock.steady + LIMIT
        loop.run(1)
    loop.stand(LIMIT - 0.1)
    assert loop.until == loop.clock.steady + LIMIT


async def test_a_late_beat_puts_it_off_no_more_until_sources_had_time() -> None:
    loop = await new_loop()
    loop.stand(LIMIT)
    assert not loop.live
    loop.run(HELD - 1)
    assert not loop.live
    loop.run(1)
    assert loop.live


async def test_to_stand_again_begins_anew() -> None:
    loop = await new_loop()
    loop.stand(60)
    loop.run(HELD - 1)
    loop.stand(60)
    loop.run(HELD - 1)
    assert not loop.live
    loop.run(1)
    assert loop.live


async def test_time_that_passes_between_beats_is_none_for_sources() -> None:
    loop = await new_loop()
    loop.stand(LIMIT)
    loop.stand(LIMIT - 0.1)
    loop.run(HELD - 2)
    assert not loop.live


async def test_what_is_lost_then_was_lost_before() -> None:
    """Its zone is stale when the others are live again."""
    loop = await new_loop(stale_after=60.0)
    loop.stand(60)
    loop.catalog.apply("one", Lost("gone"))
    loop.run(HELD)
    assert loop.until > loop.clock.steady
    assert loop.core.state_of(ZONE) == "stale"
    loop.catalog.apply("one", Synced(2))
    assert loop.live


async def test_what_is_lost_then_keeps_what_is_left_of_its_time() -> None:
    loop = await new_loop(stale_after=60.0)
    loop.stand(20)
    loop.catalog.apply("one", Lost("gone"))
    loop.run(HELD)
    assert loop.live
    loop.run(60 - 20 - HELD)
    assert not loop.live


async def test_what_is_said_of_a_zone_is_what_its_answers_say() -> None:
    loop = await new_loop()
    start = loop.clock.now
    assert loop.said == ("live", start)
    # Who asks comes first when the loop goes on, and then the beat.
    loop.clock.advance(60)
    assert loop.said == ("stale", start + LIMIT)
    loop.run(1)
    loop.catalog.apply("one", Lost("gone"), Synced(2))
    for _ in range(HELD):
        assert loop.said[0] == "stale"
        assert not loop.live
        loop.run(1)
    assert loop.live
    assert loop.said == ("live", loop.clock.now)


async def test_what_is_stale_or_loads_is_said_to_be_so() -> None:
    loop = await new_loop(stale_after=5.0)
    loop.catalog.apply("one", Lost("gone"))
    loop.run(5)
    since = loop.clock.now
    loop.stand(60)
    assert loop.said == ("stale", since)
