"""Client of etcd's API v3: ranges, transactions, leases, watches."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from musterd.etcd import rpc_pb2 as rpc
from musterd.etcd.leases import LeaseKeeper
from musterd.etcd.methods import COMPACT, DELETE, PUT, RANGE, TXN
from musterd.etcd.options import EtcdOptions
from musterd.etcd.replay import replay
from musterd.etcd.transport import Transport
from musterd.etcd.values import EtcdBatch, RangeResult, entry
from musterd.etcd.watch import WATCH_OPTIONS, EtcdWatch, WatchOptions
from musterd.etcd.watches import Watches
from musterd.kv.closing import AsyncClosing
from musterd.kv.errors import Compacted, LeaseNotFound, StoreLimit
from musterd.kv.values import Entry

PAGE_FIRST: Final = 100
"""Entries to request while their size is unknown."""
MAX_PAGE: Final = 10_000
PAGE_BYTES: Final = 1_048_576
"""Target size of later pages, bytes."""


class EtcdClient(AsyncClosing):
    """Client of one etcd; belongs to the running loop. Every method raises StoreError."""

    def __init__(self, options: EtcdOptions, watching: WatchOptions = WATCH_OPTIONS) -> None:
        """Create a client; connections are opened on demand."""
        self.options = options
        self._transport = Transport(options)
        self._watches = Watches(self._transport, watching)
        self.leases = LeaseKeeper(self._transport)

    async def close(self) -> None:
        """End the watches, finish pending requests and close the connections."""
        await self._watches.close()
        await self.leases.close()
        await self._transport.close()

    async def range(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        revision: int = 0,
        limit: int = 0,
        keys_only: bool = False,
    ) -> RangeResult:
        """Read one key, or the keys from one to before another; sees all earlier writes.

        revision: to read at, 0 for the current one; limit: maximum entries, 0 for all. Raises
        Compacted if the revision is not known.
        """
        question = rpc.RangeRequest(
            key=key,
            range_end=end,
            revision=revision,
            limit=limit,
            keys_only=keys_only,
        )
        try:
            answer = await self._transport.ask(RANGE, question)
        except Compacted:
            raise Compacted(revision, 0) from None
        kvs = tuple(map(entry, answer.kvs))
        return RangeResult(kvs, answer.header.revision, answer.more, answer.count)

    async def pages(
        self, key: bytes, end: bytes = b"", *, revision: int = 0, keys_only: bool = False
    ) -> AsyncGenerator[RangeResult]:
        """Yield a range at one revision in pages; at least one page, even if empty.

        A page has about 1 MiB at most, however large the values are. The next page is fetched
        while one is processed. Close it (`contextlib.aclosing`) unless it is read to its end.
        Raises Compacted if the reader takes too long.
        """

        async def ask(first: bytes, limit: int) -> RangeResult:
            while True:
                try:
                    return await self.range(
                        first, end, revision=revision, limit=limit, keys_only=keys_only
                    )
                except StoreLimit:
                    if limit == 1:
                        raise
                    limit = max(1, limit // 4)

        asked = asyncio.create_task(ask(key, PAGE_FIRST))
        try:
            while True:
                page = await asked
                revision = revision or page.revision
                more = page.more and bool(page.entries)
                if more:
                    after = page.entries[-1].key + b"\0"
                    asked = asyncio.create_task(ask(after, next_limit(page.entries)))
                yield page._replace(revision=revision, more=more)
                if not more:
                    return
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    async def put(self, key: bytes, value: bytes, *, lease: int = 0) -> int:
        """Set a key and return the new revision. Raises LeaseNotFound."""
        question = rpc.PutRequest(key=key, value=value, lease=lease)
        try:
            return (await self._transport.ask(PUT, question)).header.revision
        except LeaseNotFound:
            raise LeaseNotFound(lease) from None

    async def delete(self, key: bytes, end: bytes = b"") -> tuple[int, int]:
        """Remove one key, or the keys from one to before another; return revision and number."""
        question = rpc.DeleteRangeRequest(key=key, range_end=end)
        answer = await self._transport.ask(DELETE, question)
        return answer.header.revision, answer.deleted

    async def transaction(self, question: rpc.TxnRequest) -> rpc.TxnResponse:
        """Do one list of operations if all comparisons hold, else the other, at one revision."""
        return await self._transport.ask(TXN, question)

    async def compact(self, revision: int) -> None:
        """Remove the history before a revision from etcd."""
        await self._transport.ask(COMPACT, rpc.CompactionRequest(revision=revision))

    def watch(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        from_revision: int | None = None,
        previous: bool = False,
    ) -> AbstractAsyncContextManager[EtcdWatch]:
        """Watch a key, or the keys from one to before another.

        from_revision: the first revision (inclusive). Without it the watch starts on entering,
        which then waits for etcd. previous: report the state before each change too.
        """
        return self._watches.open((key, end), from_revision, previous)

    def replay(
        self, key: bytes, end: bytes = b"", *, first: int, last: int
    ) -> AsyncGenerator[EtcdBatch]:
        """Yield the changes between two past revisions; see `musterd.etcd.replay`."""
        return replay(self._transport, (key, end), first, last)


@dataclass(frozen=True, slots=True)
class EtcdKeys:
    """A range of keys for `musterd.kv.follow`."""

    client: EtcdClient
    span: tuple[bytes, bytes]

    def pages(self) -> AsyncGenerator[RangeResult]:
        """Same as in `Followed`."""
        return self.client.pages(*self.span)

    def watch(self, from_revision: int) -> AbstractAsyncContextManager[EtcdWatch]:
        """Same as in `Followed`."""
        return self.client.watch(*self.span, from_revision=from_revision)


def next_limit(entries: Sequence[Entry]) -> int:
    """Return the number of entries to request for a page, if they are as large as these."""
    size = sum(len(entry.key) + len(entry.value) for entry in entries) // max(1, len(entries)) + 1
    return max(1, min(MAX_PAGE, PAGE_BYTES // size))
