"""Embedded store: combines the parts of this package into a `Store`."""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple, Self

from musterd.clock import BootClock, Clock
from musterd.kv.closing import AsyncClosing
from musterd.kv.errors import StoreBusy, StoreError, StoreLimit
from musterd.kv.requests import (
    apply_single,
    check_new_lease,
    check_page,
    check_transaction,
    check_ttl,
    lease_exists,
)
from musterd.kv.values import (
    NO_LEASE,
    Compare,
    DeleteOp,
    Entry,
    Lease,
    Limits,
    Operation,
    Page,
    Past,
    PutOp,
    Result,
    leases_of,
)
from musterd.store.embedded.acknowledged import Acknowledged
from musterd.store.embedded.changes import ChangeLog, read_leases
from musterd.store.embedded.database import FAILURES, open_writer, translate
from musterd.store.embedded.files import Files
from musterd.store.embedded.leases import LeaseTable
from musterd.store.embedded.lock import Lock
from musterd.store.embedded.options import EmbeddedOptions
from musterd.store.embedded.reader import Readers
from musterd.store.embedded.watches import EmbeddedWatch, Hub
from musterd.store.embedded.writer import Writer

_SCAN_PAGE: Final = 1000
"""Entries in a page of a scan."""
_LEASE_BITS: Final = 63


class _Opened(NamedTuple):
    """Result of the blocking part of opening."""

    lock: Lock
    acknowledged: Acknowledged
    db: sqlite3.Connection
    changes: ChangeLog
    leases: list[tuple[int, int]]


class EmbeddedStore(AsyncClosing):
    """A `Store` in one SQLite file, for one process; belongs to the loop that opened it."""

    def __init__(self, path: Path, opened: _Opened, options: EmbeddedOptions, clock: Clock) -> None:
        """Use `EmbeddedStore.open`."""
        self._options = options
        self._clock = clock
        self._lock = opened.lock
        self._acknowledged = opened.acknowledged
        self._db = opened.db
        files = Files(path, opened.db, opened.acknowledged)
        self._readers = Readers(files, options.snapshots)
        revision, compacted = opened.changes.revision, opened.changes.compacted
        self._hub = Hub(self._readers, options, revision, compacted)
        self._writer = Writer(files, opened.changes, options, clock, self._hub.publish)
        self._leases = LeaseTable(clock, self._end)
        for lease, ttl in opened.leases:
            self._leases.add(lease, ttl)
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def open(
        cls, path: Path, options: EmbeddedOptions | None = None, clock: Clock | None = None
    ) -> Self:
        """Open a store, and create it and its directory if they don't exist.

        clock: must advance while the machine sleeps; by default the boot-time clock.
        Raises StoreLocked, StoreNewer, StoreCorrupt, StoreFull, StoreUnavailable; then the
        files are unchanged.
        """
        options = options or EmbeddedOptions()
        opened = await asyncio.to_thread(_open, path, options)
        try:
            return cls(path, opened, options, clock or BootClock())
        except BaseException:
            opened.db.close()
            opened.acknowledged.close()
            opened.lock.release()
            raise

    async def close(self) -> None:
        """Same as in `Store`: watches end with StoreUnavailable; closing again has no effect."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._leases.close()
        await self._writer.close()
        self._hub.close()
        # The last connection to close checkpoints the WAL, so it must be the writer.
        self._readers.close()
        await asyncio.to_thread(self._db.close)
        self._acknowledged.close()
        self._lock.release()

    @property
    def limits(self) -> Limits:
        """Same as in `Store`."""
        return self._options.limits

    @property
    def problem(self) -> str | None:
        """Same as in `Store`."""
        return self._readers.damage or self._writer.damage or self._writer.problem

    async def get(self, key: bytes) -> Entry | None:
        """Same as in `Store`."""
        return self._readers.get(key)

    async def range(self, prefix: bytes, *, limit: int = 1000, after: bytes = b"") -> Page:
        """Same as in `Store`."""
        check_page(self.limits, limit)
        with self._readers.snapshot() as snapshot:
            return await snapshot.page(prefix, after, limit)

    async def scan(self, prefix: bytes) -> AsyncGenerator[Page]:
        """Same as in `Store`; may last as long as the options allow."""
        with self._readers.snapshot() as snapshot:
            late = self._clock.call_later(
                self._options.scan_time, lambda: self._readers.release(snapshot)
            )
            try:
                page = await snapshot.page(prefix, b"", _SCAN_PAGE)
                yield page
                while page.more:
                    page = await snapshot.page(prefix, page.entries[-1].key, _SCAN_PAGE)
                    yield page
            finally:
                late.cancel()

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
        compares, operations = tuple(compares), tuple(operations)
        size = check_transaction(self.limits, compares, operations)
        for lease in leases_of(operations):
            self._leases.get(lease)
        return await self._writer.submit(
            lambda changes: changes.transaction(compares, operations), size
        )

    async def lease_grant(self, ttl: int, lease: int = NO_LEASE) -> Lease:
        """Same as in `Store`."""
        check_ttl(self.limits, ttl)
        if len(self._leases) >= self._options.leases:
            raise StoreBusy(f"{len(self._leases)} leases at once: revoke some, or retry later")
        check_new_lease(lease)
        if lease in self._leases:
            raise lease_exists(lease)
        while not lease or lease in self._leases:
            lease = secrets.randbits(_LEASE_BITS)
        granted = self._writer.submit(lambda changes: changes.grant(lease, ttl))
        # Added before it is written, so that it expires in time even if the caller is cancelled.
        self._leases.add(lease, ttl)
        try:
            await granted
        except StoreError:
            self._leases.drop(lease)
            raise
        return self._leases.renew(lease)

    async def lease_keepalive(self, lease: int) -> Lease:
        """Same as in `Store`; costs no write."""
        self._readers.check()
        return self._leases.renew(lease)

    async def lease_revoke(self, lease: int) -> int:
        """Same as in `Store`."""
        self._leases.get(lease)
        revision = await self._end((lease,))
        self._leases.drop(lease)
        return revision

    async def lease_info(self, lease: int) -> Lease:
        """Same as in `Store`."""
        self._leases.get(lease)
        with self._readers.snapshot() as snapshot:
            keys = await snapshot.keys(lease)
        return self._leases.get(lease)._replace(keys=keys)

    @asynccontextmanager
    async def watch(
        self, prefix: bytes, from_revision: int | None = None
    ) -> AsyncIterator[EmbeddedWatch]:
        """Same as in `Store`."""
        with self._hub.watch(prefix, from_revision) as watch:
            yield watch

    async def history(self, prefix: bytes, *, before: int | None = None, limit: int = 100) -> Past:
        """Same as in `Store`."""
        if limit < 1:
            raise StoreLimit(f"a page of {limit} changes: expected 1 at least")
        with self._readers.snapshot() as snapshot:
            return await snapshot.past(prefix, before, min(limit, self.limits.page))

    async def compact(self, revision: int) -> None:
        """Remove all changes up to a revision (inclusive); also happens automatically."""
        await self._writer.submit(lambda changes: changes.compact(revision))

    def _end(self, leases: Sequence[int]) -> asyncio.Future[int]:
        return self._writer.submit(lambda changes: changes.end(leases))


def _open(path: Path, options: EmbeddedOptions) -> _Opened:
    """Open the files; runs in a thread, as it waits for the disk."""
    with ExitStack() as opened:
        lock = Lock(path.with_name(path.name + ".lock"))
        opened.callback(lock.release)
        acknowledged = Acknowledged(path)
        db = open_writer(path, acknowledged, options.busy)
        opened.callback(db.close)
        try:
            changes, leases = ChangeLog(db, options), list(read_leases(db))
        except FAILURES as error:
            raise translate(error, path) from error
        acknowledged.open()
        acknowledged.write(changes.kept.commits, changes.kept.revision)
        opened.pop_all()
    return _Opened(lock, acknowledged, db, changes, leases)
