"""The client of an etcd, API v3: ranges, transactions, leases, watches."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from musterd.etcd import rpc_pb2 as rpc
from musterd.etcd.leases import LeaseKeeper
from musterd.etcd.methods import COMPACT, DELETE, PUT, RANGE, TXN
from musterd.etcd.options import EtcdOptions
from musterd.etcd.replay import replay
from musterd.etcd.transport import Transport
from musterd.etcd.values import EtcdBatch, Found, entry
from musterd.etcd.watch import EtcdWatch
from musterd.etcd.watches import Watches
from musterd.kv.errors import Compacted, LeaseNotFound, StoreLimit
from musterd.kv.values import Entry

PAGE_FIRST: Final = 100
"""Entries that are asked for while it isn't known how large they are."""
PAGE_MOST: Final = 10_000
PAGE_OCTETS: Final = 1_048_576
"""What later pages are to have."""


class EtcdClient:
    """Belongs to the running loop. Every method raises StoreError."""

    def __init__(self, options: EtcdOptions) -> None:
        """Open nothing: each request opens what it needs."""
        self.options = options
        self._transport = Transport(options)
        self._watches = Watches(self._transport)
        self.leases = LeaseKeeper(self._transport)

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """End the watches, let what was asked be answered, let go of the connections."""
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
    ) -> Found:
        """One key, or those from one to before another; what was written before is seen.

        revision: as it was then, 0 for now; limit: entries at most, 0 for all. Raises Compacted
        where the revision is not known.
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
        return Found(kvs, answer.header.revision, answer.more, answer.count)

    async def pages(
        self, key: bytes, end: bytes = b"", *, revision: int = 0, keys_only: bool = False
    ) -> AsyncGenerator[Found]:
        """All of a range as it is at one revision, in pages; at least one, if empty.

        Each is of about a MiB at most, however large values are; while one is read, the next
        comes. Close it (`contextlib.aclosing`) where it isn't read to its end. Raises Compacted
        where the reader takes too long.
        """

        async def ask(first: bytes, limit: int) -> Found:
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
        """Set a key; the revision of that. Raises LeaseNotFound."""
        question = rpc.PutRequest(key=key, value=value, lease=lease)
        try:
            return (await self._transport.ask(PUT, question)).header.revision
        except LeaseNotFound:
            raise LeaseNotFound(lease) from None

    async def delete(self, key: bytes, end: bytes = b"") -> tuple[int, int]:
        """Remove one key, or those from one to before another; the revision, and how many."""
        question = rpc.DeleteRangeRequest(key=key, range_end=end)
        answer = await self._transport.ask(DELETE, question)
        return answer.header.revision, answer.deleted

    async def transaction(self, question: rpc.TxnRequest) -> rpc.TxnResponse:
        """Do one set of requests if all comparisons hold, else the other, at one revision."""
        return await self._transport.ask(TXN, question)

    async def compact(self, revision: int) -> None:
        """Let etcd forget what was before a revision."""
        await self._transport.ask(COMPACT, rpc.CompactionRequest(revision=revision))

    def watch(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        from_revision: int | None = None,
        previous: bool = False,
    ) -> AbstractAsyncContextManager[EtcdWatch]:
        """Every change of a key, or of those from one to before another.

        from_revision: the first, that one too; else from entering on, and only then entering
        waits for etcd. previous: tell too what was before.
        """
        return self._watches.open((key, end), from_revision, previous)

    def replay(
        self, key: bytes, end: bytes = b"", *, first: int, last: int
    ) -> AsyncGenerator[EtcdBatch]:
        """The changes from one past revision to another, as `musterd.etcd.replay` has them."""
        return replay(self._transport, (key, end), first, last)


@dataclass(frozen=True, slots=True)
class EtcdKeys:
    """A range of keys, as `musterd.kv.follow` takes it."""

    client: EtcdClient
    span: tuple[bytes, bytes]

    def pages(self) -> AsyncGenerator[Found]:
        """As of `Followed`."""
        return self.client.pages(*self.span)

    def watch(self, from_revision: int) -> AbstractAsyncContextManager[EtcdWatch]:
        """As of `Followed`."""
        return self.client.watch(*self.span, from_revision=from_revision)


def next_limit(entries: Sequence[Entry]) -> int:
    """How many entries make a page, if they are like these."""
    size = sum(len(one.key) + len(one.value) for one in entries) // max(1, len(entries)) + 1
    return max(1, min(PAGE_MOST, PAGE_OCTETS // size))
