"""Registered records whose name no longer belongs to the zone they were registered under."""

import asyncio
from collections.abc import Collection, Mapping
from typing import NamedTuple

from musterd.catalog.rows import key_text
from musterd.catalog.table import STEP, Table
from musterd.catalog.zone import Zone, deepest
from musterd.registry.keys import RecordKey, record_path
from musterd.registry.names import owner_wire, zone_text
from musterd.rr.names import suffixes
from musterd.settings import REGISTRY


class StrayGroup(NamedTuple):
    """Strays of one zone whose names belong to another.

    zone: they were registered under it; now: zone of their names, None if none is declared;
    answered: that zone lists the registry; records: their number; example: path of one.
    """

    zone: str
    now: str | None
    answered: bool
    records: int
    example: str


def strays_at(
    zones: Mapping[bytes, Zone], known: Collection[bytes], owner: bytes, apex: bytes
) -> tuple[RecordKey, ...]:
    """Return the keys of the records at a folded owner name that are not under its zone ``apex``.

    There are none unless the zone is the most specific declared one. known: zones under which
    records are registered.
    """
    # Usually no other zone has records above the name. Checking each of them would cost more.
    at = 0
    while owner[at:] not in known or owner[at:] == apex:
        if not owner[at]:
            return ()
        at += 1 + owner[at]
    declared = [zones[suffix] for suffix in suffixes(owner) if suffix in zones]
    if not declared or declared[0].apex != apex:
        return ()
    own = f"{zone_text(apex)}/"
    paths = {path for zone in declared for path in zone.keys_of(REGISTRY, owner)}
    return tuple(record_path(path) for path in sorted(paths) if not path.startswith(own))


async def stray_groups(zones: Mapping[bytes, Zone], table: Table) -> list[StrayGroup]:
    """Return all strays among the rows of the registry. Other tasks run meanwhile."""
    groups: dict[tuple[str, str | None], StrayGroup] = {}
    parents = {above for apex in zones for above in suffixes(apex) if above != apex}
    plain = {
        zone_text(apex)
        for apex, zone in zones.items()
        if apex not in parents and table.number in zone.sources
    }
    keys = list(table.rows.data)
    for at in range(0, len(keys), STEP):
        for key in keys[at : at + STEP]:
            path = key_text(key)
            zone, owner = path.split("/", 2)[:2]
            if zone in plain:
                continue
            now = deepest(zones, owner_wire(owner, zone))
            answered = now is not None and table.number in now.sources
            text = None if now is None else zone_text(now.apex)
            if not answered or text != zone:
                found = groups.get((zone, text), StrayGroup(zone, text, answered, 0, path))
                groups[zone, text] = found._replace(records=found.records + 1)
        await asyncio.sleep(0)
    return list(groups.values())
