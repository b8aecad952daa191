"""New settings for a catalog that has records."""

from typing import Any

import pytest

from musterd.rr.names import name_from_text
from musterd.settings import Settings
from musterd.sources.changes import Put, PutMany
from tests.catalogkit import NOW, ManualClock, RecordingCore, new_catalog, records, rows, settings

ZONE = "lab.internal"
SUB = "sub.lab.internal"
ONE = {"name": "one", "zone": ZONE}
TWO = {"name": "two", "zone": ZONE}
THREE = {"name": "three", "zone": SUB}

Sources = list[dict[str, Any]]
BEFORE = {"name": ZONE}


async def full(sources: Sources) -> tuple[Any, RecordingCore, ManualClock]:
    catalog, core, clock = await new_catalog(BEFORE, sources=sources)
    catalog.apply("one", Put("k", 1, NOW, records("a A 10.0.0.1", "b 9 A 10.0.0.1")))
    catalog.apply("two", PutMany(1, NOW, rows("a 8 A 10.0.0.2", "c A 10.0.0.3")))
    return catalog, core, clock


@pytest.mark.parametrize(
    ("zone", "sources", "answered"),
    [
        ({}, [ONE, TWO], ["a 30 A 10.0.0.1", "b 9 A 10.0.0.1", "c 30 A 10.0.0.3"]),
        ({"ttl": 50}, [ONE, TWO], ["a 50 A 10.0.0.1", "b 9 A 10.0.0.1", "c 50 A 10.0.0.3"]),
        ({}, [{**ONE, "ttl": 3}, TWO], ["a 3 A 10.0.0.1", "b 9 A 10.0.0.1", "c 30 A 10.0.0.3"]),
        ({"policy": "one"}, [{**ONE, "policy": "subset:2"}, TWO],
         ["a 30 A 10.0.0.1 ; subset:2", "b 9 A 10.0.0.1 ; subset:2", "c 30 A 10.0.0.3 ; one"]),
        ({"merge": "union"}, [ONE, TWO],
         ["a 8 A 10.0.0.1", "a 8 A 10.0.0.2", "b 9 A 10.0.0.1", "c 30 A 10.0.0.3"]),
        ({"sources": ["two", "one"]}, [ONE, TWO],
         ["a 8 A 10.0.0.2", "b 9 A 10.0.0.1", "c 30 A 10.0.0.3"]),
        ({"sources": ["two"]}, [ONE, TWO], ["a 8 A 10.0.0.2", "c 30 A 10.0.0.3"]),
        ({}, [ONE], ["a 30 A 10.0.0.1", "b 9 A 10.0.0.1"]),
        ({}, [], []),
    ],
)  # fmt: skip
async def test_changed_zone_is_answered_as_configured(
    zone: dict[str, Any], sources: Sources, answered: list[str]
) -> None:
    catalog, core, _ = await full([ONE, TWO])
    before = core.text(ZONE)
    await catalog.reconfigure(settings({**BEFORE, **zone}, sources=sources))
    assert core.text(ZONE) == [f"{line[0]}.{ZONE}.{line[1:]}" for line in answered]
    kept = [source["name"] for source in sources if source["name"] in zone.get("sources", "onetwo")]
    await catalog.reconfigure(settings(BEFORE, sources=[ONE, TWO]))
    if sorted(kept) == ["one", "two"]:
        assert core.text(ZONE) == before


async def test_unchanged_zone_sends_nothing_to_the_core() -> None:
    catalog, core, _ = await full([ONE, TWO])
    core.forget()
    await catalog.reconfigure(settings(BEFORE, sources=[ONE, TWO]))
    assert core.batches == []
    await catalog.reconfigure(settings(BEFORE, {"name": "other"}, sources=[ONE, TWO]))
    assert {row[0] for batch in core.batches for row in batch} == {b"\x05other\0"}


async def test_wildcard_queries_are_an_option_of_a_source() -> None:
    def of(*, wanted: bool) -> Settings:
        source = {"name": "there", "zones": [ZONE], "endpoints": ["a:1"]}
        return Settings.model_validate(
            {
                "state": {"dir": ""},
                "zones": [{"name": ZONE}, {"name": SUB}],
                "sources": {"etcd": [{**source, "wildcard_queries": wanted}]},
            }
        )

    catalog, core, _ = await new_catalog(BEFORE)
    for wanted in (True, True, False, False):
        await catalog.reconfigure(of(wanted=wanted))
        assert core.wildcards == ({name_from_text(ZONE)} if wanted else frozenset())


async def test_changed_soa_and_ns() -> None:
    catalog, core, clock = await full([ONE, TWO])
    clock.advance(60)
    zone = {**BEFORE, "ns": ["x.example"], "soa": {"minimum": 5}}
    await catalog.reconfigure(settings(zone, sources=[ONE, TWO]))
    soa = f"{ZONE}. 30 SOA ns.{ZONE}. hostmaster.{ZONE}. {int(clock.now)} 7200 1800 86400 5"
    assert set(core.text(ZONE, own=True)) - set(core.text(ZONE)) == {soa}
    assert f"{ZONE}. 30 NS x.example." in core.text(ZONE)


async def test_subzone_is_added_and_removed() -> None:
    sources = [ONE, TWO, THREE]
    catalog, core, _ = await new_catalog(BEFORE, {"name": SUB}, sources=sources)
    catalog.apply("one", Put("k", 1, NOW, records("x.sub A 10.0.0.1", "a A 10.0.0.2")))
    catalog.apply("three", Put("k", 1, NOW, records("y.sub A 10.0.0.3")))
    parent = core.text(ZONE)
    assert parent == [f"a.{ZONE}. 30 A 10.0.0.2", f"x.{SUB}. 30 A 10.0.0.1"]
    await catalog.reconfigure(settings(BEFORE, sources=[ONE, TWO]))
    assert core.rrsets.keys() == {b"\x03lab\x08internal\0"}
    assert core.text(ZONE) == parent
    await catalog.reconfigure(settings(BEFORE, {"name": SUB}, sources=sources))
    assert core.text(SUB) == [], "a source that was removed starts empty"
    assert core.state_of(SUB) == "loading"


async def test_new_zone_finds_records_that_were_outside() -> None:
    catalog, core, _ = await new_catalog({"name": "a.local"}, sources=[{**ONE, "zone": "a.local"}])
    catalog.apply("one", Put("k", 1, NOW, records("x A 10.0.0.1", zone="b.local")))
    moved = {**ONE, "zone": "b.local"}
    await catalog.reconfigure(settings({"name": "b.local"}, sources=[moved]))
    assert core.text("b.local") == ["x.b.local. 30 A 10.0.0.1"]
    assert catalog.zone_reports()[0].records == {"one": 1}


async def test_serial_continues() -> None:
    catalog, _, clock = await full([ONE, TWO])
    clock.advance(10)
    clock.now = NOW - 500
    await catalog.reconfigure(settings({**BEFORE, "ttl": 7}, sources=[ONE, TWO]))
    serial = catalog.zone_reports()[0].serial
    assert serial > NOW
    # Waiting changes are not lost.
    await catalog.reconfigure(settings({**BEFORE, "ttl": 8}, sources=[ONE, TWO]))
    await catalog.reconfigure(settings({**BEFORE, "ttl": 8, "ptr": True}, sources=[ONE, TWO]))
    clock.advance(1)
    assert catalog.zone_reports()[0].serial == serial + 1
