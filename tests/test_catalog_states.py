"""States of zones (loading, live, stale), from events of their sources."""

from musterd.sources.changes import Begin, Delete, Lost, Put, Synced
from tests.catalogkit import NOW, new_catalog, records, settings

ZONE = "lab.internal"
ONE = [{"name": "one", "zone": ZONE}]
TWO = [*ONE, {"name": "two", "zone": ZONE}]


async def test_zone_without_sources_is_live() -> None:
    _, core, _ = await new_catalog({"name": ZONE}, sources=[])
    assert core.state_of(ZONE) == "live"


async def test_zone_loads_until_each_source_has_synced() -> None:
    catalog, core, _ = await new_catalog({"name": ZONE}, sources=TWO)
    states = [core.state_of(ZONE)]
    catalog.apply("one", Begin(), Put("k", 1, NOW, records("a A 10.0.0.1")), Synced(1))
    states.append(core.state_of(ZONE))
    catalog.apply("two", Begin())
    states.append(core.state_of(ZONE))
    catalog.apply("two", Lost("gone"), Begin(), Synced(1))
    states.append(core.state_of(ZONE))
    assert states == ["loading", "loading", "loading", "live"]
    assert core.text(ZONE) == [f"a.{ZONE}. 30 A 10.0.0.1"]


async def test_zone_is_stale_some_time_after_a_source_is_lost() -> None:
    catalog, core, clock = await new_catalog({"name": ZONE, "stale_after": 30.0}, sources=TWO)
    catalog.apply("one", Begin(), Synced(1))
    catalog.apply("two", Begin(), Synced(1))
    catalog.apply("one", Lost("gone"))
    clock.advance(29.9)
    assert core.state_of(ZONE) == "live"
    catalog.apply("one", Lost("still gone"), Begin())
    clock.advance(0.1)
    assert core.state_of(ZONE) == "stale"
    (report,) = catalog.zone_reports()
    assert (report.state, report.since) == ("stale", NOW + 30)
    source = catalog.source_reports()[0]
    assert (source.state, source.lost, source.reason) == ("lost", NOW, "still gone")
    catalog.apply("one", Put("k", 1, NOW, records("a A 10.0.0.1")), Delete("k", 1))
    assert core.state_of(ZONE) == "stale"
    catalog.apply("one", Synced(1))
    assert core.state_of(ZONE) == "live"
    clock.advance(1000)
    assert core.state_of(ZONE) == "live"


async def test_source_synced_in_time_keeps_zone_live() -> None:
    catalog, core, clock = await new_catalog({"name": ZONE, "stale_after": 30.0}, sources=ONE)
    catalog.apply("one", Begin(), Synced(1), Lost("gone"))
    clock.advance(20)
    catalog.apply("one", Begin(), Synced(1))
    clock.advance(20)
    assert core.state_of(ZONE) == "live"
    catalog.apply("one", Lost("gone"))
    clock.advance(20)
    assert core.state_of(ZONE) == "live"


async def test_stale_after_zero_is_immediate() -> None:
    catalog, core, _ = await new_catalog({"name": ZONE, "stale_after": 0.0}, sources=ONE)
    catalog.apply("one", Begin(), Synced(1), Lost("gone"))
    assert core.state_of(ZONE) == "stale"


async def test_records_of_a_lost_source_are_kept() -> None:
    catalog, core, clock = await new_catalog({"name": ZONE}, sources=ONE)
    catalog.apply("one", Begin(), Put("k", 1, NOW, records("a A 10.0.0.1")), Synced(1))
    catalog.apply("one", Lost("gone"))
    clock.advance(1000)
    assert core.text(ZONE) == [f"a.{ZONE}. 30 A 10.0.0.1"]


async def test_reverse_zones_wait_for_the_zones_that_fill_them() -> None:
    names = ZONE, "10.in-addr.arpa", "example"
    zones = [{"name": name, "ptr": name == ZONE} for name in names]
    catalog, core, clock = await new_catalog(*zones, sources=ONE)
    states = [[core.state_of(name) for name in names]]
    catalog.apply("one", Begin(), Synced(1))
    states.append([core.state_of(name) for name in names])
    catalog.apply("one", Lost("gone"))
    clock.advance(30)
    states.append([core.state_of(name) for name in names])
    assert states == [
        ["loading", "loading", "live"],
        ["live", "live", "live"],
        ["stale", "stale", "live"],
    ]


async def test_added_source_makes_the_zone_load() -> None:
    catalog, core, clock = await new_catalog({"name": ZONE}, sources=ONE)
    catalog.apply("one", Begin(), Synced(1))
    await catalog.reconfigure(settings({"name": ZONE}, sources=TWO))
    assert core.state_of(ZONE) == "loading"
    catalog.apply("two", Begin(), Synced(1), Lost("gone"))
    assert core.state_of(ZONE) == "live"
    await catalog.reconfigure(settings({"name": ZONE, "stale_after": 5.0}, sources=TWO))
    clock.advance(5)
    assert core.state_of(ZONE) == "stale"
    await catalog.reconfigure(settings({"name": ZONE}, sources=ONE))
    assert core.state_of(ZONE) == "live"


async def test_removed_zone_has_no_state() -> None:
    catalog, core, clock = await new_catalog({"name": ZONE}, sources=ONE)
    catalog.apply("one", Begin(), Synced(1), Lost("gone"))
    await catalog.reconfigure(settings({"name": "other"}, sources=[]))
    clock.advance(1000)
    assert core.state.keys() == {b"\x05other\0"}


async def test_answers_from_a_snapshot_are_marked_at_once() -> None:
    catalog, core, _ = await new_catalog({"name": ZONE}, sources=TWO)
    states = [core.state_of(ZONE)]
    assert await catalog.restore("two", NOW - 60, iter(()))
    states.append(core.state_of(ZONE))
    catalog.apply("two", Begin(), Synced(1))
    states.append(core.state_of(ZONE))
    catalog.apply("one", Begin(), Synced(1))
    states.append(core.state_of(ZONE))
    assert states == ["loading", "restoring", "loading", "live"]


async def test_snapshot_is_stale_until_its_source_syncs() -> None:
    catalog, core, _ = await new_catalog({"name": ZONE}, sources=TWO)
    catalog.apply("one", Begin(), Synced(1), Lost("gone"))
    assert await catalog.restore("two", NOW - 60, iter(()))
    assert core.state_of(ZONE) == "stale"
    report = catalog.source_reports()[1]
    assert (report.state, report.restored) == ("restored", NOW - 60)
    catalog.apply("two", Begin())
    assert core.state_of(ZONE) == "stale"
    catalog.apply("two", Synced(1))
    assert core.state_of(ZONE) == "live"
