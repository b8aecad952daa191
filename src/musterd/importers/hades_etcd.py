"""Copies the keys of Hades from etcd's API v2 to API v3, for a source of layout "hades".

The keys stay the same. Existing keys are kept, so an interrupted copy can be run again.
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
"""Keys between two progress reports."""
_WORK: Final = "/monitor/"
"""Prefix of the keys of scanners and schedulers; only the statuses are copied."""


@dataclass(slots=True)
class ImportReport:
    """Number of keys by result.

    put: new keys; same: unchanged keys; other: kept keys with another value; work: keys of scanners
    and schedulers; expiring: keys with a TTL, which their writers renew through API v2.
    """

    found: int = 0
    put: int = 0
    same: int = 0
    replaced: int = 0
    other: int = 0
    work: int = 0
    expiring: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)
    """Skipped keys with an unreadable value, and the reason."""


def wanted(nodes: Iterable[Node], prefix: str, report: ImportReport) -> Iterator[Node]:
    """Return the nodes to copy."""
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
    """Put keys; yield after each batch. Raises StoreError.

    replace: replace keys with another value; dry_run: only count.
    """
    source = iter(nodes)
    while batch := list(islice(source, BATCH_SIZE)):
        for node in batch:
            key, value = node.key.encode(), node.value.encode()
            existing = (await client.range(key)).entries
            if existing and existing[0].value == value:
                report.same += 1
            elif existing and not replace:
                report.other += 1
            else:
                report.replaced += bool(existing)
                report.put += not existing
                if not dry_run:
                    await client.put(key, value)
        yield
