"""Records of several sources in, RRsets out."""

from operator import itemgetter
from typing import Any

import pytest

from musterd.catalog import Contribution
from musterd.rr.names import name_from_text
from musterd.rr.rrset import pack
from musterd.sources.changes import Put
from tests.catalogkit import NOW, lines_of, new_catalog, records

Case = tuple[str, dict[str, str], list[str]]


def case(name: str, given: dict[str, str], answered: str) -> Case:
    return name, given, answered.split("\n") if answered else []


FIRST = [
    case("one source", {"one": "a 5 A 10.0.0.1"}, "a 5 A 10.0.0.1"),
    case("the zone's ttl", {"one": "a A 10.0.0.1"}, "a 30 A 10.0.0.1"),
    case("the source's ttl", {"three": "a A 10.0.0.1"}, "a 77 A 10.0.0.1"),
    case("ttl 0", {"three": "a 0 A 10.0.0.1"}, "a 0 A 10.0.0.1"),
    case(
        "the first has the type",
        {"two": "a 5 A 10.0.0.2", "one": "a 9 A 10.0.0.1"},
        "a 9 A 10.0.0.1",
    ),
    case(
        "types are apart",
        {"one": "a 5 A 10.0.0.1", "two": "a 5 A 10.0.0.2|a 5 AAAA ::2"},
        "a 5 A 10.0.0.1\na 5 AAAA ::2 ; one",
    ),
    case(
        "keys unite, lowest ttl",
        {"one": "a 9 A 10.0.0.1||a 5 A 10.0.0.2||a 7 A 10.0.0.1"},
        "a 5 A 10.0.0.1\na 5 A 10.0.0.2",
    ),
    case("in one key too", {"one": "a 9 A 10.0.0.1|a 5 A 10.0.0.2"},
          "a 5 A 10.0.0.1\na 5 A 10.0.0.2"),
    case("owners in any case", {"one": "A 5 A 10.0.0.1", "two": "a 5 A 10.0.0.2"},
          "a 5 A 10.0.0.1"),
    case(
        "targets in any case",
        {"one": "a 5 MX 65 Mail||a 5 MX 65 mail||a 5 MX 97 mail"},
        "a 5 MX 65 Mail.lab.internal.\na 5 MX 97 mail.lab.internal.",
    ),
    case("texts differ by case", {"one": "a 5 TXT x||a 5 TXT X"}, 'a 5 TXT "X"\na 5 TXT "x"'),
    case("a cname hides all of later ones",
          {"one": "a 5 CNAME b", "two": "a 5 A 10.0.0.2|a 5 CNAME c"},
          "a 5 CNAME b.lab.internal."),
    case("others hide a later cname", {"one": "a 5 TXT x", "two": "a 5 CNAME b|a 5 A 10.0.0.2"},
          'a 5 TXT "x"\na 5 A 10.0.0.2 ; one'),
    case("a third comes to light",
          {"one": "a 5 TXT x", "two": "a 5 CNAME b", "three": "a 5 A 1.2.3.4"},
          'a 5 TXT "x"\na 5 A 1.2.3.4'),
    case("a cname beside others in one source", {"one": "a 5 CNAME b||a 5 A 10.0.0.1"},
          "a 5 A 10.0.0.1"),
    case("two cnames in one source", {"one": "a 5 CNAME b||a 5 CNAME c"},
          "a 5 CNAME b.lab.internal."),
    case("none at the apex", {"one": "@ 5 CNAME b", "two": "@ 5 A 10.0.0.2"},
          "@ 5 A 10.0.0.2 ; one"),
    case("the zone's policy", {"two": "a A 10.0.0.1"}, "a 30 A 10.0.0.1 ; one"),
    case("the record's policy", {"one": "a A 10.0.0.1 ; sticky"}, "a 30 A 10.0.0.1 ; sticky"),
    case("its own all", {"two": "a A 10.0.0.1 ; all"}, "a 30 A 10.0.0.1"),
    case("a name's policy is for all its types",
          {"one": "a A 10.0.0.1 ; subset:2|a AAAA ::1|a TXT x"},
          'a 30 A 10.0.0.1 ; subset:2\na 30 AAAA ::1 ; subset:2\na 30 TXT "x"'),
    case("the first policy of a name",
          {"one": "a A 10.0.0.1||a A 10.0.0.2 ; rotate||a A 10.0.0.3 ; one"},
          "a 30 A 10.0.0.1 ; rotate\na 30 A 10.0.0.2 ; rotate\na 30 A 10.0.0.3 ; rotate"),
]  # fmt: skip

UNION = [
    case("all sources together", {"one": "a 9 A 10.0.0.1", "two": "a 5 A 10.0.0.2|a 7 AAAA ::2"},
          "a 5 A 10.0.0.1\na 5 A 10.0.0.2\na 7 AAAA ::2 ; one"),
    case("once each", {"one": "a 5 A 10.0.0.1", "three": "a A 10.0.0.1"}, "a 5 A 10.0.0.1"),
    case("the first source's policy", {"two": "a A 10.0.0.2", "three": "a A 10.0.0.3"},
          "a 30 A 10.0.0.2 ; one\na 30 A 10.0.0.3 ; one"),
    case("one cname", {"one": "a 5 CNAME b", "two": "a 5 CNAME c|a 5 A 10.0.0.2"},
          "a 5 CNAME b.lab.internal."),
    case("no cname beside others", {"one": "a 5 A 10.0.0.1", "two": "a 5 CNAME c",
                                     "three": "a 5 A 10.0.0.3"},
          "a 5 A 10.0.0.1\na 5 A 10.0.0.3"),
]  # fmt: skip


async def answered(merge: str, given: dict[str, str]) -> list[str]:
    """Each text contains records, separated by | within a key and by || between keys."""
    zone = {"name": "lab.internal", "merge": merge}
    sources: list[dict[str, Any]] = [
        {"name": "one", "zone": "lab.internal"},
        {"name": "two", "zone": "lab.internal", "policy": "one"},
        {"name": "three", "zone": "lab.internal", "ttl": 77},
    ]
    catalog, core, _ = await new_catalog(zone, sources=sources)
    for source, text in given.items():
        for number, key in enumerate(text.split("||")):
            catalog.apply(source, Put(f"k{number}", 1, NOW, records(*key.split("|"))))
    return core.text("lab.internal")


def expected(lines: list[str]) -> list[str]:
    """Make owners absolute that are relative to the zone."""
    absolute = [line.strip().split(" ", 1) for line in lines]
    return sorted(
        ("" if owner == "@" else f"{owner}.") + f"lab.internal. {rest}" for owner, rest in absolute
    )


@pytest.mark.parametrize("one", FIRST, ids=itemgetter(0))
async def test_merge_first(one: Case) -> None:
    _, given, lines = one
    assert await answered("first", given) == expected(lines)


@pytest.mark.parametrize("one", UNION, ids=itemgetter(0))
async def test_merge_union(one: Case) -> None:
    _, given, lines = one
    assert await answered("union", given) == expected(lines)


@pytest.mark.parametrize("merge", ["first", "union"])
@pytest.mark.parametrize("one", FIRST + UNION, ids=itemgetter(0))
async def test_order_of_arrival_does_not_matter(one: Case, merge: str) -> None:
    _, given, _ = one
    turned = {source: given[source] for source in reversed(given)}
    assert await answered(merge, given) == await answered(merge, turned)


def describe(given: Contribution) -> str:
    owner = name_from_text("a.")
    packed = pack(given.rrset.ttl, given.rrset.records)
    lines = [line.removeprefix("a. ") for line in lines_of(owner, given.rtype, packed)]
    return f"{given.source} {given.key}@{given.revision}: {', '.join(lines)} ({given.hidden})"


async def test_explain_shows_all_records() -> None:
    catalog, _, _ = await new_catalog({"name": "lab.internal"})
    catalog.apply("one", Put("/x", 7, NOW, records("a 9 A 10.0.0.1", "b A 10.0.0.9")))
    catalog.apply("one", Put("/y", 8, NOW, records("a A 10.0.0.2")))
    catalog.apply("two", Put("w", 2, NOW, records("a A 10.0.0.3", "a TXT x")))
    catalog.apply("three", Put("v", 3, NOW, records("A CNAME b")))
    zone = name_from_text("lab.internal")
    found = catalog.explain(zone, name_from_text("A.lab.internal"))
    assert [describe(each) for each in found] == [
        "one /x@7: 9 A 10.0.0.1 ()",
        "one /y@8: 30 A 10.0.0.2 ()",
        'two w@2: 30 TXT "x" ()',
        "three v@3: 30 CNAME b.lab.internal. (one has other records, and a CNAME stands alone)",
        "two w@2: 30 A 10.0.0.3 (one comes first)",
    ]
    assert {each.time for each in found} == {NOW}
    only = catalog.explain(zone, name_from_text("a.lab.internal"), 16)
    assert [each.source for each in only] == ["two"]
    assert catalog.explain(zone, name_from_text("none.lab.internal")) == []
    with pytest.raises(KeyError):
        catalog.explain(name_from_text("elsewhere"), name_from_text("a.elsewhere"))


async def test_explain_shows_generated_records() -> None:
    catalog, _, _ = await new_catalog({"name": "lab.internal"})
    zone = name_from_text("lab.internal")
    assert [(each.source, each.key) for each in catalog.explain(zone, zone)] == [("(zone)", "")] * 2
    catalog.apply("two", Put("w", 2, NOW, records("@ NS a", "@ NS b")))
    assert [each.source for each in catalog.explain(zone, zone, 2)] == ["two"] * 2
