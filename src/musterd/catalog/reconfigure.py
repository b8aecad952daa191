"""Reconfiguration: which zones new settings change, and which must be indexed again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from musterd.catalog.reverse import holds_reverse
from musterd.catalog.table import Table
from musterd.catalog.zone import Zone
from musterd.rr.names import fold, name_from_text
from musterd.settings import Settings, ZoneSettings


@dataclass(frozen=True, slots=True)
class ZonePlan:
    """Difference between the running zones and the configured ones."""

    zones: dict[bytes, Zone]
    tables: dict[str, Table]
    """The tables of the sources that a zone lists."""
    changed: list[tuple[Zone | None, Zone]]
    """Zones that differ, before and after. Zones with PTR records, before or after, come last, when
    the zones that hold these are complete."""
    wanted: dict[Table, set[Zone]]
    """The zones that the rows of a table must be indexed for."""
    listing: dict[bytes, dict[bytes, Zone]]
    """Number of a table -> the zones that list it, by apex."""
    needs: dict[bytes, tuple[str, ...]]
    """Apex -> the sources that must be complete before a negative answer is true."""


def make(
    settings: Settings, old: Mapping[bytes, Zone], table: Callable[[str], Table], reverse: Table
) -> ZonePlan:
    """Plan the zones of the settings; ``table`` gives the table of a source by its name."""
    names = [s.name for zone in settings.zones for s in settings.sources_of(zone)]
    tables = {name: table(name) for name in dict.fromkeys(names)}
    declared = [_zone(tables, settings, zone, reverse) for zone in settings.zones]
    zones = {zone.apex: zone for zone in declared}
    moved = _moved(zones, [*tables.values(), reverse])
    changed: list[tuple[Zone | None, Zone]] = []
    wanted: dict[Table, set[Zone]] = {}
    for zone in declared:
        before = old.get(zone.apex)
        if before is not None:
            zone.succeed(before)
        if before is None or not _is_index_valid(before, zone, moved):
            for listed in (*tables.values(), reverse):
                if listed.number in zone.sources:
                    wanted.setdefault(listed, set()).add(zone)
        elif _is_same(before, zone):
            zones[zone.apex] = before
            continue
        else:
            zone.take_index(before)
        changed.append((before, zone))
    changed.sort(key=lambda pair: pair[1].ptr or bool(pair[0] and pair[0].ptr))
    listing: dict[bytes, dict[bytes, Zone]] = {}
    for apex, zone in zones.items():
        for number in zone.sources:
            listing.setdefault(number, {})[apex] = zone
    return ZonePlan(zones, tables, changed, wanted, listing, dict(_needs(zones, settings)))


def _is_same(old: Zone, new: Zone) -> bool:
    return (old.settings, old.defaults, old.wildcard_queries) == (
        new.settings,
        new.defaults,
        new.wildcard_queries,
    )


def _zone(
    tables: Mapping[str, Table], settings: Settings, declared: ZoneSettings, reverse: Table
) -> Zone:
    ranked = [(tables[source.name].rows, source) for source in settings.sources_of(declared)]
    last = [(reverse.rows, None)] if holds_reverse(fold(name_from_text(declared.name))) else []
    return Zone(declared, [*ranked, *last])


def _moved(zones: Mapping[bytes, Zone], tables: Sequence[Table]) -> dict[bytes, set[bytes]]:
    """Return the zones that each table has gained or lost, by the number of the table."""
    apexes: dict[bytes, set[bytes]] = {table.number: set() for table in tables}
    for apex, zone in zones.items():
        for number in zone.sources:
            apexes[number].add(apex)
    return {table.number: apexes[table.number] ^ table.zones.keys() for table in tables}


def _is_index_valid(old: Zone, new: Zone, moved: Mapping[bytes, set[bytes]]) -> bool:
    """Return whether the index of a zone is valid under new settings.

    The sources must be the same, and none may have gained or lost a zone inside this one.
    """
    inside = (apex for number in new.sources for apex in moved[number])
    return old.sources == new.sources and not any(apex.endswith(new.apex) for apex in inside)


def _needs(
    zones: Mapping[bytes, Zone], settings: Settings
) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """Yield the needs of each zone; a reverse zone needs the sources of all zones with PTR too."""
    ptr = [
        source.name
        for zone in settings.zones
        if zones[fold(name_from_text(zone.name))].ptr
        for source in settings.sources_of(zone)
    ]
    for apex, zone in zones.items():
        own = [source.name for source in settings.sources_of(zone.settings)]
        yield apex, tuple(dict.fromkeys([*own, *(ptr if holds_reverse(apex) else ())]))
