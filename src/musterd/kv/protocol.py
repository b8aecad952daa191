"""What every store does, whichever it is: the contract that ``tests/store`` holds them to.

All methods belong to one asyncio loop. Every one raises StoreUnavailable where the store can't be
used now, and StoreCorrupt where it is damaged. A write that returns is kept: it is on disk, or in
the quorum. A write whose call was cancelled, or that raises StoreUncertain, may have happened or
not, but never by half.
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
    """The changes below a prefix, in order, none left out and none twice; without end."""

    @property
    def revision(self) -> int:
        """Up to here all that changed was given; a later watch goes on from the next."""

    @property
    def ready(self) -> bool:
        """Whether the next changes are here already, so that nothing needs to be waited for."""

    @property
    def current(self) -> bool:
        """Whether the store is heard, and its reader has all that it had when that began."""

    def __aiter__(self) -> Self:
        """Itself."""

    async def __anext__(self) -> EventBatch:
        """The changes of the next transaction that has any.

        Raises StoreLost where nothing was heard of the store for some seconds: asked again, it
        goes on when the store is back, with what changed, until it is ``current``; where no change
        makes it so there is a batch without events. Raises
        Compacted where its reader was so slow, or came from so far back, that the changes to go on
        with are gone; StoreUnavailable once the store is closed.
        """


class Store(Protocol):
    """Keys and values with revisions, leases and watches, as of etcd."""

    @property
    def limits(self) -> Limits:
        """The largest that it takes; beyond that each method raises StoreLimit."""

    async def get(self, key: bytes) -> Entry | None:
        """What is at a key. A write that was acknowledged before is seen."""

    async def range(self, prefix: bytes, *, limit: int = 1000, after: bytes = b"") -> Page:
        """The entries whose keys start with a prefix, in order, those after one key.

        A page is of one revision, which may differ from the last page's. It holds at most `limit`
        entries and may hold fewer though there are more, where values are large; never none.
        """

    def scan(self, prefix: bytes) -> AsyncGenerator[Page]:
        """All entries whose keys start with a prefix, in pages that are all of one revision.

        There is at least one page, if empty. Close it (`contextlib.aclosing`) where it isn't
        read to its end. Raises Compacted where the reader takes too long.
        """

    async def put(
        self, key: bytes, value: bytes, *, lease: int = NO_LEASE, expect: int | None = None
    ) -> int:
        """Set a key, and give the revision of that.

        expect: only if its mod_revision is this, or if it is not there for 0; else raises
        Conflict. Raises LeaseNotFound.
        """

    async def delete(self, key: bytes, *, expect: int | None = None) -> int | None:
        """Remove a key, and give the revision of that; None where it was not there.

        expect: only if its mod_revision is this; else raises Conflict.
        """

    async def transaction(
        self, compares: Sequence[Compare], operations: Sequence[Operation]
    ) -> Result:
        """Do all operations at one revision if all comparisons hold, else nothing.

        No key may be in two operations. Raises LeaseNotFound.
        """

    async def lease_grant(self, ttl: int, lease: int = NO_LEASE) -> Lease:
        """A new lease of a number of seconds, counted from its last renewal.

        lease: its ID where it must be one; raises StoreLimit if there is such a lease.

        After a restart of the store each lease has all its time again. An etcd makes the shortest
        as long as it needs for a new leader, two seconds if it isn't told otherwise.
        """

    async def lease_keepalive(self, lease: int) -> Lease:
        """Renew a lease. Raises LeaseNotFound: from then on nothing may rely on it."""

    async def lease_revoke(self, lease: int) -> int:
        """End a lease, remove its keys in one transaction, and give the revision of that.

        It is the store's revision where no key hung on the lease. Raises LeaseNotFound.
        """

    async def lease_info(self, lease: int) -> Lease:
        """A lease and the keys that hang on it. Raises LeaseNotFound."""

    def watch(
        self, prefix: bytes, from_revision: int | None = None
    ) -> AbstractAsyncContextManager[Watch]:
        """Every change below a prefix, from a revision on, that one too; or from entering on.

        Raises Compacted, on entering or later, where the revision is too old, or is more than one
        ahead of the store: then it was seen in another, as before a backup was restored.
        """

    async def history(self, prefix: bytes, *, before: int | None = None, limit: int = 100) -> Past:
        """The last transactions that changed keys with a prefix, of revisions below `before`.

        It ends with the one that makes the changes of such keys `limit` or more. Only what is kept
        for watches is found, of an etcd the last 100,000 revisions at most.
        """

    async def close(self) -> None:
        """Finish what was asked, and let go of the store."""
