"""RRsets that are never answered, because of a delegation or a DNAME, are reported."""

import asyncio

import pytest
from structlog.testing import capture_logs

from musterd._core import Core
from musterd.catalog import Catalog
from musterd.catalog import occlusion as limits
from musterd.rr.names import name_from_text, name_to_text
from musterd.rr.types import type_text
from musterd.server.occlusion import OcclusionCheck, OcclusionTiming
from musterd.sources.changes import Begin, Delete, Put, PutMany, Synced
from tests.catalogkit import ManualClock, records, rows, settings, until

APEX = name_from_text("muster.local")
DELEGATED = "cut.muster.local. is delegated: another server answers, except for NS and DS"
BELOW_CUT = "it is below the delegation of cut.muster.local.: another server answers"
BELOW_DNAME = "it is below the DNAME of d.muster.local., which redirects all names below (RFC 6672)"


class Checked:
    """A catalog on a real core, and its check."""

    def __init__(self) -> None:
        self.core = Core()
        self.catalog = Catalog(self.core, ManualClock())
        self.check = OcclusionCheck(self.core, self.catalog)

    def put(self, key: str, *lines: str, source: str = "one") -> None:
        self.catalog.apply(source, Put(key, 1, 1.0, records(*lines)))

    async def found(self) -> dict[str, str]:
        """Search, and return ``owner type`` -> reason of each occluded RRset."""
        await self.check.check()
        occluded = self.catalog.zones[APEX].occluded
        return {
            f"{name_to_text(owner)} {type_text(rtype)}": occluded[owner, rtype]
            for owner, rtype in sorted(occluded)
        }


@pytest.fixture
async def checked() -> Checked:
    made = Checked()
    await made.catalog.reconfigure(settings())
    return made


async def test_records_at_and_below_a_delegation_are_reported(checked: Checked) -> None:
    checked.put(
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
    assert await checked.found() == {
        "cut.muster.local. TXT": DELEGATED,
        "a.b.cut.muster.local. TXT": BELOW_CUT,
        "www.cut.muster.local. A": BELOW_CUT,
    }


async def test_records_below_a_dname_are_reported(checked: Checked) -> None:
    checked.put("file", "d DNAME other", "d A 10.0.0.1", "x.d A 10.0.0.2", "x.other A 10.0.0.3")
    assert await checked.found() == {"x.d.muster.local. A": BELOW_DNAME}


async def test_delegation_at_a_wildcard_is_reported(checked: Checked) -> None:
    checked.put("file", "*.w NS ns.elsewhere.test.", "*.x DNAME other", "*.y A 10.0.0.1")
    assert await checked.found() == {
        "*.w.muster.local. NS": "NS at a wildcard delegates no name (RFC 4592 section 4)",
        "*.x.muster.local. DNAME": "DNAME at a wildcard redirects no name (RFC 4592 section 4)",
    }


async def test_dname_at_the_apex_occludes_all_names(checked: Checked) -> None:
    checked.put("file", "@ DNAME other.test.", "@ A 10.0.0.1", "x A 10.0.0.2")
    assert list(await checked.found()) == ["x.muster.local. A"]


async def test_order_of_arrival_is_moot(checked: Checked) -> None:
    """The delegation comes after the record, or from another source."""
    checked.put("record", "www.cut A 10.0.0.2")
    assert await checked.found() == {}
    checked.put("cut", "cut NS ns.elsewhere.test.", source="two")
    assert await checked.found() == {"www.cut.muster.local. A": BELOW_CUT}


async def test_report_ends_with_its_reason(checked: Checked) -> None:
    checked.put("cut", "cut NS ns.elsewhere.test.")
    checked.put("one", "a.cut A 10.0.0.1")
    checked.put("two", "b.cut A 10.0.0.2")
    assert len(await checked.found()) == 2
    checked.catalog.apply("one", Delete("one", 2))
    assert list(await checked.found()) == ["b.cut.muster.local. A"]
    checked.catalog.apply("one", Delete("cut", 3))
    assert await checked.found() == {}


async def test_host_becomes_glue(checked: Checked) -> None:
    checked.put("cut", "cut NS ns.elsewhere.test.")
    checked.put("host", "ns.cut A 10.0.0.1")
    assert list(await checked.found()) == ["ns.cut.muster.local. A"]
    checked.put("side", "side NS ns.cut")
    assert await checked.found() == {}


async def test_unchanged_zone_is_not_searched(checked: Checked) -> None:
    checked.put("file", "a A 10.0.0.1")
    assert checked.catalog.take_changed() == {APEX}
    assert checked.catalog.take_changed() == set()
    checked.put("file", "a A 10.0.0.1")
    assert checked.catalog.take_changed() == set()


async def test_bulk_rows_are_reported(checked: Checked) -> None:
    await checked.catalog.feed("one", Begin())
    lines = [f"n{number}.cut A 10.0.0.1" for number in range(3000)]
    await checked.catalog.feed("one", PutMany(1, 1.0, rows(*lines, "cut NS ns.elsewhere.test.")))
    await checked.catalog.feed("one", Synced(1))
    with capture_logs() as logs:
        assert len(await checked.found()) == limits.MAX_OCCLUDED
    assert checked.catalog.zones[APEX].occluded_total == 3000
    assert len(logs) == limits.MAX_LOGGED + 1
    assert logs[-1]["number"] == limits.MAX_OCCLUDED - limits.MAX_LOGGED


async def test_each_rrset_is_logged_once(checked: Checked) -> None:
    checked.put("file", "cut NS ns.elsewhere.test.", "www.cut A 10.0.0.2")
    with capture_logs() as logs:
        await checked.found()
        checked.put("more", "beside A 10.0.0.3")
        await checked.found()
    assert [(entry["log_level"], entry["rrset"], entry["reason"]) for entry in logs] == [
        ("warning", "www.cut.muster.local. A", BELOW_CUT)
    ]


async def test_check_runs_after_changes() -> None:
    checked = Checked()
    await checked.catalog.reconfigure(settings())
    check = OcclusionCheck(checked.core, checked.catalog, OcclusionTiming(period=0.01, share=1.0))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(check.run())
        checked.put("file", "cut NS ns.elsewhere.test.", "www.cut A 10.0.0.2")
        await until(lambda: bool(checked.catalog.zones[APEX].occluded))
        task.cancel()


async def test_explain_gives_the_reason(checked: Checked) -> None:
    """No search is needed for it."""
    checked.put("file", "cut NS ns.cut", "ns.cut A 10.0.0.1", "ns.cut TXT text", "d DNAME cut")
    checked.put("more", "x.d CNAME d")

    def hidden(name: str) -> dict[str, str]:
        given = checked.catalog.explain(APEX, name_from_text(f"{name}.muster.local"))
        return {type_text(each.rtype): each.hidden for each in given}

    assert hidden("cut") == {"NS": ""}
    assert hidden("ns.cut") == {"A": BELOW_CUT, "TXT": BELOW_CUT}
    assert hidden("d") == {"DNAME": ""}
    assert hidden("x.d") == {"CNAME": BELOW_DNAME}
