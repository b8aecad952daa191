"""RRsets that are never answered, because of a delegation or a DNAME, are reported."""

import asyncio

import pytest
from structlog.testing import capture_logs

from musterd._core import Core
from musterd.catalog import Catalog
from musterd.catalog import hidden as limits
from musterd.rr.names import name_from_text, name_to_text
from musterd.rr.types import type_text
from musterd.server.hidden import HiddenSearch, SearchTiming
from musterd.sources.changes import Begin, Delete, Put, PutMany, Synced
from tests.catalogkit import ManualClock, records, rows, settings, until

APEX = name_from_text("lab.internal")
SERVERS = "only the addresses of name servers are answered"
AT_CUT = f"cut.lab.internal. is delegated by NS records, so at it {SERVERS}"
BELOW_CUT = f"cut.lab.internal. is delegated by NS records, so below it {SERVERS}"
BELOW_DNAME = "d.lab.internal. has a DNAME, which redirects every name below it"


class Searched:
    """A catalog on a real core, and its search."""

    def __init__(self) -> None:
        self.core = Core()
        self.catalog = Catalog(self.core, ManualClock())
        self.search = HiddenSearch(self.core, self.catalog)

    def put(self, key: str, *lines: str, source: str = "one") -> None:
        self.catalog.apply(source, Put(key, 1, 1.0, records(*lines)))

    async def found(self) -> dict[str, str]:
        """Search, and return ``owner type`` -> reason of each hidden RRset."""
        await self.search.search()
        hidden = self.catalog.zones[APEX].hidden
        return {
            f"{name_to_text(owner)} {type_text(rtype)}": hidden[owner, rtype]
            for owner, rtype in sorted(hidden)
        }


@pytest.fixture
async def searched() -> Searched:
    made = Searched()
    await made.catalog.reconfigure(settings())
    return made


async def test_glue_of_other_delegations_and_of_the_apex_is_not_reported(
    searched: Searched,
) -> None:
    searched.put(
        "file",
        "@ NS ns.one",
        "one NS elsewhere.test.",
        "two NS sibling.one",
        "ns.one A 10.0.0.1",
        "sibling.one A 10.0.0.2",
        "other.one A 10.0.0.3",
    )
    assert list(await searched.found()) == ["other.one.lab.internal. A"]


async def test_records_at_and_below_a_delegation_are_reported(searched: Searched) -> None:
    searched.put(
        "file",
        "@ NS ns.cut",
        "cut NS NS.cut",
        "cut TXT text",
        "cut DS 1 8 2 " + "00" * 32,
        "ns.cut A 10.0.0.1",
        "www.cut A 10.0.0.2",
        "a.b.cut TXT text",
        "beside A 10.0.0.3",
    )
    assert await searched.found() == {
        "cut.lab.internal. TXT": AT_CUT,
        "a.b.cut.lab.internal. TXT": BELOW_CUT,
        "www.cut.lab.internal. A": BELOW_CUT,
    }


async def test_records_below_a_dname_are_reported(searched: Searched) -> None:
    searched.put("file", "d DNAME other", "d A 10.0.0.1", "x.d A 10.0.0.2", "x.other A 10.0.0.3")
    assert await searched.found() == {"x.d.lab.internal. A": BELOW_DNAME}


async def test_delegation_at_a_wildcard_is_reported(searched: Searched) -> None:
    searched.put("file", "*.w NS ns.elsewhere.test.", "*.x DNAME other", "*.y A 10.0.0.1")
    assert await searched.found() == {
        "*.w.lab.internal. NS": "NS at a wildcard applies to no name (RFC 4592 section 4)",
        "*.x.lab.internal. DNAME": "DNAME at a wildcard applies to no name (RFC 4592 section 4)",
    }


async def test_dname_at_the_apex_hides_all_names(searched: Searched) -> None:
    searched.put("file", "@ DNAME other.test.", "@ A 10.0.0.1", "x A 10.0.0.2")
    assert list(await searched.found()) == ["x.lab.internal. A"]


async def test_order_of_arrival_is_moot(searched: Searched) -> None:
    """The delegation comes after the record, or from another source."""
    searched.put("record", "www.cut A 10.0.0.2")
    assert await searched.found() == {}
    searched.put("cut", "cut NS ns.elsewhere.test.", source="two")
    assert await searched.found() == {"www.cut.lab.internal. A": BELOW_CUT}


async def test_report_ends_with_its_reason(searched: Searched) -> None:
    searched.put("cut", "cut NS ns.elsewhere.test.")
    searched.put("one", "a.cut A 10.0.0.1")
    searched.put("two", "b.cut A 10.0.0.2")
    assert len(await searched.found()) == 2
    searched.catalog.apply("one", Delete("one", 2))
    assert list(await searched.found()) == ["b.cut.lab.internal. A"]
    searched.catalog.apply("one", Delete("cut", 3))
    assert await searched.found() == {}


async def test_host_becomes_glue(searched: Searched) -> None:
    searched.put("cut", "cut NS ns.elsewhere.test.")
    searched.put("host", "ns.cut A 10.0.0.1")
    assert list(await searched.found()) == ["ns.cut.lab.internal. A"]
    searched.put("side", "side NS ns.cut")
    assert await searched.found() == {}


async def test_unchanged_zone_is_not_searched(searched: Searched) -> None:
    searched.put("file", "a A 10.0.0.1")
    assert searched.catalog.take_changed() == {APEX}
    assert searched.catalog.take_changed() == set()
    searched.put("file", "a A 10.0.0.1")
    assert searched.catalog.take_changed() == set()


async def test_bulk_rows_are_reported(searched: Searched) -> None:
    await searched.catalog.feed("one", Begin())
    lines = [f"n{number}.cut A 10.0.0.1" for number in range(3000)]
    await searched.catalog.feed("one", PutMany(1, 1.0, rows(*lines, "cut NS ns.elsewhere.test.")))
    await searched.catalog.feed("one", Synced(1))
    with capture_logs() as logs:
        assert len(await searched.found()) == limits.MAX_HIDDEN
    assert searched.catalog.zones[APEX].hidden_total == 3000
    assert len(logs) == limits.MAX_LOGGED + 1
    assert logs[-1]["number"] == limits.MAX_HIDDEN - limits.MAX_LOGGED


async def test_each_rrset_is_logged_once(searched: Searched) -> None:
    searched.put("file", "cut NS ns.elsewhere.test.", "www.cut A 10.0.0.2")
    with capture_logs() as logs:
        await searched.found()
        searched.put("more", "beside A 10.0.0.3")
        await searched.found()
    assert [(entry["log_level"], entry["rrset"], entry["reason"]) for entry in logs] == [
        ("warning", "www.cut.lab.internal. A", BELOW_CUT)
    ]


async def test_search_runs_after_changes() -> None:
    searched = Searched()
    await searched.catalog.reconfigure(settings())
    search = HiddenSearch(searched.core, searched.catalog, SearchTiming(period=0.01, share=1.0))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(search.run())
        searched.put("file", "cut NS ns.elsewhere.test.", "www.cut A 10.0.0.2")
        await until(lambda: bool(searched.catalog.zones[APEX].hidden))
        task.cancel()


async def test_explain_gives_the_reason(searched: Searched) -> None:
    """Glue is answered, and needs no search."""
    searched.put("file", "cut NS ns.cut", "ns.cut A 10.0.0.1", "ns.cut TXT text", "d DNAME cut")
    searched.put("more", "x.d CNAME d")

    def hidden(name: str) -> dict[str, str]:
        given = searched.catalog.explain(APEX, name_from_text(f"{name}.lab.internal"))
        return {type_text(each.rtype): each.hidden for each in given}

    assert hidden("cut") == {"NS": ""}
    assert hidden("ns.cut") == {"A": "", "TXT": BELOW_CUT}
    assert hidden("d") == {"DNAME": ""}
    assert hidden("x.d") == {"CNAME": BELOW_DNAME}


KID = {"name": "kid.lab.internal"}
IN_KID = "it is in zone kid.lab.internal., which does not list its source"


async def test_records_in_a_deeper_zone_are_reported(searched: Searched) -> None:
    searched.put("file", "kid A 10.0.0.1", "www.kid A 10.0.0.2", "www A 10.0.0.3")
    searched.put("delegation", "kid NS ns.kid", "ns.kid A 10.0.0.4")
    searched.catalog.apply("one", Delete("delegation", 2))
    assert await searched.found() == {}
    await searched.catalog.reconfigure(settings({"name": "lab.internal"}, KID))
    assert await searched.found() == {
        "kid.lab.internal. A": IN_KID,
        "www.kid.lab.internal. A": IN_KID,
    }
    # A delegation with its glue is right, beside the zone itself.
    searched.put("delegation", "kid NS ns.kid", "ns.kid A 10.0.0.4")
    found = await searched.found()
    assert "ns.kid.lab.internal. A" not in found
    assert "kid.lab.internal. NS" not in found
    assert "www.kid.lab.internal. A" in found
    searched.catalog.apply("one", Delete("delegation", 3))
    await searched.catalog.reconfigure(settings())
    assert await searched.found() == {}
