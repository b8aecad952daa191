"""The contract of all stores; ``tests/store`` checks each implementation against it.

All methods belong to one asyncio loop. Every one raises StoreUnavailable if the store can't be
used now, and StoreCorrupt if it is damaged. A write that returned is durable: it is on disk, or in
the quorum. A write that was cancelled, or that raises StoreUncertain, has happened completely or
not at all.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, Self

from musterd.kv.values import (
    NO_LEASE,
    Compare,
    Entry,
    EventBatch,
    Lease,
    Limits,
    Operation,
    Page,
    Past,
    Result,
)


class Watch(Protocol):
    """Endless stream of the changes of keys with a prefix: ordered, each exactly once."""

    @property
    def revision(self) -> int:
        """Revision up to which all changes were returned; a later watch continues after it."""

    @property
    def ready(self) -> bool:
        """True if the next batch can be read without waiting."""

    @property
    def current(self) -> bool:
        """True if connected, and the reader has all changes made before the connection."""

    def __aiter__(self) -> Self:
        """Return the watch itself."""

    async def __anext__(self) -> EventBatch:
        """Return the changes of the next transaction that has any.

        Raises StoreLost if the store was silent for some seconds. The next call continues when
        the store is back, with the missed changes, until the watch is ``current``; if there are
        none, it returns a batch without events. Raises Compacted if the next changes are no longer
        kept, because the reader was too slow or started too far back; StoreUnavailable once the
        store is closed.
        """


class Store(Protocol):
    """Keys and values with revisions, leases and watches, as in etcd."""

    @property
    def limits(self) -> Limits:
        """Largest requests accepted; methods raise StoreLimit beyond them."""

    @property
    def problem(self) -> str | None:
        """Damage, or the reason why writes fail now; None if there is none or it is unknown."""

    async def get(self, key: bytes) -> Entry | None:
        """Return the entry of a key; every write acknowledged before is visible."""

    async def range(self, prefix: bytes, *, limit: int = 1000, after: bytes = b"") -> Page:
        """Return the entries whose keys start with a prefix, in order, after a key.

        A page is of one revision, which may differ from the last page's. It holds at most `limit`
        entries. If values are large it may hold fewer, though never none, while there are more.
        """

    def scan(self, prefix: bytes) -> AsyncGenerator[Page]:
        """Yield all entries whose keys start with a prefix, in pages of the same revision.

        There is at least one page, even if empty. Close it (`contextlib.aclosing`) unless it is
        read to its end. Raises Compacted if the reader takes too long.
        """

    async def put(
        self, key: bytes, value: bytes, *, lease: int = NO_LEASE, expect: int | None = None
    ) -> int:
        """Set a key and return the new revision.

        expect: the required mod_revision, 0 for an absent key; else raises Conflict. Raises
        LeaseNotFound.
        """

    async def delete(self, key: bytes, *, expect: int | None = None) -> int | None:
        """Remove a key and return the new revision, None if it was absent.

        expect: the required mod_revision; else raises Conflict.
        """

    async def transaction(
        self, compares: Sequence[Compare], operations: Sequence[Operation]
    ) -> Result:
        """Do all operations at one revision if all comparisons hold, else nothing.

        A key may occur in one operation only. Raises LeaseNotFound.
        """

    async def lease_grant(self, ttl: int, lease: int = NO_LEASE) -> Lease:
        """Create a lease that expires a number of seconds after its last renewal.

        lease: its ID, chosen by the store if not given; raises StoreLimit if it is in use.

        After a restart of the store each lease has its full TTL again. An etcd raises short TTLs
        to the time it needs to elect a leader, by default two seconds.
        """

    async def lease_keepalive(self, lease: int) -> Lease:
        """Renew a lease. Raises LeaseNotFound; its keys are then gone, or about to be."""

    async def lease_revoke(self, lease: int) -> int:
        """End a lease, remove its keys in one transaction and return the revision.

        If no key was attached it is the store's revision. Raises LeaseNotFound.
        """

    async def lease_info(self, lease: int) -> Lease:
        """Return a lease and the keys attached to it. Raises LeaseNotFound."""

    def watch(
        self, prefix: bytes, from_revision: int | None = None
    ) -> AbstractAsyncContextManager[Watch]:
        """Watch keys with a prefix, from a revision on (inclusive) or from entering on.

        Raises Compacted, on entering or later, if the revision is too old, or is more than one
        ahead of the store, for example after a backup was restored.
        """

    async def history(self, prefix: bytes, *, before: int | None = None, limit: int = 100) -> Past:
        """Return the last transactions that changed keys with a prefix, below revision `before`.

        It stops at the transaction with which the changes of such keys reach `limit`. It finds
        only what is kept for watches; in etcd at most the last 100,000 revisions.
        """

    async def close(self) -> None:
        """Finish pending requests and release the store."""
