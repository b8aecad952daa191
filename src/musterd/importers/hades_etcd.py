"""Copies what Hades keeps in etcd's API v2 to API v3, where a source of layout "hades" reads it.

The keys stay the same. What is there already is not put again, so a copy that was cut off goes on
where it was when it is started once more.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from musterd.etcd import EtcdClient
from musterd.importers.etcd_v2 import Node
from musterd.sources.etcd.keys import LAYOUTS
from musterd.sources.etcd.service import Rules, is_down, read

LAYOUT: Final = LAYOUTS["hades"]
BATCH_SIZE: Final = 100
"""Keys that are compared and put together."""
_WORK: Final = "/monitor/"
"""Below it is what scanners and schedulers tell one another; only the statuses are taken."""


@dataclass(slots=True)
class ImportReport:
    """What became of keys, by number.

    put: new; same: there already; other: there with another value, which stays unless it is to be
    replaced; work: of scanners and schedulers; expiring: that etcd would remove, whose writers go
    on with API v2.
    """

    found: int = 0
    put: int = 0
    same: int = 0
    replaced: int = 0
    other: int = 0
    work: int = 0
    expiring: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)
    """Keys whose value can't be read, and why; they are left out."""


def wanted(nodes: Iterable[Node], prefix: str, report: ImportReport) -> Iterator[Node]:
    """Those that are to be copied."""
    status = f"{prefix}/{LAYOUT.status}/"
    for node in nodes:
        report.found += 1
        if node.key.startswith(prefix + _WORK) and not node.key.startswith(status):
            report.work += 1
            continue
        if node.expires:
            report.expiring += 1
            continue
        try:
            if node.key.startswith(status):
                is_down(node.value.encode())
            else:
                read(b"", node.value.encode(), 0, None, Rules(0, LAYOUT.typed))
        except ValueError as error:
            report.bad.append((node.key, str(error)))
            continue
        yield node


async def copy(
    nodes: Iterable[Node], client: EtcdClient, report: ImportReport, *, replace: bool, dry_run: bool
) -> AsyncIterator[None]:
    """Put keys, with a break after some. Raises StoreError.

    replace: also those that are there with another value; dry_run: none, only count.
    """
    source = iter(nodes)
    while some := list(islice(source, BATCH_SIZE)):
        for node in some:
            key, value = node.key.encode(), node.value.encode()
            there = (await client.range(key)).entries
            if there and there[0].value == value:
                report.same += 1
            elif there and not replace:
                report.other += 1
            else:
                report.replaced += bool(there)
                report.put += not there
                if not dry_run:
                    await client.put(key, value)
        yield
