"""Opens the store of the registry, wherever it is."""

import asyncio
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from musterd.kv.values import Limits
from musterd.registry.keys import DELETED, RECORDS
from musterd.store.embedded import Embedded, EmbeddedOptions

if TYPE_CHECKING:
    from musterd.settings import StoreSettings as Settings
    from musterd.store.etcd import Etcd

LIMITS: Final = Limits(key=1200, operations=2500)
"""The longest names with all their octets escaped; whole RRsets in place of others."""


async def open_file(path: Path, options: EmbeddedOptions | None = None) -> Embedded:
    """The store in a file, which is made if it is not there. Raises StoreError."""
    return await Embedded.open(path, replace(options or EmbeddedOptions(), limits=LIMITS))


async def open_etcd(settings: "Settings") -> "Etcd":
    """The store in an etcd, which need not be there yet."""
    # gRPC takes a while to import.
    await asyncio.to_thread(import_module, "musterd.store.etcd")
    from musterd.etcd import EtcdOptions  # noqa: PLC0415
    from musterd.store.etcd import LIMITS as ETCD_LIMITS  # noqa: PLC0415
    from musterd.store.etcd import Etcd  # noqa: PLC0415

    options = EtcdOptions.of(settings.endpoints, settings)
    base = settings.prefix.rstrip("/").encode()
    limits = replace(ETCD_LIMITS, key=LIMITS.key)
    # Only leases lie between the two.
    return Etcd(options, base=base, logged=(DELETED, RECORDS), limits=limits)
