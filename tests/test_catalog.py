"""Changes of sources in, updates of the core out."""

import pytest

from musterd.catalog import Catalog
from musterd.catalog.problems import PROBLEMS
from musterd.catalog.table import STEP
from musterd.display import MAX_SHOWN
from musterd.rr.names import name_from_text
from musterd.rr.rrset import Record, pack
from musterd.rr.types import CNAME, TXT, A
from musterd.sources.changes import (
    Batch,
    Begin,
    Change,
    Delete,
    Fault,
    Lost,
    Put,
    PutMany,
    Resolved,
    Synced,
    Withheld,
    WithheldRecord,
)
from tests.catalogkit import NOW, ManualClock, RecordingCore, new_catalog, records, rows, settings

ZONE = "lab.internal"


def put(key: str, *lines: str, revision: int = 1) -> Put:
    return Put(key, revision, NOW, records(*lines))


def many(*lines: str, revision: int = 1) -> PutMany:
    return PutMany(revision, NOW, rows(*lines))


def lines(*texts: str) -> list[str]:
    return sorted(f"{text.split()[0]}.{ZONE}. {text.split(' ', 1)[1]}" for text in texts)


CHANGES: list[tuple[str, list[Change], list[str]]] = [
    ("a key", [put("k", "a 5 A 10.0.0.1")], ["a 5 A 10.0.0.1"]),
    ("a key again", [put("k", "a 5 A 10.0.0.1"), put("k", "b 5 A 10.0.0.1")], ["b 5 A 10.0.0.1"]),
    ("a key with less", [put("k", "a 5 A 10.0.0.1", "a 5 AAAA ::1"), put("k", "a 5 AAAA ::1")],
     ["a 5 AAAA ::1"]),
    ("a key with nothing", [put("k", "a 5 A 10.0.0.1"), put("k")], []),
    ("deleted", [put("k", "a 5 A 10.0.0.1"), Delete("k", 2)], []),
    ("deleted twice", [put("k", "a 5 A 10.0.0.1"), Delete("k", 2), Delete("k", 2)], []),
    ("deleted and back", [put("k", "a 5 A 10.0.0.1"), Delete("k", 2), put("k", "a 6 A 10.0.0.1")],
     ["a 6 A 10.0.0.1"]),
    ("one of two keys deleted", [put("k", "a 5 A 10.0.0.1"), put("l", "a 5 A 10.0.0.2"),
     Delete("k", 2)], ["a 5 A 10.0.0.2"]),
    ("in bulk", [many("a 5 A 10.0.0.1", "a 5 AAAA ::1", "b A 10.0.0.2")],
     ["a 5 A 10.0.0.1", "a 5 AAAA ::1", "b 30 A 10.0.0.2"]),
    ("in bulk, cased", [many("A 5 A 10.0.0.1"), many("a 6 A 10.0.0.1")], ["a 6 A 10.0.0.1"]),
    ("in bulk, later", [many("a 5 A 10.0.0.1"), many("a 5 AAAA ::1")],
     ["a 5 A 10.0.0.1", "a 5 AAAA ::1"]),
    ("in bulk, third", [many("a 5 A 10.0.0.1"), many("a 5 AAAA ::1"), many("a 5 TXT x")],
     ["a 5 A 10.0.0.1", "a 5 AAAA ::1", 'a 5 TXT "x"']),
    ("in bulk, several later", [many("a 5 A 10.0.0.1"), many("a 5 TXT x", "a 5 CNAME b",
     "a 5 AAAA ::1 ; one")], ["a 5 A 10.0.0.1 ; one", "a 5 AAAA ::1 ; one", 'a 5 TXT "x"']),
    ("in bulk, a policy later", [many("a 5 A 10.0.0.1"), many("a 5 AAAA ::1 ; one")],
     ["a 5 A 10.0.0.1 ; one", "a 5 AAAA ::1 ; one"]),
    ("in bulk, a policy before", [many("a 5 A 10.0.0.1 ; one"), many("a 5 AAAA ::1")],
     ["a 5 A 10.0.0.1 ; one", "a 5 AAAA ::1 ; one"]),
    ("in bulk, later at a cased name", [many("A 5 A 10.0.0.1"), many("a 5 TXT x")],
     ["a 5 A 10.0.0.1", 'a 5 TXT "x"']),
    ("in bulk, later by a list", [Begin(), many("a 5 A 10.0.0.1"), many("a 5 TXT x"), Synced(1),
     Begin(), many("a 5 TXT x"), many("a 5 AAAA ::1"), Synced(2)], ["a 5 AAAA ::1", 'a 5 TXT "x"']),
    ("by key, in bulk later", [put("k", "a 5 A 10.0.0.1 ; one"), many("a 5 AAAA ::1"),
     many("a 5 TXT x")], ["a 5 A 10.0.0.1 ; one", "a 5 AAAA ::1 ; one", 'a 5 TXT "x"']),
    ("in bulk and by key", [many("a 5 A 10.0.0.1"), put("k", "a 6 A 10.0.0.2")],
     ["a 5 A 10.0.0.1", "a 5 A 10.0.0.2"]),
    ("by key and in bulk", [put("k", "a 6 CNAME b"), many("a 5 A 10.0.0.2")], ["a 5 A 10.0.0.2"]),
    ("in bulk, cname last", [many("a 5 A 10.0.0.1"), many("a 5 CNAME b")], ["a 5 A 10.0.0.1"]),
    ("in bulk, cname first", [many("a 5 CNAME b"), many("a 5 A 10.0.0.1")], ["a 5 A 10.0.0.1"]),
    ("in bulk, a policy", [many("a 5 A 10.0.0.1", "a 5 AAAA ::1 ; one")],
     ["a 5 A 10.0.0.1 ; one", "a 5 AAAA ::1 ; one"]),
    ("in bulk, a policy first", [many("a 5 A 10.0.0.1 ; one", "a 5 AAAA ::1")],
     ["a 5 A 10.0.0.1 ; one", "a 5 AAAA ::1 ; one"]),
    ("a full list", [many("a 5 A 10.0.0.1"), put("k", "b 5 A 10.0.0.2"), Begin(),
     many("c 5 A 10.0.0.3"), Synced(2)], ["c 5 A 10.0.0.3"]),
    ("a full list of some", [Begin(), put("k", "a 5 A 10.0.0.1"), put("l", "b 5 A 10.0.0.2"),
     Synced(1), Begin(), put("l", "b 5 A 10.0.0.2"), Synced(2)], ["b 5 A 10.0.0.2"]),
    ("a full list with deletions", [Begin(), put("k", "a 5 A 10.0.0.1"), Synced(1), Begin(),
     put("k", "a 5 A 10.0.0.1"), Delete("k", 2), Synced(2)], []),
    ("a list broken off", [put("k", "a 5 A 10.0.0.1"), Begin(), put("l", "b 5 A 10.0.0.2"),
     Lost("gone")], ["a 5 A 10.0.0.1", "b 5 A 10.0.0.2"]),
    ("a list begun again", [put("k", "a 5 A 10.0.0.1"), Begin(), put("l", "b 5 A 10.0.0.2"),
     Begin(), put("k", "a 5 A 10.0.0.1"), Synced(2)], ["a 5 A 10.0.0.1"]),
    ("an empty list", [many("a 5 A 10.0.0.1"), Begin(), Synced(2)], []),
    ("a list of whole names", [put("k", "a 5 A 10.0.0.1"), put("l", "b 5 A 10.0.0.2"), Begin(),
     Batch([put("m", "a 5 A 10.0.0.3"), put("n", "a 5 AAAA ::1")], whole=True)],
     ["a 5 A 10.0.0.3", "a 5 AAAA ::1", "b 5 A 10.0.0.2"]),
    ("a list of whole names, to its end", [put("k", "a 5 A 10.0.0.1"), put("l", "b 5 A 10.0.0.2"),
     Begin(), Batch([put("m", "a 5 TXT x")], whole=True), Synced(2)], ['a 5 TXT "x"']),
    ("gone, another, and gone at once", [put("k", "a 5 TXT x"), Batch([Delete("k", 2),
     put("l", "a 5 A 10.0.0.1"), Delete("l", 3)])], []),
    ("gone, and another at once", [put("k", "a 5 TXT x"), Batch([Delete("k", 2),
     put("l", "a 5 A 10.0.0.1")])], ["a 5 A 10.0.0.1"]),
    ("a wildcard", [put("k", "* 5 A 10.0.0.1")], ["* 5 A 10.0.0.1"]),
]  # fmt: skip


@pytest.mark.parametrize("case", CHANGES, ids=[case[0] for case in CHANGES])
@pytest.mark.parametrize("source", ["one", "three"])
async def test_changes_reach_the_core(
    case: tuple[str, list[Change], list[str]], source: str
) -> None:
    catalog, core, _ = await new_catalog()
    for change in case[1]:
        await catalog.feed(source, change)
    assert core.text(ZONE) == lines(*case[2])
    assert catalog.zone_reports()[0].records[source] == sum(
        len(given.rrset.records)
        for owner in ("a", "b", "c", "*")
        for given in catalog.explain(name_from_text(ZONE), name_from_text(f"{owner}.{ZONE}"))
    )


async def test_only_differences_reach_the_core() -> None:
    catalog, core, _ = await new_catalog()
    catalog.apply("one", put("k", "a 5 A 10.0.0.1", "a 5 AAAA ::1", "b 5 A 10.0.0.1"))
    core.forget()
    catalog.apply("one", put("k", "a 5 A 10.0.0.2", "a 5 AAAA ::1", "b 5 A 10.0.0.1"))
    assert [row[1:3] for batch in core.batches for row in batch] == [(wire("a"), 1)]


async def test_second_type_in_bulk_reads_no_row_at_its_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog, core, _ = await new_catalog()
    catalog.apply("one", many("a 5 A 10.0.0.1", "b 5 A 10.0.0.1"))
    read: list[bytes] = []
    zone = catalog.zones[name_from_text(ZONE)]
    monkeypatch.setattr(zone, "candidates", read.append)
    catalog.apply("one", many("a 5 TXT x", "b 5 TXT x"))
    assert read == []
    assert core.text(ZONE) == lines(
        "a 5 A 10.0.0.1", 'a 5 TXT "x"', "b 5 A 10.0.0.1", 'b 5 TXT "x"'
    )


async def test_shadowed_records_do_not_reach_the_core() -> None:
    catalog, core, _ = await new_catalog()
    catalog.apply("one", put("k", "a 5 A 10.0.0.1"))
    core.forget()
    catalog.apply("two", put("k", "a 5 A 10.0.0.2"))
    assert core.batches == []


async def test_equal_list_updates_only_revisions() -> None:
    catalog, core, _ = await new_catalog()
    catalog.apply("one", Begin(), many("a 5 A 10.0.0.1", "b 5 A 10.0.0.1"), put("k", "c 5 TXT x"))
    catalog.apply("one", Synced(1))
    core.forget()
    rest = many("b 5 A 10.0.0.1", "a 5 A 10.0.0.1", revision=2), put("k", "c 5 TXT x", revision=2)
    catalog.apply("one", Begin(), *rest, Synced(2))
    assert core.batches == []
    found = catalog.explain(name_from_text(ZONE), wire("a"))
    assert [(given.key, given.revision) for given in found] == [("a.lab.internal. A", 2)]


async def test_owner_name_changes_atomically() -> None:
    catalog, core, _ = await new_catalog()
    catalog.apply("one", put("k", "b 5 A 10.0.0.1"), put("l", "a 5 A 10.0.0.1"))
    core.forget()
    catalog.apply("one", put("k", "a 5 CNAME c", "b 5 CNAME c"), Delete("l", 2))
    owners = [[row[1:3] for row in batch] for batch in core.batches]
    assert owners == [[(wire("b"), 1), (wire("b"), CNAME)], [(wire("a"), 1), (wire("a"), CNAME)]]


async def test_large_change_yields_to_the_loop() -> None:
    catalog, core, _ = await new_catalog()
    all_rows = rows(*(f"n{n} A 10.0.0.1" for n in range(3 * STEP)))
    await catalog.feed("one", Begin())
    core.forget()
    await catalog.feed("one", PutMany(1, NOW, all_rows))
    assert [len(batch) for batch in core.batches] == [STEP, STEP, STEP]
    await catalog.feed("one", Synced(1))
    core.forget()
    await catalog.feed("one", Begin())
    await catalog.feed("one", PutMany(2, NOW, all_rows[:1]))
    await catalog.feed("one", Synced(2))
    assert [len(batch) for batch in core.batches] == [STEP, STEP, STEP - 1]
    assert core.text(ZONE) == lines("n0 30 A 10.0.0.1")


async def test_step_of_a_large_change_ends_between_names() -> None:
    catalog, core, _ = await new_catalog()
    some = [put(f"n{n}", f"n{n} A 10.0.0.1") for n in range(STEP)]
    old = [put(f"a{n}", f"a A 10.0.0.{n}") for n in range(5)]
    new = [put(f"b{n}", f"a A 10.0.1.{n}") for n in range(5)]
    gone = [Delete(each.key, 1) for each in old]
    parts: list[list[Change]] = [
        [Batch([*some[3:], *old])],
        [Batch([*some[2:], *gone, *new])],
        [Begin(), some[-1], Synced(2)],
    ]
    for changes in parts:
        core.forget()
        for change in changes:
            await catalog.feed("one", change)
        assert sum(any(row[1] == wire("a") for row in batch) for batch in core.batches) == 1
    assert core.text(ZONE) == lines(f"n{STEP - 1} 30 A 10.0.0.1")


async def test_batches_are_bounded_and_keep_owner_names_whole() -> None:
    core = RecordingCore()
    catalog = Catalog(core, ManualClock(), max_batch=3)
    await catalog.reconfigure(settings())
    core.forget()
    texts = [f"{owner} 5 {rest}" for owner in "abcd" for rest in ("A 10.0.0.1", "TXT x")]
    catalog.apply("one", put("k", *texts))
    assert [len(batch) for batch in core.batches] == [4, 4]
    assert core.text(ZONE) == lines(*(text.replace("TXT x", 'TXT "x"') for text in texts))


async def test_record_outside_the_zones_is_dropped_and_counted() -> None:
    catalog, core, clock = await new_catalog(
        {"name": ZONE}, {"name": "other.local"},
        sources=[{"name": "one", "zone": ZONE}, {"name": "two", "zone": "other.local"}],
    )  # fmt: skip
    outside = put("k", "a 5 A 10.0.0.1", "x.other.local. 5 A 10.0.0.2", "y.com. 5 A 10.0.0.3")
    catalog.apply("one", outside, many("z.other.local. 5 A 10.0.0.4"))
    assert core.text(ZONE) == lines("a 5 A 10.0.0.1")
    assert core.text("other.local") == []
    report = catalog.source_reports()[0]
    assert [(problem.where, problem.reason) for problem in report.problems] == [
        ("k: x.other.local. A", "zone other.local. does not list this source"),
        ("k: y.com. A", "is in no zone"),
        ("z.other.local. A", "zone other.local. does not list this source"),
    ]
    assert report.problems_total == 3
    assert report.problems[0].time == clock.now


async def test_name_with_the_same_suffix_is_outside() -> None:
    catalog, core, _ = await new_catalog(
        {"name": "local"}, sources=[{"name": "one", "zone": "local"}]
    )
    # The text of the apex, but within a label.
    owner = b"\x07a\x05local\0"
    catalog.apply("one", Put("k", 1, NOW, (Record(owner, 1, pack(5, [(1, b"\1\2\3\4")])),)))
    catalog.apply("one", PutMany(1, NOW, [(owner, 1, pack(5, [(1, b"\1\2\3\4")]))]))
    assert core.text("local") == []
    assert catalog.source_reports()[0].problems_total == 2


@pytest.mark.parametrize(
    ("owner", "packed", "reason"),
    [
        (b"\x05a", pack(5, [(1, b"\1\2\3\4")]), "is not a valid wire name"),
        (b"", pack(5, [(1, b"\1\2\3\4")]), "is not a valid wire name"),
        (
            b"\x3f" + b"a" * 63 + b"\0" * 300,
            pack(5, [(1, b"\1\2\3\4")]),
            "is not a valid wire name",
        ),
        (b"\x01b\x03lab\x08internal\0", b"short", "expected at least"),
        (b"\x01b\x03lab\x08internal\0", pack(5, [(1, b"\1\2\3\4")])[:-1], "cut off"),
    ],
)
async def test_invalid_record_does_not_affect_others(
    owner: bytes, packed: bytes, reason: str
) -> None:
    catalog, core, _ = await new_catalog()
    given = (Record(owner, 1, packed), *records("a 5 A 10.0.0.1"))
    catalog.apply("one", Put("k", 1, NOW, given))
    assert core.text(ZONE) == lines("a 5 A 10.0.0.1")
    (problem,) = catalog.source_reports()[0].problems
    assert problem.where == "k"
    assert reason in problem.reason


async def test_list_replaces_problems() -> None:
    catalog, _, _ = await new_catalog()
    catalog.apply("one", Begin(), Fault("file:1", "wrong"), put("k", "x. A 10.0.0.1"), Synced(1))
    assert [problem.where for problem in catalog.source_reports()[0].problems] == [
        "file:1",
        "k: x. A",
    ]
    catalog.apply("one", Begin(), put("k", "x. A 10.0.0.1"), Synced(2))
    report = catalog.source_reports()[0]
    assert [problem.where for problem in report.problems] == ["k: x. A"]
    assert report.problems_total == 3


async def test_problems_are_bounded() -> None:
    catalog, _, _ = await new_catalog()
    catalog.apply("one", *(Fault(f"file:{n}", "wrong") for n in range(PROBLEMS + 5)))
    report = catalog.source_reports()[0]
    assert (len(report.problems), report.problems_total) == (PROBLEMS, PROBLEMS + 5)
    assert report.problems[-1].where == f"file:{PROBLEMS + 4}"
    # Dropped problems are not shown again when later ones are resolved, but are still counted.
    catalog.apply("one", *(Resolved(f"file:{n}") for n in range(5, PROBLEMS + 5)))
    report = catalog.source_reports()[0]
    assert (report.problems, report.problems_forgotten) == ((), 5)
    catalog.apply("one", Begin(), Fault("file:1", "wrong"), Synced(1))
    assert catalog.source_reports()[0].problems_forgotten == 0


async def test_resolved_problem_is_removed() -> None:
    catalog, _, _ = await new_catalog()
    catalog.apply("one", Fault("first", "wrong"), Fault("second", "wrong"))
    catalog.apply("one", *(Fault("first", f"wrong {n}") for n in range(PROBLEMS)))
    problems = catalog.source_reports()[0].problems
    assert [(problem.where, problem.reason) for problem in problems] == [
        ("second", "wrong"),
        ("first", f"wrong {PROBLEMS - 1}"),
    ]
    catalog.apply("one", Resolved("second"), Resolved("never"))
    report = catalog.source_reports()[0]
    assert [problem.where for problem in report.problems] == ["first"]
    assert report.problems_total == PROBLEMS + 2


@pytest.mark.parametrize("several", [True, False])
async def test_fixed_or_deleted_key_is_no_problem(several: bool) -> None:
    catalog, _, _ = await new_catalog()

    def apply(change: Put | Delete) -> list[str]:
        catalog.apply("one", Batch([change]) if several else change)
        return [problem.where for problem in catalog.source_reports()[0].problems]

    assert apply(put("k", "x.com. A 10.0.0.1", "y.com. A 10.0.0.1")) == [
        "k: x.com. A",
        "k: y.com. A",
    ]
    assert apply(put("other", "z.com. A 10.0.0.1"))[2:] == ["other: z.com. A"]
    assert apply(put("k", "a A 10.0.0.1", "y.com. A 10.0.0.1")) == [
        "other: z.com. A",
        "k: y.com. A",
    ]
    assert apply(put("k", "a A 10.0.0.1")) == ["other: z.com. A"]
    assert apply(Delete("other", 2)) == []


async def test_problem_text_is_bounded() -> None:
    catalog, _, _ = await new_catalog()
    where, reason = "k" * 1_000_000, "r" * 1_000_000
    catalog.apply("one", Fault(where, reason))
    (problem,) = catalog.source_reports()[0].problems
    for text in (problem.where, problem.reason):
        assert len(text) == MAX_SHOWN
        assert "… (1000000 characters" in text
    catalog.apply("one", Fault(f"{where[:500_000]}x{where[:499_999]}", reason))
    assert len(catalog.source_reports()[0].problems) == 2
    catalog.apply("one", Resolved(where))
    (other,) = catalog.source_reports()[0].problems
    assert other.where != problem.where
    catalog.apply("one", Resolved(f"{where[:500_000]}x{where[:499_999]}"))
    assert catalog.source_reports()[0].problems == ()


async def test_rrset_refused_by_the_core_is_removed_and_reported() -> None:
    catalog, core, _ = await new_catalog()
    catalog.apply("one", put("k", "a 5 A 10.0.0.1", "b 5 A 10.0.0.1"))
    bad = Record(wire("a"), 1, pack(5, [(1, b"\1\2\3")]))
    catalog.apply("one", Put("k", 2, NOW, (bad, *records("b 5 A 10.0.0.2"))))
    assert core.text(ZONE) == lines("b 5 A 10.0.0.2")
    assert catalog.zone_reports()[0].refused_total == 1
    (given,) = catalog.explain(name_from_text(ZONE), wire("a"))
    assert given.refused
    catalog.apply("one", put("k", "a 5 A 10.0.0.3"))
    assert core.text(ZONE) == lines("a 5 A 10.0.0.3")
    (given,) = catalog.explain(name_from_text(ZONE), wire("a"))
    assert given.refused == ""


async def test_record_belongs_to_the_deepest_zone_of_its_source() -> None:
    catalog, core, _ = await new_catalog(
        {"name": "local"}, {"name": ZONE}, {"name": "sub.lab.internal"},
        sources=[
            {"name": "one", "zone": "local"}, {"name": "two", "zone": ZONE},
            {"name": "three", "zone": "sub.lab.internal"},
        ],
    )  # fmt: skip
    # Glue and DS stand above the zone that they are about.
    catalog.apply("two", many("ns.sub 5 A 10.0.0.1", "sub 5 NS ns.sub", "@ 5 TXT x"))
    assert core.text("sub.lab.internal") == []
    assert core.text(ZONE) == [
        f'{ZONE}. 5 TXT "x"',
        *lines("ns.sub 5 A 10.0.0.1", "sub 5 NS ns.sub.lab.internal."),
    ]


SOA_TEXT = f"{ZONE}. 30 SOA ns.{ZONE}. hostmaster.{ZONE}. {{}} 7200 1800 86400 30"


def soa(core: RecordingCore) -> str:
    (line,) = [line for line in core.text(ZONE, own=True) if " SOA " in line]
    return line


async def test_zone_generates_soa_and_ns() -> None:
    _, core, clock = await new_catalog()
    assert core.text(ZONE, own=True) == [
        f"{ZONE}. 30 NS ns.{ZONE}.", SOA_TEXT.format(int(clock.now))
    ]  # fmt: skip


async def test_soa_and_ns_follow_the_settings() -> None:
    zone = {"name": ZONE, "ttl": 9, "ns": ["b.example", "a.example"],
            "soa": {"mname": "m.example", "rname": "r.example", "refresh": 1, "retry": 2,
                    "expire": 3, "minimum": 4}}  # fmt: skip
    _, core, clock = await new_catalog(zone)
    assert core.text(ZONE, own=True) == [
        f"{ZONE}. 9 NS a.example.",
        f"{ZONE}. 9 NS b.example.",
        f"{ZONE}. 9 SOA m.example. r.example. {int(clock.now)} 1 2 3 4",
    ]


async def test_source_overrides_soa_and_ns() -> None:
    catalog, core, clock = await new_catalog({"name": ZONE, "merge": "union"})
    clock.advance(5)
    given = "@ 60 SOA a.example. b.example. 42 1 2 3 4", "@ 60 NS a.example."
    catalog.apply("two", many(*given))
    assert core.text(ZONE, own=True) == [f"{ZONE}. 60 NS a.example.", f"{ZONE}. {given[0][2:]}"]
    catalog.apply("two", many("a 5 A 10.0.0.1"))
    clock.advance(5)
    assert soa(core) == f"{ZONE}. {given[0][2:]}"
    assert catalog.zone_reports()[0].serial == 42
    catalog.apply("two", Begin(), Synced(2))
    assert soa(core) == SOA_TEXT.format(int(clock.now))


async def test_generated_ns_is_the_primary_of_the_soa() -> None:
    catalog, core, _ = await new_catalog({"name": ZONE})
    catalog.apply("two", many("@ 60 SOA a.example. b.example. 42 1 2 3 4"))
    assert f"{ZONE}. 30 NS a.example." in core.text(ZONE)
    bad = Record(name_from_text(ZONE), 6, pack(5, [(1, b"\x05a")]))
    catalog.apply("two", Begin(), Put("k", 1, NOW, (bad,)), Synced(1))
    assert core.text(ZONE, own=True) == [f"{ZONE}. 30 NS ns.{ZONE}."]


async def test_serial_is_the_time_of_the_last_change() -> None:
    catalog, core, clock = await new_catalog()
    clock.advance(100)
    assert soa(core) == SOA_TEXT.format(int(clock.now) - 100)
    catalog.apply("one", put("k", "a 5 A 10.0.0.1"))
    assert soa(core) == SOA_TEXT.format(int(clock.now))
    clock.advance(100)
    catalog.apply("one", put("k", "a 5 A 10.0.0.1", revision=2))
    catalog.apply("two", put("k", "a 5 A 10.0.0.2"))
    assert soa(core) == SOA_TEXT.format(int(clock.now) - 100), "the answers are as they were"


async def test_serial_changes_at_most_once_a_second() -> None:
    catalog, core, clock = await new_catalog()
    start = int(clock.now)
    clock.advance(10.5)
    for number in range(5):
        catalog.apply("one", put("k", f"a 5 A 10.0.0.{number}"))
    assert soa(core) == SOA_TEXT.format(start + 10)
    clock.advance(0.9)
    assert soa(core) == SOA_TEXT.format(start + 10)
    clock.advance(0.1)
    assert soa(core) == SOA_TEXT.format(start + 11)
    clock.advance(50)
    assert soa(core) == SOA_TEXT.format(start + 11)


async def test_serial_never_decreases() -> None:
    catalog, core, clock = await new_catalog()
    start = int(clock.now)
    for number in range(1, 4):
        clock.advance(2)
        clock.now = NOW - 1000 * number
        catalog.apply("one", put("k", f"a 5 A 10.0.0.{number}"))
        assert soa(core) == SOA_TEXT.format(start + number)


@pytest.mark.parametrize(("known", "serial"), [(5, int(NOW)), (int(NOW) + 7, int(NOW) + 8)])
async def test_serial_never_decreases_across_a_restart(known: int, serial: int) -> None:
    core = RecordingCore()
    catalog = Catalog(core, ManualClock())
    catalog.known_serials({f"{ZONE}.": known})
    await catalog.reconfigure(settings())
    assert soa(core) == SOA_TEXT.format(serial)
    assert catalog.serials() == {f"{ZONE}.": serial}


def wire(owner: str) -> bytes:
    return name_from_text(f"{owner}.{ZONE}")


async def test_withheld_records_are_explained_until_the_source_clears_them() -> None:
    catalog, core, _ = await new_catalog()
    zone, owner = name_from_text(ZONE), name_from_text(f"a.{ZONE}")
    down = WithheldRecord(A, 5, bytes((10, 0, 0, 9)), "is down")
    other = WithheldRecord(TXT, 1, b"\1x", "the source gives no other TXT here")
    put = Put("k", 7, NOW, records("a A 10.0.0.1"))
    catalog.apply("one", Batch((put, Withheld(name_from_text(f"A.{ZONE}"), (down, other)))))
    assert core.text(ZONE) == lines("a 30 A 10.0.0.1")
    given, withheld, alone = catalog.explain(zone, owner)
    assert (alone.rtype, alone.hidden, alone.key) == (TXT, other.reason, "")
    assert (withheld.rrset.records, withheld.hidden) == (((5, down.rdata),), "is down")
    assert (withheld.key, withheld.revision) == (given.key, given.revision) == ("k", 7)
    await catalog.feed("one", Withheld(owner, ()))
    assert catalog.explain(zone, owner) == [given]
    catalog.apply("one", Withheld(owner, (down,)), Begin())
    assert catalog.explain(zone, owner) == [given]
