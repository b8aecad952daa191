"""Store in etcd: a `Store` on top of etcd's API."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from musterd.etcd import EtcdClient, EtcdOptions, span
from musterd.etcd import rpc_pb2 as rpc
from musterd.etcd.client import PAGE_FIRST, next_limit
from musterd.etcd.values import entry as as_entry
from musterd.kv.closing import AsyncClosing
from musterd.kv.errors import LeaseNotFound, StoreLimit
from musterd.kv.requests import (
    MAX_LEASE,
    apply_single,
    check_new_lease,
    check_page,
    check_transaction,
    check_ttl,
)
from musterd.kv.values import (
    NO_LEASE,
    Compare,
    DeleteOp,
    Entry,
    Is,
    Lease,
    Limits,
    Operation,
    Page,
    Past,
    PutOp,
    Result,
    leases_of,
)
from musterd.store.etcd.history import FIRST, REVISIONS, Scope, past
from musterd.store.etcd.watch import EtcdStoreWatch, bare

LIMITS: Final = Limits(operations=128)
"""Within etcd's default ``--max-txn-ops`` and ``--max-request-bytes``."""
_MAX_REVISION: Final = 2**63 - 1

_Compare = rpc.Compare


class EtcdStore(AsyncClosing):
    """A `Store` in etcd, which may have many clients; belongs to the loop."""

    def __init__(
        self,
        options: EtcdOptions,
        *,
        base: bytes = b"",
        logged: tuple[bytes, bytes] = (b"", b""),
        limits: Limits = LIMITS,
        revisions: int = REVISIONS,
    ) -> None:
        """Create the store; connections are opened on demand.

        base: prefix of every key in etcd, hidden by the store; logged: prefixes of the first and
        the last keys whose changes ``history`` returns, so that other keys don't slow it down;
        revisions: how many it searches at most, counted back from the last.
        """
        self.client = EtcdClient(options)
        self._base = base
        first, last = (span(base + prefix) for prefix in logged)
        self._logged = first[0], last[1]
        self._limits = limits
        self._revisions = revisions

    async def close(self) -> None:
        """Same as in `Store`."""
        await self.client.close()

    @property
    def problem(self) -> None:
        """Same as in `Store`; each request finds out by itself."""
        return None

    @property
    def limits(self) -> Limits:
        """Same as in `Store`."""
        return self._limits

    async def get(self, key: bytes) -> Entry | None:
        """Same as in `Store`."""
        found = await self.client.range(self._base + key)
        return bare(found.entries[0], len(self._base)) if found.entries else None

    async def range(self, prefix: bytes, *, limit: int = 1000, after: bytes = b"") -> Page:
        """Same as in `Store`."""
        check_page(self.limits, limit)
        key, end = span(self._base + prefix)
        if after:
            key = max(key, self._base + after + b"\0")
        page = await self.client.range(key, end, limit=min(limit, PAGE_FIRST))
        entries = list(page.entries)
        wanted = min(limit, next_limit(entries))
        if page.more and wanted > len(entries):
            key = entries[-1].key + b"\0"
            rest = await self.client.range(
                key, end, revision=page.revision, limit=wanted - len(entries)
            )
            page = rest._replace(revision=page.revision)
            entries += rest.entries
        return self._page(entries[:wanted], page.revision, more=page.more or len(entries) > wanted)

    async def scan(self, prefix: bytes) -> AsyncGenerator[Page]:
        """Same as in `Store`; may last as long as etcd keeps its revision."""
        async with aclosing(self.client.pages(*span(self._base + prefix))) as pages:
            async for page in pages:
                yield self._page(page.entries, page.revision, more=page.more)

    def _page(self, entries: Sequence[Entry], revision: int, *, more: bool) -> Page:
        base = len(self._base)
        return Page(tuple(bare(entry, base) for entry in entries), revision, more)

    async def put(
        self, key: bytes, value: bytes, *, lease: int = NO_LEASE, expect: int | None = None
    ) -> int:
        """Same as in `Store`."""
        return (await apply_single(self.transaction, PutOp(key, value, lease), expect)).revision

    async def delete(self, key: bytes, *, expect: int | None = None) -> int | None:
        """Same as in `Store`."""
        result = await apply_single(self.transaction, DeleteOp(key), expect)
        return result.revision if result.entries[0] else None

    async def transaction(
        self, compares: Sequence[Compare], operations: Sequence[Operation]
    ) -> Result:
        """Same as in `Store`."""
        check_transaction(self.limits, compares, operations)
        leases = leases_of(operations)
        for lease in leases:
            if not 0 < lease <= MAX_LEASE:
                raise LeaseNotFound(lease)
        question = rpc.TxnRequest(
            compare=[self._compare(compare) for compare in compares],
            success=[self._operation(step) for step in operations],
            failure=[rpc.RequestOp(range=self._violating(compare)) for compare in compares],
        )
        try:
            answer = await self.client.transaction(question)
        except LeaseNotFound:
            raise LeaseNotFound(await self._ended(leases)) from None
        found = tuple(map(self._found, answer.responses))
        return Result(answer.succeeded, answer.header.revision, found)

    def _compare(self, compare: Compare) -> rpc.Compare:
        key = self._base + compare.key
        known = 0 < compare.revision <= _MAX_REVISION
        match compare.test:
            case Is.NONE_SINCE:
                key, end = span(key)
                at = _after(compare.revision)
                less = _Compare.LESS
                return _Compare(
                    key=key, range_end=end, target=_Compare.MOD, mod_revision=at, result=less
                )
            case Is.ABSENT:
                return _Compare(key=key, target=_Compare.VERSION, version=0)
            case Is.MODIFIED_AT if known:
                at = compare.revision
                return _Compare(key=key, target=_Compare.MOD, mod_revision=at)
            case Is.CREATED_AT if known:
                at = compare.revision
                return _Compare(key=key, target=_Compare.CREATE, create_revision=at)
            case Is.PRESENT:
                result = _Compare.GREATER
            case _:
                # An absent key has revision 0 in etcd but none here: this never holds.
                result = _Compare.LESS
        return _Compare(key=key, target=_Compare.VERSION, version=0, result=result)

    def _violating(self, compare: Compare) -> rpc.RangeRequest:
        """Return the request for the entry that violates a comparison."""
        key = self._base + compare.key
        if compare.test is not Is.NONE_SINCE:
            return rpc.RangeRequest(key=key)
        key, end = span(key)
        since = _after(compare.revision)
        return rpc.RangeRequest(key=key, range_end=end, limit=1, min_mod_revision=since)

    def _operation(self, step: Operation) -> rpc.RequestOp:
        key = self._base + step.key
        if isinstance(step, PutOp):
            put = rpc.PutRequest(key=key, value=step.value, lease=step.lease, prev_kv=True)
            return rpc.RequestOp(put=put)
        return rpc.RequestOp(delete_range=rpc.DeleteRangeRequest(key=key, prev_kv=True))

    def _found(self, answer: rpc.ResponseOp) -> Entry | None:
        """Return the entry before an operation, or found by a comparison."""
        match answer.WhichOneof("response"):
            case "put":
                found = [answer.put.prev_kv] if answer.put.HasField("prev_kv") else []
            case "delete_range":
                found = list(answer.delete_range.prev_kvs)
            case _:
                found = list(answer.range.kvs)
        return bare(as_entry(found[0]), len(self._base)) if found else None

    async def _ended(self, leases: set[int]) -> int:
        """Return which of the leases has ended."""
        for lease in sorted(leases):
            try:
                await self.client.leases.info(lease)
            except LeaseNotFound:
                return lease
        return min(leases)

    async def lease_grant(self, ttl: int, lease: int = NO_LEASE) -> Lease:
        """Same as in `Store`."""
        check_ttl(self.limits, ttl)
        check_new_lease(lease)
        return await self.client.leases.grant(ttl, lease)

    async def lease_keepalive(self, lease: int) -> Lease:
        """Same as in `Store`."""
        return await self.client.leases.renew(lease)

    async def lease_revoke(self, lease: int) -> int:
        """Same as in `Store`."""
        return await self.client.leases.revoke(lease)

    async def lease_info(self, lease: int) -> Lease:
        """Same as in `Store`; the remaining time is in whole seconds."""
        found = await self.client.leases.info(lease, keys=True)
        base = len(self._base)
        keys = tuple(key[base:] for key in found.keys if key.startswith(self._base))
        return found._replace(keys=keys)

    @asynccontextmanager
    async def watch(
        self, prefix: bytes, from_revision: int | None = None
    ) -> AsyncIterator[EtcdStoreWatch]:
        """Same as in `Store`; the time of each batch is 0, as etcd keeps none."""
        key, end = span(self._base + prefix)
        async with self.client.watch(key, end, from_revision=from_revision, previous=True) as watch:
            yield EtcdStoreWatch(watch, len(self._base))

    async def history(self, prefix: bytes, *, before: int | None = None, limit: int = 100) -> Past:
        """Same as in `Store`, of at most the last 100,000 revisions; the time of each batch is 0.

        A batch has the changes of the ``logged`` keys.
        """
        if limit < 1:
            raise StoreLimit(f"a page of {limit} changes: expected 1 at least")
        now = (await self.client.range(self._logged[0], limit=1, keys_only=True)).revision
        before = now + 1 if before is None else min(before, now + 1)
        first = max(now - self._revisions + 1, FIRST)
        scope = Scope(self.client, first, self._logged, len(self._base), prefix)
        return await past(scope, before, min(limit, self.limits.page))


def _after(revision: int) -> int:
    """Return the next revision, at most etcd's largest."""
    return min(revision, _MAX_REVISION - 1) + 1
