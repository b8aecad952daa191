"""Opens the store of the registry."""

import asyncio
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from musterd.kv import Store
from musterd.kv.values import Limits
from musterd.registry.keys import DELETED, RECORDS
from musterd.settings import Settings, StoreSettings
from musterd.store.embedded import EmbeddedOptions, EmbeddedStore

if TYPE_CHECKING:
    from musterd.store.etcd import EtcdStore

FILE: Final = "store.db"
"""Name of the store in the state directory."""
LIMITS: Final = Limits(key=1200, operations=2500)
"""Enough for the longest names with all bytes escaped, and for replacing whole RRsets."""

log = structlog.get_logger()


async def open_store(settings: Settings) -> Store:
    """Open the store that the settings ask for. Raises StoreError."""
    where, folder = settings.store, settings.state.dir
    if where.url or folder is None:
        if warning := where.plain_password_warning(where.endpoints, "use https:// in [store] url"):
            log.warning(warning)
        return await open_etcd(where)
    return await open_file(folder / FILE)


async def open_file(path: Path, options: EmbeddedOptions | None = None) -> EmbeddedStore:
    """Open the store in a file, creating it if it does not exist. Raises StoreError."""
    return await EmbeddedStore.open(path, replace(options or EmbeddedOptions(), limits=LIMITS))


async def open_etcd(settings: StoreSettings) -> "EtcdStore":
    """Open a store in etcd, which need not be available yet."""
    # gRPC takes a while to import.
    await asyncio.to_thread(import_module, "musterd.store.etcd")
    from musterd.etcd import EtcdOptions  # noqa: PLC0415
    from musterd.store.etcd import LIMITS as ETCD_LIMITS  # noqa: PLC0415
    from musterd.store.etcd import EtcdStore  # noqa: PLC0415

    options = EtcdOptions.of(settings.endpoints, settings)
    base = settings.prefix.rstrip("/").encode()
    limits = replace(ETCD_LIMITS, key=LIMITS.key)
    # Only the keys of leases lie between these two prefixes.
    return EtcdStore(options, base=base, logged=(DELETED, RECORDS), limits=limits)
