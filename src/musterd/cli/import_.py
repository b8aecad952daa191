"""``musterd import``: imports the data of the systems that musterd replaces."""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from musterd.cli.etcd import NO_LOGIN, EtcdLoginOptions, without_login
from musterd.cli.extra import server_side
from musterd.cli.options import AsJson, Flag
from musterd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from musterd.etcd import EtcdOptions
    from musterd.importers.etcd_v2 import Node
    from musterd.importers.hades_etcd import ImportReport

app = App(name="import", help="Import the data of the systems that musterd replaces.")

MAX_SHOWN: Final = 20
"""Maximum number of unreadable keys to list; all are counted."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class CopyTarget:
    """Target of the import."""

    to: str = ""
    """HOST:PORT,... of the etcd to copy to; default: print the keys as JSON."""
    replace: Annotated[bool, Flag] = False
    """Replace keys that exist with another value."""
    dry_run: Annotated[bool, Flag] = False
    """Only print what would be done."""


_PRINTED = CopyTarget()


@app.command(name="hades-etcd")
def hades_etcd(
    url: str,
    /,
    *,
    prefix: str = "/hades",
    target: CopyTarget = _PRINTED,
    as_json: AsJson = False,
    login: EtcdLoginOptions = NO_LOGIN,
) -> int:
    """Copy the records of Hades from etcd's API v2 to API v3; exit with 1 if a key can't be read.

    Hades used API v2, whose keys are not visible in API v3. Existing keys are kept, so an
    interrupted copy can be run again.

    Args:
        url: The etcd with API v2, for example http://127.0.0.1:4001.
        prefix: Prefix of the keys.
        target: Where to write the keys.
        as_json: Print the summary as JSON.
        login: TLS and login for both etcds; API v2 is read without a user.
    """
    with server_side("musterd import hades-etcd"):
        from musterd.etcd import EtcdOptions
        from musterd.importers import etcd_v2
        from musterd.importers.hades_etcd import ImportReport, wanted

    report = ImportReport()
    prefix = "/" + prefix.strip("/")
    files = login.settings()
    endpoint = etcd_v2.V2Endpoint(without_login(url), files.ca, files.cert, files.key)
    nodes = wanted(etcd_v2.nodes(endpoint, prefix), prefix, report)
    if target.to:
        store = login.store(_endpoints(target.to), as_json=as_json)
        options = EtcdOptions.of(store.endpoints, store)
        asyncio.run(_copy(nodes, options, report, target, quiet=as_json))
    else:
        for node in nodes:
            print(json.dumps({"key": node.key, "value": node.value}))
    _print_report(report, target, as_json=as_json)
    return 1 if report.bad else 0


def _endpoints(to: str) -> str:
    if "://" in to or "@" in to or any(":" not in endpoint for endpoint in to.split(",")):
        raise UsageError("--to: expected HOST:PORT, for example 127.0.0.1:2379")
    return to


async def _copy(
    nodes: "Iterable[Node]",
    options: "EtcdOptions",
    report: "ImportReport",
    target: CopyTarget,
    *,
    quiet: bool,
) -> None:
    from musterd.etcd import EtcdClient
    from musterd.importers.hades_etcd import copy

    interactive = not quiet and sys.stderr.isatty()
    async with EtcdClient(options) as client:
        async for _ in copy(nodes, client, report, replace=target.replace, dry_run=target.dry_run):
            if interactive:
                print(f"\r{report.found} keys", end="", file=sys.stderr, flush=True)
    if interactive:
        print(file=sys.stderr)


def _print_report(report: "ImportReport", target: CopyTarget, *, as_json: bool) -> None:
    """Print a summary; on standard error if the keys themselves are on standard output."""
    out = sys.stdout if target.to else sys.stderr
    if as_json:
        print(json.dumps(_report_object(report), indent=2, ensure_ascii=False), file=out)
        return
    would = "would be " if target.dry_run else ""
    lines = [
        (report.put, f"{would}copied"),
        (report.replaced, f"{would}replaced"),
        (report.same, "unchanged"),
        (report.other, "kept with another value (see --replace)"),
        (report.work, "skipped: used by scanners and schedulers only"),
        (report.expiring, "skipped: they have a TTL, so their writer must write them again"),
        (len(report.bad), "skipped: unreadable"),
    ]
    print(f"{report.found} keys found", file=out)
    for number, text in lines:
        if number:
            print(f"{number:>8} {text}", file=out)
    for name, reason in report.bad[:MAX_SHOWN]:
        print(f"{name}: {reason}", file=sys.stderr)


def _report_object(report: "ImportReport") -> dict[str, object]:
    return {
        "found": report.found,
        "copied": report.put,
        "replaced": report.replaced,
        "unchanged": report.same,
        "kept": report.other,
        "skipped": {"work": report.work, "expiring": report.expiring},
        "unreadable": [{"key": key, "reason": reason} for key, reason in report.bad],
    }
