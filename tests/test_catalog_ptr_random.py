"""Random changes of addresses, delegations and zones give the PTR records of a fresh catalog."""

import random
from collections.abc import Mapping
from typing import Any

import pytest

from musterd.catalog import Catalog
from musterd.sources.changes import Delete, Put
from tests.catalogkit import NOW, RecordingCore, new_catalog, records, settings

FORWARD, REVERSE, DEEPER = "lab.internal", "10.in-addr.arpa", "1.10.in-addr.arpa"
SOURCES = {"one": FORWARD, "two": REVERSE, "three": REVERSE}
CHANGES = 25
CUTS = ("", "1 DNAME x.test.", "1 NS ns.test.", "0.1 NS ns.test.", "0.0 DNAME y.test.",
        "1.0.0 NS q.test.", "0.0.1 PTR own.test.", "1.0.0 TXT z", "1 CNAME b.test.")  # fmt: skip

Key = tuple[str, str]
"""Name of a source, and key in it."""
Given = dict[Key, list[str]]
"""Lines that each key gives."""


def random_settings(pick: random.Random) -> tuple[list[Mapping[str, Any]], list[dict[str, str]]]:
    """Return random zones, and the sources of these."""
    zones: list[Mapping[str, Any]] = [{"name": FORWARD, "ptr": pick.random() < 0.8}]
    zones += [{"name": REVERSE}] if pick.random() < 0.9 else []
    zones += [{"name": DEEPER}] if pick.random() < 0.3 else []
    declared = {zone["name"] for zone in zones}
    names = [name for name, zone in SOURCES.items() if zone in declared]
    if "three" in names and pick.random() < 0.3:
        names.remove("three")
    return zones, [{"name": name, "zone": SOURCES[name]} for name in names]


def random_change(pick: random.Random) -> tuple[Key, list[str]]:
    """Return a random key, and the lines that it gives."""
    if pick.random() < 0.5:
        hosts = [f"h{pick.randrange(4)}" for _ in range(pick.randrange(3))]
        lines = [f"{host} A 10.{pick.randrange(2)}.0.{pick.randrange(3)}" for host in hosts]
        return ("one", f"k{pick.randrange(5)}"), lines
    line = pick.choice(CUTS)
    return (pick.choice(("two", "three")), f"k{pick.randrange(3)}"), [line] if line else []


def apply(catalog: Catalog, key: Key, lines: list[str]) -> None:
    source, name = key
    given = records(*lines, zone=SOURCES[source])
    catalog.apply(source, Put(name, 1, NOW, given) if lines else Delete(name, 1))


def hidden(lines: list[str], zone: str) -> list[str]:
    """Return the PTR records made from addresses that nothing answers."""
    found = [line.split() for line in lines]
    cuts = [(owner, rtype) for owner, _, rtype, *_ in found if owner != f"{zone}."]
    return [
        f"{owner} {data}"
        for owner, _, rtype, data, *_ in found
        if rtype == "PTR" and data.endswith(f"{FORWARD}.")
        for cut, kind in cuts
        if (kind in ("NS", "DNAME") and owner.endswith(f".{cut}")) or (owner, "NS") == (cut, kind)
    ]


@pytest.mark.parametrize("seed", range(60))
async def test_random_changes_end_as_in_a_fresh_catalog(seed: int) -> None:
    pick = random.Random(seed)  # noqa: S311
    zones, sources = random_settings(pick)
    catalog, core, _ = await new_catalog(*zones, sources=sources)
    given: Given = {}
    for _ in range(CHANGES):
        if pick.random() < 0.2:
            zones, sources = random_settings(pick)
            await catalog.reconfigure(settings(*zones, sources=sources))
            given = {key: lines for key, lines in given.items() if key[0] in catalog.tables}
            continue
        key, lines = random_change(pick)
        if key[0] in catalog.tables:
            apply(catalog, key, lines)
            given[key] = lines
    fresh = await rebuilt(zones, sources, given, pick)
    for zone in (str(zone["name"]) for zone in zones):
        assert core.text(zone) == fresh.text(zone)
        assert hidden(core.text(zone), zone) == []


async def rebuilt(
    zones: list[Mapping[str, Any]], sources: list[dict[str, str]], given: Given, pick: random.Random
) -> RecordingCore:
    """Return the answers of a new catalog that takes the same in another order."""
    catalog, core, _ = await new_catalog(*zones, sources=sources)
    items = list(given.items())
    pick.shuffle(items)
    for key, lines in items:
        apply(catalog, key, lines)
    return core
