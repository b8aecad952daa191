"""``musterd import``: takes over from the systems that musterd replaces."""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from musterd.cli.etcd import NO_LOGIN, without_login
from musterd.cli.extra import server_side
from musterd.cli.options import Flag
from musterd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from musterd.etcd import EtcdOptions
    from musterd.importers.etcd_v2 import Node
    from musterd.importers.hades_etcd import ImportReport

app = App(name="import", help="Take over from the systems that musterd replaces.")

SHOWN: Final = 20
"""Keys that can't be read and are named; all are counted."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Target:
    """What becomes of the keys."""

    to: str = ""
    """HOST:PORT,... of the etcd to copy to; without it the keys are printed, as JSON."""
    replace: Annotated[bool, Flag] = False
    """Put keys that are there with another value, too."""
    dry_run: Annotated[bool, Flag] = False
    """Only say what would be done."""


_PRINTED = Target()


@app.command(name="hades-etcd")
def hades_etcd(
    url: str,
    /,
    *,
    prefix: str = "/hades",
    target: Target = _PRINTED,
    login: EtcdLoginOptions = NO_LOGIN,
) -> int:
    """Copy the records of Hades from etcd's API v2 to API v3; exit with 1 if some can't be read.

    Hades spoke API v2, whose keys API v3 can't see. What is there already is not put again: what
    was cut off goes on when it is started once more.

    Args:
        url: The etcd that has API v2, as http://127.0.0.1:4001.
        prefix: Of the keys.
        target: What becomes of the keys.
        login: How both etcds are asked; API v2 knows no user here.
    """
    with server_side("musterd import hades-etcd"):
        from musterd.etcd import EtcdOptions
        from musterd.importers import etcd_v2
        from musterd.importers.hades_etcd import ImportReport, wanted

    report = ImportReport()
    prefix = "/" + prefix.strip("/")
    files = login.settings()
    place = etcd_v2.Place(without_login(url), files.ca, files.cert, files.key)
    nodes = wanted(etcd_v2.nodes(place, prefix), prefix, report)
    if target.to:
        store = login.store(_endpoints(target.to))
        copying = _copy(nodes, EtcdOptions.of(store.endpoints, store), report, target)
        asyncio.run(copying)
    else:
        for node in nodes:
            print(json.dumps({"key": node.key, "value": node.value}))
    _tell(report, target)
    return 1 if report.bad else 0


def _endpoints(to: str) -> str:
    if "://" in to or "@" in to or any(":" not in one for one in to.split(",")):
        raise UsageError("--to: expected HOST:PORT, as 127.0.0.1:2379")
    return to


async def _copy(
    nodes: "Iterable[Node]", options: "EtcdOptions", report: "ImportReport", target: Target
) -> None:
    from musterd.etcd import EtcdClient
    from musterd.importers.hades_etcd import copy

    shown = sys.stderr.isatty()
    async with EtcdClient(options) as client:
        async for _ in copy(nodes, client, report, replace=target.replace, dry_run=target.dry_run):
            if shown:
                print(f"\r{report.found} keys", end="", file=sys.stderr, flush=True)
    if shown:
        print(file=sys.stderr)


def _tell(report: "ImportReport", target: Target) -> None:
    """Say what became of the keys, where it is not in the way of these."""
    would = "would be " if target.dry_run else ""
    said = [
        (report.put, f"{would}copied"),
        (report.replaced, f"{would}replaced"),
        (report.same, "there already"),
        (report.other, "there with another value, left (see --replace)"),
        (report.work, "of scanners and schedulers, not needed"),
        (report.expiring, "with a TTL, left to who renews them"),
        (len(report.bad), "left out, as they can't be read"),
    ]
    out = sys.stdout if target.to else sys.stderr
    print(f"{report.found} keys found", file=out)
    for number, what in said:
        if number:
            print(f"{number:>8} {what}", file=out)
    for name, reason in report.bad[:SHOWN]:
        print(f"{name}: {reason}", file=sys.stderr)
