"""What is kept: keys and values with revisions, leases and watches.

``Store`` is the one interface; ``musterd.store.embedded`` keeps them in one file, for one process.
"""

from musterd.store.errors import (
    Compacted,
    Conflict,
    LeaseNotFound,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLimit,
    StoreLocked,
    StoreNewer,
    StoreUnavailable,
)
from musterd.store.protocol import Store, Watch
from musterd.store.values import (
    ABSENT,
    NO_LEASE,
    Batch,
    Compare,
    Delete,
    Entry,
    Event,
    Is,
    Kind,
    Lease,
    Limits,
    Operation,
    Page,
    Past,
    Put,
    Result,
)

__all__ = [
    "ABSENT",
    "NO_LEASE",
    "Batch",
    "Compacted",
    "Compare",
    "Conflict",
    "Delete",
    "Entry",
    "Event",
    "Is",
    "Kind",
    "Lease",
    "LeaseNotFound",
    "Limits",
    "Operation",
    "Page",
    "Past",
    "Put",
    "Result",
    "Store",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreLimit",
    "StoreLocked",
    "StoreNewer",
    "StoreUnavailable",
    "Watch",
]
