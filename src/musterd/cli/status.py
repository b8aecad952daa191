"""``musterd status``."""

import time
from typing import TYPE_CHECKING

from musterd.cli.options import OPTIONS, OutputOptions

if TYPE_CHECKING:
    from musterd.client.values import ServerInfo, SourceInfo, StatusInfo, ZoneInfo


def status(*, options: OutputOptions = OPTIONS) -> None:
    """Show the state of the server: zones, sources, store and problems."""
    from musterd.cli import output

    with options.client() as client:
        found = client.status()
    if options.json:
        output.as_object(found)
    else:
        _print(found)


def _print(found: "StatusInfo") -> None:
    from musterd.cli import output
    from musterd.client.text import moment, span

    up = span(time.time() - found["started"])
    output.facts(
        {
            "version": found["version"],
            "up": f"{up}, since {moment(found['started'])}",
            "answers on": ", ".join(found["listeners"]),
            "store": f"{found['store']['kind']}, revision {found['store']['revision']}",
        }
    )
    print()
    zone_table(found["zones"])
    print()
    columns = ("source", "state", "lost since", "keys", "problems", "reason")
    rows = map(_source_row, found["sources"])
    output.table(columns, rows, spare=("keys", "lost since", "problems"), text=("reason",))
    if found["servers"]:
        print()
        titles = ("server", "state", "revision", "lag", "seen", "started", "version", "answers on")
        spare = ("version", "started", "lag", "seen", "revision", "answers on")
        output.table(titles, map(_server_row, found["servers"]), spare=spare, text=("answers on",))
    if found["problems"]:
        print("\nproblems:")
    for problem in found["problems"]:
        output.paragraph(problem, "  ")


def _server_row(server: "ServerInfo") -> tuple[str, ...]:
    from musterd.client.text import moment, span

    state = "running" if server["running"] else "stopped"
    seen, started = moment(server["seen"]), moment(server["started"])
    revision, lag = server["revision"], server["lag"]
    progress = "" if revision is None else str(revision), "" if lag is None else span(lag)
    times = seen, started, server["version"]
    return server["name"], state, *progress, *times, ", ".join(server["addresses"])


def zone_table(zones: "list[ZoneInfo]") -> None:
    """Print a table of zones."""
    from musterd.cli import output

    columns = ("zone", "state", "since", "serial", "names", "records", "policy", "merge", "sources")
    spare = ("merge", "serial", "policy", "since", "records", "names", "sources")
    output.table(columns, map(_zone_row, zones), spare=spare, text=("sources",))


def _zone_row(zone: "ZoneInfo") -> tuple[str, ...]:
    from musterd.client.text import moment

    records = str(sum(zone["records"].values()))
    numbers = (moment(zone["since"]), str(zone["serial"]), str(zone["names"]), records)
    sources = ", ".join(zone["sources"])
    return zone["name"], zone["state"], *numbers, zone["policy"], zone["merge"], sources


def _source_row(source: "SourceInfo") -> tuple[str, ...]:
    from musterd.client.text import moment

    counts = str(source["keys"]), str(source["problems"] or "")
    return source["name"], source["state"], moment(source["lost"]), *counts, source["reason"]
