"""Zones: their state, their export, and imports into the registry."""

from pathlib import Path
from typing import Any

import pytest

from musterd.catalog import ZoneReport
from musterd.catalog.zone import Zone
from tests.api.kit import ApiKit, running, settings

FILE = b"""\
$ORIGIN lab.internal.
$TTL 60
@ SOA ns hostmaster 1 7200 1800 86400 30
@ NS ns
@ TXT "v=spf1 -all" "x"
ns A 10.0.0.1
web 30 A 10.0.0.2
web 30 A 10.0.0.3
*.any AAAA fd00::1
www CNAME web
_http._tcp SRV 0 10 8080 web
a\\.b A 10.0.0.4
c CAA 0 issue "x"
odd TYPE65280 \\# 2 0a0b
"""
COUNT = 11
"""Records of the file that can be registered: all but the SOA."""


async def load(api: ApiKit, text: bytes = FILE, query: str = "", zone: str = "lab.internal") -> Any:
    return await api.ok("POST", f"/zones/{zone}/import{query}", content=text)


def counts(done: Any) -> tuple[int, int, int, int]:
    return done["added"], done["changed"], done["removed"], done["unchanged"]


async def test_zones_are_listed_and_shown(api: ApiKit) -> None:
    await api.ok("PUT", "/records/lab.internal/a/A/1", {"data": "10.0.0.1"})
    zones = (await api.ok("GET", "/zones"))["zones"]
    assert [zone["name"] for zone in zones] == ["lab.internal", "sub.lab.internal", "other.test"]
    zone = await api.ok("GET", "/zones/LAB.internal.")
    assert zone == zones[0]
    expected = {"state": "live", "records": {"registry": 1}, "names": 1, "policy": "all",
                "sources": ["registry"], "merge": "first"}  # fmt: skip
    assert expected.items() <= zone.items()
    await api.refused(404, "GET", "/zones/nope.test")


async def test_import_and_export(api: ApiKit) -> None:
    assert counts(await load(api, query="?dry_run=true")) == (COUNT, 0, 0, 0)
    assert (await api.ok("GET", "/records"))["records"] == []
    assert counts(await load(api)) == (COUNT, 0, 0, 0)
    assert api.answers("web") == ["10.0.0.2", "10.0.0.3"]
    assert api.answers("x.any", "AAAA") == ["fd00::1"]
    assert api.answers("_http._tcp", "SRV") == ["0 10 8080 web.lab.internal."]
    assert api.answers("odd", "TYPE65280") == [r"\# 2 0a0b"]
    response = await api.call("GET", "/zones/lab.internal/export")
    assert response.headers["content-type"].startswith("text/dns")
    assert counts(await load(api, response.content)) == (0, 0, 0, COUNT)
    assert counts(await load(api, response.content, "?replace=true")) == (0, 0, 0, COUNT)


async def exported(api: ApiKit, zone: str = "lab.internal") -> bytes:
    """Return the export of a zone without its serial."""
    text = (await api.call("GET", f"/zones/{zone}/export")).content
    return b"".join(line for line in text.splitlines(keepends=True) if b" SOA " not in line)


async def test_importing_an_export_changes_nothing(api: ApiKit) -> None:
    lease = (await api.ok("POST", "/leases", {"ttl": 20}))["id"]
    for path, body in (
        ("web/A/default", {"data": "10.0.0.1"}),
        ("web/A/lower", {"data": "10.0.0.2", "ttl": 5, "policy": "one", "weight": 7}),
        ("web/A/higher", {"data": "10.0.0.3", "ttl": 500}),
        ("twice/A/one", {"data": "10.0.0.1"}),
        ("twice/A/two", {"data": "10.0.0.1", "ttl": 60}),
        ("job/A/me", {"data": "10.0.0.4", "lease": lease}),
        ("job/A/other", {"data": "10.0.0.5", "lease": lease, "ttl": 9}),
        ("m/MX/one", {"data": "10 Mail.Lab.Internal."}),
        ("m/MX/two", {"data": "10 mail.lab.internal"}),
        ("t/TXT/one", {"data": "v=spf1 -all", "ttl": 0}),
        ("s/SRV/one", {"data": "0 3 80 web.lab.internal", "weight": 9}),
        ("c/CNAME/one", {"data": "Web.Lab.Internal"}),
        ("*.w/AAAA/one", {"data": "fd00::1"}),
        ("kid/NS/one", {"data": "ns.kid.lab.internal"}),
        ("ns.kid/A/one", {"data": "10.0.0.6"}),
        ("d/DNAME/one", {"data": "new.test."}),
        ("u/URI/one", {"data": '10 1 "http://a/;b"'}),
        ("web.lab.internal.lab.internal./A/one", {"data": "10.0.0.7"}),
    ):
        await api.ok("PUT", f"/records/lab.internal/{path}", body)
    before, records = await exported(api), (await api.ok("GET", "/records"))["records"]
    for query in ("", "?replace=true", "?replace=true&dry_run=true"):
        assert counts(await load(api, before, query)) == (0, 0, 0, len(records))
    assert await exported(api) == before
    assert (await api.ok("GET", "/records"))["records"] == records


async def test_import_of_made_ptr_records_registers_nothing(tmp_path: Path) -> None:
    zones = ({"name": "lab.internal", "ptr": True}, {"name": "10.in-addr.arpa"})
    async with running(tmp_path, zones) as api:
        await api.ok("PUT", "/records/lab.internal/web/A/one", {"data": "10.0.0.1"})
        await api.ok("PUT", "/records/10.in-addr.arpa/9.0.0/PTR/one", {"data": "x.test."})
        before = await exported(api, "10.in-addr.arpa")
        assert before.count(b" PTR ") == 2
        for query in ("", "?replace=true"):
            done = await load(api, before, query, "10.in-addr.arpa")
            assert counts(done) == (0, 0, 0, 1)
        assert await exported(api, "10.in-addr.arpa") == before


async def test_import_registers_more_than_the_made_ns_records(api: ApiKit) -> None:
    lines = b"@ 30 NS ns\n", b"@ 30 NS ns2\n"
    assert counts(await load(api, lines[0])) == (0, 0, 0, 0)
    assert counts(await load(api, b"".join(lines))) == (2, 0, 0, 0)
    assert len(api.answers("lab.internal.", "NS")) == 2


async def test_import_sets_ttls_that_are_not_answered_already(api: ApiKit) -> None:
    path = "/records/lab.internal/web/A"
    await api.ok("PUT", f"{path}/one", {"data": "10.0.0.1", "ttl": 5})
    await api.ok("PUT", f"{path}/two", {"data": "10.0.0.2", "ttl": 60})
    both = b"web 5 A 10.0.0.1\nweb 5 A 10.0.0.2\n"
    assert counts(await load(api, both)) == (0, 0, 0, 2)
    # Without the first record, the second would be answered with its own TTL.
    assert counts(await load(api, b"web 5 A 10.0.0.2\n", "?replace=true")) == (0, 1, 1, 0)
    assert api.reply("web.lab.internal.").answer[0].ttl == 5
    assert counts(await load(api, b"web 30 A 10.0.0.2\n")) == (0, 1, 0, 0)
    await api.ok("PUT", f"{path}/two", {"data": "10.0.0.2"})
    assert counts(await load(api, b"web 30 A 10.0.0.2\n")) == (0, 0, 0, 1)


async def test_strings_over_lines_are_imported(api: ApiKit) -> None:
    text = b'web TXT "one\n$INCLUDE /etc/passwd\n$ORIGIN x.\n" "$INCLUDE x"\rdb A 10.0.0.1\r'
    assert counts(await load(api, text)) == (2, 0, 0, 0)
    string = r'"one\010$INCLUDE /etc/passwd\010$ORIGIN x.\010" "$INCLUDE x"'
    assert api.answers("web", "TXT") == [string]
    assert api.answers("db") == ["10.0.0.1"]
    assert counts(await load(api, await exported(api), "?replace=true")) == (0, 0, 0, 2)


async def test_import_keeps_fields_a_zone_file_lacks(api: ApiKit) -> None:
    kept = {
        "data": "10.0.0.2",
        "ttl": 30,
        "policy": "one",
        "description": "mine",
        "labels": {"a": "b"},
    }
    mine = await api.ok("PUT", "/records/lab.internal/web/A/mine", kept)
    other = await api.token("write:lab.internal", name="other")
    done = await api.ok(
        "POST", "/zones/lab.internal/import", content=b"web 90 A 10.0.0.2\n", token=other
    )
    assert counts(done) == (0, 1, 0, 0)
    now = await api.ok("GET", "/records/lab.internal/web/A/mine")
    assert now["ttl"] == 90
    same = ("policy", "description", "labels", "registrant", "created", "id")
    assert [now[name] for name in same] == [mine[name] for name in same]
    entry = (await api.ok("GET", "/history?limit=1"))["entries"][0]
    assert (entry["who"], entry["action"]) == ("other", "changed")


async def test_replace_removes_records_missing_from_file(api: ApiKit) -> None:
    await api.ok("PUT", "/records/lab.internal/old/A/1", {"data": "10.9.9.9"})
    await api.ok("PUT", "/records/other.test/old/A/1", {"data": "10.9.9.9"})
    assert counts(await load(api)) == (COUNT, 0, 0, 0)
    assert api.answers("old") == ["10.9.9.9"]
    assert counts(await load(api, query="?replace=true")) == (0, 0, 1, COUNT)
    assert api.answers("old") == []
    assert api.answers("old.other.test.") == ["10.9.9.9"]
    entry = (await api.ok("GET", "/history?limit=1"))["entries"][0]
    assert (entry["who"], entry["action"]) == ("first", "deleted")


async def test_imported_cname_replaces_registered_cname(api: ApiKit) -> None:
    await api.ok("PUT", "/records/lab.internal/www/CNAME/1", {"data": "x.test"})
    assert counts(await load(api, b"www CNAME y.test.\n")) == (1, 0, 1, 0)
    assert api.answers("www", "CNAME") == ["y.test."]


async def test_imported_cname_excludes_other_types(api: ApiKit) -> None:
    await api.ok("PUT", "/records/lab.internal/web/A/1", {"data": "10.9.9.9"})
    await api.ok("PUT", "/records/lab.internal/www/CNAME/1", {"data": "x.test"})
    for text in (b"web CNAME y.test.\n", b"www A 10.0.0.1\n", b"n CNAME y.test.\nn A 10.0.0.1\n"):
        problem = await api.refused(422, "POST", "/zones/lab.internal/import", content=text)
        assert "CNAME" in problem["problems"][0]["problem"]
    await load(api, b"web CNAME y.test.\nwww A 10.0.0.1\n", "?replace=true")
    assert (api.answers("web", "CNAME"), api.answers("www")) == (["y.test."], ["10.0.0.1"])


async def test_import_ignores_invalid_key(api: ApiKit) -> None:
    await api.store.put(b"/musterd/v1/records/lab.internal/x/y", b"\xff")
    await api.store.put(b"/musterd/v1/records/lab.internal/x/A/1", b"{}")
    assert counts(await load(api, b"x A 10.0.0.1\n")) == (1, 0, 0, 0)
    assert counts(await load(api, b"x A 10.0.0.1\n", "?replace=true")) == (0, 0, 2, 1)
    await api.ok("PUT", "/records/lab.internal/x/CNAME", {"records": []})


async def test_import_skips_records_of_the_zone_itself(api: ApiKit) -> None:
    await api.ok("PUT", "/records/lab.internal/web/A/1", {"data": "10.0.0.1", "ttl": 9})
    exported = (await api.call("GET", "/zones/lab.internal/export")).content
    assert b" NS " in exported
    assert counts(await load(api, exported, "?replace=true")) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("text", "line"),
    [(b"a A 10.0.0.1\nb A 10.0.0\n", 2), (b"a A 10.0.0.1\n$INCLUDE /etc/passwd\n", 2),
     (b"\xef\xbb\xbf$include /etc/passwd\n", 1), (b"(\r$Include /etc/passwd )\n", 1),
     (b"a A 10.0.0.1\r(\r$Include /etc/passwd )\r", 2),
     (b"a A 10.0.0.1\na 2147483648 AAAA ::1\n", 2), (b"a A 10.0.0.1\n\na TXT \"x\n", 3),
     (b"\n\nb.other.test. A 10.0.0.1\n", 3), (b"x.sub A 10.0.0.1\n", 0), (b"c CAA nope\n", 1),
     (b"a BOGUS x\n", 1)],
)  # fmt: skip
async def test_invalid_zone_file_is_rejected(api: ApiKit, text: bytes, line: int) -> None:
    good = b"good A 10.0.0.1\n"
    problem = await api.refused(422, "POST", "/zones/lab.internal/import", content=text + good)
    assert [fault["line"] for fault in problem["problems"]] == [line]
    assert "root" not in str(problem)
    assert api.answers("good") == []
    done = await load(api, text + good, "?dry_run=true")
    assert [fault["line"] for fault in done["problems"]] == [line]


async def test_large_file_is_imported(api: ApiKit) -> None:
    text = b"".join(
        b"h%d A 10.%d.%d.%d\n" % (n, n >> 16, n >> 8 & 255, n & 255) for n in range(5000)
    )
    assert counts(await load(api, text)) == (5000, 0, 0, 0)
    assert api.answers("h4999") == ["10.0.19.135"]
    assert counts(await load(api, b"; nothing\n", "?replace=true")) == (0, 0, 5000, 0)
    assert api.answers("h4999") == []


async def test_zone_costs_no_look_at_others(api: ApiKit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    report = api.context.catalog.zone_report

    def counted(zone: Zone) -> ZoneReport:
        asked.append(zone.text)
        return report(zone)

    monkeypatch.setattr(api.context.catalog, "zone_report", counted)
    await api.ok("GET", "/zones/sub.lab.internal")
    (found,) = (await api.ok("GET", "/zones?name=a.b.sub.lab.internal"))["zones"]
    assert found["name"] == "sub.lab.internal"
    assert asked == ["sub.lab.internal."] * 2


async def test_zone_of_a_name_needs_a_scope(api: ApiKit) -> None:
    reader, writer = await api.token("read"), await api.token("write:lab.internal")
    assert await api.ok("GET", "/zones?name=a.lab.internal.", token=reader)
    assert await api.ok("GET", "/zones?name=a.lab.internal", token=writer)
    await api.refused(403, "GET", "/zones?name=a.sub.lab.internal", token=writer)
    problem = await api.refused(404, "GET", "/zones?name=a.nope.test", token=writer)
    assert "zones" not in problem
    problem = await api.refused(404, "GET", "/zones?name=a.nope.test", token=reader)
    assert problem["zones"] == ["lab.internal", "other.test", "sub.lab.internal"]
    await api.refused(403, "GET", "/zones", token=writer)
    await api.refused(422, "GET", "/zones?name=a..test")


async def test_zone_that_a_reload_has_just_declared_is_loading(api: ApiKit) -> None:
    apex = b"\x02up\x04test\0"
    api.context.catalog.zones[apex] = Zone(settings([{"name": "up.test"}]).zones[0], ())
    found = await api.ok("GET", "/zones")
    assert [zone["state"] for zone in found["zones"] if zone["name"] == "up.test"] == ["loading"]
