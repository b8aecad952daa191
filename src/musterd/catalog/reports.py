"""Reports on sources and zones, for monitoring."""

from collections.abc import Mapping
from dataclasses import dataclass

from musterd.catalog.problems import Problem
from musterd.catalog.resolve import answered_serial
from musterd.catalog.states import STATE_TEXT, SourceStatus, States
from musterd.catalog.table import Table
from musterd.catalog.zone import Zone


@dataclass(frozen=True, slots=True)
class SourceReport:
    """The state of a source; times are epoch seconds, None for never.

    state: ``loading``, ``synced``, ``restored`` (its rows are from a snapshot of the time
    ``restored``), or ``lost`` (since ``lost``, for a ``reason``); problems: what is left
    out now, the last of it; problems_total: how often something was; problems_forgotten: how many
    before the last may be so still.
    """

    name: str
    state: str
    synced: float | None
    restored: float | None
    lost: float | None
    reason: str
    revision: int
    keys: int
    problems: tuple[Problem, ...]
    problems_total: int
    problems_forgotten: int


@dataclass(frozen=True, slots=True)
class ZoneReport:
    """The state of a zone.

    state: ``loading``, ``restoring``, ``live`` or ``stale``, as answers have it, since then (epoch
    seconds); records: by source, those that are hidden too; refused: RRsets that the core did not
    take.
    """

    name: str
    state: str
    since: float
    serial: int
    records: Mapping[str, int]
    refused_total: int


def source_report(table: Table, states: States) -> SourceReport:
    """Return the state of a source."""
    status = states.sources.get(table.name, SourceStatus())
    state = "synced" if status.synced is not None else "loading"
    if status.synced is None and status.restored is not None:
        state = "restored"
    if status.lost is not None:
        state = "lost"
    return SourceReport(
        table.name,
        state,
        status.synced,
        status.restored,
        status.lost,
        status.reason,
        status.revision,
        len(table.rows),
        table.problems.last,
        table.problems.total,
        table.problems.forgotten,
    )


def zone_report(zone: Zone, states: States) -> ZoneReport:
    """Return the state of a zone."""
    state, since = states.reported(zone.apex)
    records = {rows.name: zone.records[number] for number, rows in zone.sources.items()}
    return ZoneReport(
        zone.text,
        STATE_TEXT[state],
        since,
        answered_serial(zone),
        records,
        zone.refused_total,
    )
