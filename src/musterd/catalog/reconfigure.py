"""Reconfiguration: which zones new settings change, and which must be indexed again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from musterd.catalog.reverse import holds_reverse
from musterd.catalog.table import Table
from musterd.catalog.zone import Zone
from musterd.rr.names import fold, name_from_text
from musterd.settings import Settings, ZoneSettings


@dataclass(slots=True)
class ZonePlan:
    """Difference between the running zones and the configured ones."""

    zones: dict[bytes, Zone] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    """The tables of the sources that a zone lists."""
    changed: list[tuple[Zone | None, Zone]] = field(default_factory=list)
    """Zones that differ, before and after. Zones with PTR records, before or after, come last, when
    the zones that hold these are complete."""
    wanted: dict[Table, set[Zone]] = field(default_factory=dict)
    """The zones that the rows of a table must be indexed for."""
    listing: dict[bytes, dict[bytes, Zone]] = field(default_factory=dict)
    """Number of a table -> the zones that list it, by apex."""
    needs: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    """Apex -> the sources that must be complete before a negative answer is true."""


def make(
    settings: Settings, old: Mapping[bytes, Zone], table: Callable[[str], Table], reverse: Table
) -> ZonePlan:
    """Plan the zones of the settings; ``table`` gives the table of a source by its name."""
    plan = ZonePlan()
    for declared in settings.zones:
        for source in settings.sources_of(declared):
            if source.name not in plan.tables:
                plan.tables[source.name] = table(source.name)
        zone = _zone(plan, settings, declared, reverse)
        plan.zones[zone.apex] = zone
    tables = [*plan.tables.values(), reverse]
    moved = _moved(plan, tables)
    for apex, zone in list(plan.zones.items()):
        _compare(plan, old.get(apex), zone, moved, tables)
    for apex, zone in plan.zones.items():
        for number in zone.sources:
            plan.listing.setdefault(number, {})[apex] = zone
    plan.changed.sort(key=lambda pair: pair[1].ptr or bool(pair[0] and pair[0].ptr))
    plan.needs = dict(_needs(plan, settings))
    return plan


def _zone(plan: ZonePlan, settings: Settings, declared: ZoneSettings, reverse: Table) -> Zone:
    ranked = [(plan.tables[source.name].rows, source) for source in settings.sources_of(declared)]
    last = [(reverse.rows, None)] if holds_reverse(fold(name_from_text(declared.name))) else []
    return Zone(declared, [*ranked, *last])


def _moved(plan: ZonePlan, tables: list[Table]) -> dict[bytes, set[bytes]]:
    """Return the zones that each table has gained or lost, by the number of the table."""
    apexes: dict[bytes, set[bytes]] = {table.number: set() for table in tables}
    for apex, zone in plan.zones.items():
        for number in zone.sources:
            apexes[number].add(apex)
    return {table.number: apexes[table.number] ^ table.zones.keys() for table in tables}


def _compare(
    plan: ZonePlan,
    old: Zone | None,
    new: Zone,
    moved: Mapping[bytes, set[bytes]],
    tables: list[Table],
) -> None:
    """Keep the old zone if nothing differs, else its index if that is still valid.

    The index is valid if the sources are the same and none gained or lost a zone inside this one.
    """
    if old is not None:
        new.succeed(old)
        inside = (apex for number in new.sources for apex in moved[number])
        if old.sources == new.sources and not any(apex.endswith(new.apex) for apex in inside):
            if old.settings == new.settings and old.defaults == new.defaults:
                plan.zones[new.apex] = old
                return
            new.take_index(old)
            plan.changed.append((old, new))
            return
    plan.changed.append((old, new))
    for table in tables:
        if table.number in new.sources:
            plan.wanted.setdefault(table, set()).add(new)


def _needs(plan: ZonePlan, settings: Settings) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """Yield the needs of each zone; a reverse zone needs the sources of all zones with PTR too."""
    ptr = [s.name for zone in settings.zones if zone.ptr for s in settings.sources_of(zone)]
    for apex, zone in plan.zones.items():
        own = [source.name for source in settings.sources_of(zone.settings)]
        yield apex, tuple(dict.fromkeys([*own, *(ptr if holds_reverse(apex) else ())]))
