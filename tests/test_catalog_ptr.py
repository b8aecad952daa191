"""Addresses in, PTR records out."""

from collections.abc import Mapping
from typing import Any

import pytest

from musterd.rr.names import name_from_text
from musterd.rr.rrset import Policy, Record, pack
from musterd.sources.changes import Begin, Delete, Put, PutMany, Synced
from tests.catalogkit import NOW, new_catalog, records, rows, settings

FORWARD = {"name": "lab.internal", "ptr": True}
V4 = {"name": "10.in-addr.arpa"}
V6 = {"name": "d.f.ip6.arpa"}
SOURCES = [{"name": "one", "zone": "lab.internal"}, {"name": "two", "zone": "10.in-addr.arpa"}]

ONE = "1.0.0.10.in-addr.arpa."
TWO = "2.0.0.10.in-addr.arpa."


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        (["a 5 A 10.0.0.1"], [f"{ONE} 5 PTR a.lab.internal."]),
        (["A 5 A 10.0.0.1", "b 9 A 10.0.0.1"],
         [f"{ONE} 5 PTR a.lab.internal.", f"{ONE} 5 PTR b.lab.internal."]),
        (["a 5 A 10.0.0.1", "b 5 A 10.0.0.2", "a 5 TXT 10.0.0.3"],
         [f"{ONE} 5 PTR a.lab.internal.", f"{TWO} 5 PTR b.lab.internal."]),
        (["@ A 10.0.0.1"], [f"{ONE} 30 PTR lab.internal."]),
        (["* A 10.0.0.1", "*.b A 10.0.0.1"], []),
        (["a A 11.0.0.1"], []),
        (["a CNAME b"], []),
        (["a 5 A 10.0.0.1 ; sticky"], [f"{ONE} 5 PTR a.lab.internal."]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("bulk", [False, True])
async def test_addresses_make_ptr_records(
    given: list[str], pointers: list[str], bulk: bool
) -> None:
    catalog, core, _ = await new_catalog(FORWARD, V4, V6, sources=SOURCES)
    if bulk:
        catalog.apply("one", PutMany(1, NOW, rows(*given)))
    else:
        catalog.apply("one", Put("k", 1, NOW, records(*given)))
    assert core.text("10.in-addr.arpa") == pointers
    assert core.text("d.f.ip6.arpa") == []


async def test_ipv6_addresses_make_ptr_records() -> None:
    catalog, core, _ = await new_catalog(FORWARD, V4, V6, sources=SOURCES)
    catalog.apply("one", Put("k", 1, NOW, records("a 5 AAAA fd00::1", "b AAAA fe00::1")))
    assert core.text("d.f.ip6.arpa") == ["1." + "0." * 29 + "d.f.ip6.arpa. 5 PTR a.lab.internal."]


async def test_ptr_belongs_to_the_most_specific_zone() -> None:
    zones = FORWARD, {"name": "."}, {"name": "arpa"}, V4, {"name": "0.0.10.in-addr.arpa"}
    catalog, core, _ = await new_catalog(*zones, sources=SOURCES)
    given = records("a A 10.0.0.1", "b A 10.1.0.1", "c A 11.0.0.1")
    catalog.apply("one", Put("k", 1, NOW, given))
    assert core.text("0.0.10.in-addr.arpa") == [f"{ONE} 30 PTR a.lab.internal."]
    assert core.text("10.in-addr.arpa") == ["1.0.1.10.in-addr.arpa. 30 PTR b.lab.internal."]
    assert core.text("arpa") == ["1.0.0.11.in-addr.arpa. 30 PTR c.lab.internal."]


async def test_ptr_ranks_after_all_sources() -> None:
    catalog, core, _ = await new_catalog(FORWARD, V4, sources=SOURCES)
    catalog.apply("one", Put("k", 1, NOW, records("a A 10.0.0.1", "a A 10.0.0.2")))
    given = records("1.0.0 5 PTR other.", zone="10.in-addr.arpa")
    catalog.apply("two", Put("k", 1, NOW, given))
    expected = [f"{ONE} 5 PTR other.", f"{TWO} 30 PTR a.lab.internal."]
    assert core.text("10.in-addr.arpa") == expected
    catalog.apply("two", Delete("k", 2))
    assert core.text("10.in-addr.arpa")[0] == f"{ONE} 30 PTR a.lab.internal."


async def test_change_updates_only_its_ptr_records() -> None:
    catalog, core, _ = await new_catalog(FORWARD, V4, sources=SOURCES)
    catalog.apply(
        "one", Put("k", 1, NOW, records("a 5 A 10.0.0.1", "a 5 A 10.0.0.2", "b A 10.0.0.9"))
    )
    core.forget()
    catalog.apply(
        "one", Put("k", 2, NOW, records("a 5 A 10.0.0.1", "a 5 A 10.0.0.3", "b A 10.0.0.9"))
    )
    updated = [row[1][:2] for batch in core.batches for row in batch if row[2] == 12]
    assert sorted(updated) == [b"\x012", b"\x013"]
    assert core.text("10.in-addr.arpa")[1:] == [
        "3.0.0.10.in-addr.arpa. 5 PTR a.lab.internal.",
        "9.0.0.10.in-addr.arpa. 30 PTR b.lab.internal.",
    ]
    catalog.apply("one", Begin(), Synced(2))
    assert core.text("10.in-addr.arpa") == []


async def test_only_answered_addresses_make_ptr_records() -> None:
    sources = [*SOURCES, {"name": "three", "zone": "lab.internal"}]
    catalog, core, _ = await new_catalog(FORWARD, V4, sources=sources)
    catalog.apply("three", Put("k", 1, NOW, records("a A 10.0.0.2")))
    catalog.apply("one", Put("k", 1, NOW, records("a A 10.0.0.1")))
    assert core.text("10.in-addr.arpa") == [f"{ONE} 30 PTR a.lab.internal."]


async def test_ptr_records_follow_added_and_removed_zones() -> None:
    catalog, core, _ = await new_catalog(FORWARD, sources=SOURCES[:1])
    catalog.apply("one", Put("k", 1, NOW, records("a A 10.0.0.1")))
    await catalog.reconfigure(settings(FORWARD, V4, sources=SOURCES))
    assert core.text("10.in-addr.arpa") == [f"{ONE} 30 PTR a.lab.internal."]
    narrow = {"name": "0.0.10.in-addr.arpa"}
    await catalog.reconfigure(settings(FORWARD, V4, narrow, sources=SOURCES))
    assert core.text("10.in-addr.arpa") == []
    assert core.text("0.0.10.in-addr.arpa") == [f"{ONE} 30 PTR a.lab.internal."]
    await catalog.reconfigure(settings({**FORWARD, "ttl": 7}, V4, sources=SOURCES))
    assert core.text("10.in-addr.arpa") == [f"{ONE} 7 PTR a.lab.internal."]
    await catalog.reconfigure(settings({**FORWARD, "ptr": False}, V4, sources=SOURCES))
    assert core.text("10.in-addr.arpa") == []
    await catalog.reconfigure(settings(FORWARD, V4, sources=SOURCES))
    assert core.text("10.in-addr.arpa") == [f"{ONE} 30 PTR a.lab.internal."]
    await catalog.reconfigure(settings(V4, sources=SOURCES[1:]))
    assert core.text("10.in-addr.arpa") == []


async def test_name_with_a_single_address_comes_first_and_alone() -> None:
    """A shared name does not identify the member with the address."""
    catalog, core, _ = await new_catalog(FORWARD, V4, V6, sources=SOURCES)
    shared = records("rabbit 5 A 10.0.0.1", "rabbit A 10.0.0.2", "n1 9 A 10.0.0.1")
    catalog.apply("one", Put("k", 1, NOW, shared))
    # The second address has no better name.
    assert core.text("10.in-addr.arpa") == [
        f"{ONE} 9 PTR n1.lab.internal.", f"{TWO} 5 PTR rabbit.lab.internal.",
    ]  # fmt: skip
    given = catalog.explain(name_from_text("10.in-addr.arpa"), name_from_text(ONE))
    assert [each.hidden for each in given] == ["", "another name has this address alone"]
    catalog.apply("one", Put("m", 2, NOW, records("n2 A 10.0.0.2", "n3 A 10.0.0.2")))
    assert core.text("10.in-addr.arpa")[1:] == [
        f"{TWO} 30 PTR n2.lab.internal.", f"{TWO} 30 PTR n3.lab.internal.",
    ]  # fmt: skip
    catalog.apply("one", Delete("m", 3))
    assert core.text("10.in-addr.arpa")[1:] == [f"{TWO} 5 PTR rabbit.lab.internal."]


async def test_rank_of_a_name_follows_its_number_of_addresses() -> None:
    catalog, core, _ = await new_catalog(FORWARD, V4, V6, sources=SOURCES)

    def put(key: str, *given: str) -> None:
        catalog.apply("one", Put(key, 1, NOW, records(*given)))

    put("k", "a A 10.0.0.1")
    put("m", "b A 10.0.0.1", "b A 10.0.0.2")
    assert core.text("10.in-addr.arpa") == [
        f"{ONE} 30 PTR a.lab.internal.", f"{TWO} 30 PTR b.lab.internal.",
    ]  # fmt: skip
    put("k", "a A 10.0.0.1", "a A 10.0.0.3")
    assert core.text("10.in-addr.arpa")[0] == f"{ONE} 30 PTR a.lab.internal."
    assert core.text("10.in-addr.arpa")[1] == f"{ONE} 30 PTR b.lab.internal."
    put("m", "b A 10.0.0.1")
    assert [line for line in core.text("10.in-addr.arpa") if line.startswith(ONE)] == [
        f"{ONE} 30 PTR b.lab.internal."
    ]


async def test_families_are_counted_apart() -> None:
    catalog, core, _ = await new_catalog(FORWARD, V4, V6, sources=SOURCES)
    given = records("n A 10.0.0.1", "n AAAA fd00::1", "s A 10.0.0.1", "s A 10.0.0.2")
    catalog.apply("one", Put("k", 1, NOW, given))
    assert core.text("10.in-addr.arpa")[0] == f"{ONE} 30 PTR n.lab.internal."
    assert len(core.text("10.in-addr.arpa")) == 2


async def test_registered_ptr_in_the_reverse_zone_comes_before_all() -> None:
    catalog, core, _ = await new_catalog(FORWARD, V4, V6, sources=SOURCES)
    catalog.apply("two", Put("k", 1, NOW, records(f"{ONE} PTR x.lab.internal.")))
    catalog.apply("one", Put("k", 1, NOW, records("a A 10.0.0.1")))
    assert core.text("10.in-addr.arpa") == [f"{ONE} 30 PTR x.lab.internal."]


@pytest.mark.parametrize("zone", [True, False])
@pytest.mark.parametrize("source", [None, True, False])
@pytest.mark.parametrize("record", [None, True, False])
async def test_ptr_setting_of_record_precedes_source_and_zone(
    zone: bool, source: bool | None, record: bool | None
) -> None:
    one = {**SOURCES[0], **({} if source is None else {"ptr": source})}
    zones = {**FORWARD, "ptr": zone}, V4
    catalog, core, _ = await new_catalog(*zones, sources=[one, SOURCES[1]])
    packed = pack(30, [(1, bytes((10, 0, 0, 1)))], ptr=record)
    put = Put("k", 1, NOW, (Record(name_from_text("a.lab.internal"), 1, packed),))
    catalog.apply("one", put)
    makes = zone or bool(source)
    expected = makes and next(say for say in (record, source, zone) if say is not None)
    assert core.text("10.in-addr.arpa") == ([f"{ONE} 30 PTR a.lab.internal."] * expected)
    assert core.text("lab.internal") == ["a.lab.internal. 30 A 10.0.0.1"]


async def test_ptr_follows_a_change_of_a_record_and_of_the_settings() -> None:
    sources: list[Mapping[str, Any]] = [{**SOURCES[0], "ptr": True}, SOURCES[1]]
    zones = {"name": "lab.internal"}, V4
    catalog, core, _ = await new_catalog(*zones, sources=sources)

    def put(ptr: bool | None) -> None:
        packed = pack(30, [(1, bytes((10, 0, 0, 1)))], ptr=ptr, policy=Policy.parse("all"))
        record = Record(name_from_text("a.lab.internal"), 1, packed)
        catalog.apply("one", Put("k", 1, NOW, (record,)))

    one = [f"{ONE} 30 PTR a.lab.internal."]
    put(None)
    assert core.text("10.in-addr.arpa") == one
    put(False)
    assert core.text("10.in-addr.arpa") == []
    put(True)
    assert core.text("10.in-addr.arpa") == one
    await catalog.reconfigure(settings(*zones, sources=SOURCES))
    assert core.text("10.in-addr.arpa") == []
    await catalog.reconfigure(
        settings(FORWARD, V4, sources=[{**SOURCES[0], "ptr": False}, SOURCES[1]])
    )
    assert core.text("10.in-addr.arpa") == one
    put(None)
    assert core.text("10.in-addr.arpa") == []
    await catalog.reconfigure(settings(FORWARD, V4, sources=SOURCES))
    assert core.text("10.in-addr.arpa") == one


BESIDE = ["a A 10.0.0.1", "b A 10.1.0.2", "c A 10.1.0.3"]
"""Addresses, of which one is beside 1.10.in-addr.arpa."""
ABOVE = "1.0.0.10.in-addr.arpa. 30 PTR a.lab.internal."
BELOW = [
    "2.0.1.10.in-addr.arpa. 30 PTR b.lab.internal.",
    "3.0.1.10.in-addr.arpa. 30 PTR c.lab.internal.",
]


@pytest.mark.parametrize("cut", ["1 DNAME elsewhere.test.", "1 NS ns.test.", "0.1 DNAME x.test."])
@pytest.mark.parametrize("first", ["addresses", "cut", "reload"])
async def test_no_ptr_record_is_made_where_none_is_answered(cut: str, first: str) -> None:
    zones: list[Mapping[str, Any]] = [FORWARD, V4]
    skipped = int(first == "reload")
    catalog, core, _ = await new_catalog(*zones[skipped:], sources=SOURCES[skipped:])
    given = Put("k", 1, NOW, records(*BESIDE))
    hiding = Put("cut", 1, NOW, records(cut, zone="10.in-addr.arpa"))
    if first == "addresses":
        catalog.apply("one", given)
        assert core.text("10.in-addr.arpa") == [ABOVE, *BELOW]
    catalog.apply("two", hiding)
    if first == "reload":
        await catalog.reconfigure(settings(*zones, sources=SOURCES))
    if first != "addresses":
        catalog.apply("one", given)
    assert [line for line in core.text("10.in-addr.arpa") if " PTR " in line] == [ABOVE]
    # Changes below are not answered either, and without the cut, all are.
    catalog.apply("one", Put("d", 2, NOW, records("d A 10.1.0.4")), Delete("k", 3))
    assert [line for line in core.text("10.in-addr.arpa") if " PTR " in line] == []
    catalog.apply("one", Put("k", 4, NOW, records(*BESIDE)))
    catalog.apply("two", Delete("cut", 2))
    assert core.text("10.in-addr.arpa") == [
        ABOVE, *BELOW, "4.0.1.10.in-addr.arpa. 30 PTR d.lab.internal.",
    ]  # fmt: skip


async def test_own_ptr_records_below_a_cut_stay() -> None:
    """They are reported; see ``test_catalog_hidden``."""
    catalog, core, _ = await new_catalog(FORWARD, V4, sources=SOURCES)
    own = records("1 DNAME elsewhere.test.", "9.0.1 PTR x.test.", zone="10.in-addr.arpa")
    catalog.apply("two", Put("own", 1, NOW, own))
    catalog.apply("one", Put("k", 1, NOW, records("a A 10.1.0.9")))
    assert "9.0.1.10.in-addr.arpa. 30 PTR x.test." in core.text("10.in-addr.arpa")
