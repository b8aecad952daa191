"""Watches of a client, on one stream that is reopened whenever it breaks.

Before a watch is created from a revision, a key is read at the revision before. This shows that
all later changes are kept; that etcd is not behind it, as after restoring a backup; and, by
cluster, Raft term and the key itself, that it is the same etcd as before.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Final

import grpc

from musterd.backoff import Backoff
from musterd.etcd import rpc_pb2 as rpc
from musterd.etcd.faults import Ahead, Leaderless, Then, wanted, wants_login
from musterd.etcd.methods import RANGE, WATCH
from musterd.etcd.transport import Stream, Transport
from musterd.etcd.watch import EtcdWatch, WatchOptions
from musterd.kv.errors import Compacted, StoreBusy, StoreDenied, StoreError, StoreUnavailable

QUIET: Final = 5
"""Unanswered checks after which a watch counts as caught up, if progress reports are unreliable."""
MUTE: Final = 100
"""The same if they are reliable but don't arrive, for example behind a proxy."""
RETRY: Final = Backoff(0.05, 2.0)
"""Delays before a stream is reopened."""
_ALL_PROGRESS: Final = -1
"""The watch_id of answers for all watches."""


class Watches:
    """All watches of a client; belongs to the running loop."""

    def __init__(self, transport: Transport, options: WatchOptions) -> None:
        """Create it without watches."""
        self._transport = transport
        self._options = options
        self._watches: set[EtcdWatch] = set()
        self._todo: deque[EtcdWatch] = deque()
        """Watches to create at etcd."""
        self._more = asyncio.Event()
        self._ids = count(1)
        self._by_id: dict[int, EtcdWatch] = {}
        """Watches requested at etcd."""
        self._answered: asyncio.Future[None] | None = None
        """Done when the last request is confirmed or refused."""
        self._asked = 0
        """ID of the last requested watch."""
        self._stream: Stream[rpc.WatchRequest, rpc.WatchResponse] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._heard = 0.0
        self._history = 0, 0
        """Cluster ID and Raft term of the last read."""
        self._member = 0
        """Member ID at the other end of the stream."""
        self._sound = False
        """True if its progress reports are reliable."""
        self._late = asyncio.Event()
        """Set if a watch may have missed changes."""

    @asynccontextmanager
    async def open(
        self, span: tuple[bytes, bytes], first: int | None, previous: bool
    ) -> AsyncIterator[EtcdWatch]:
        """Same as `EtcdClient.watch`."""
        if self._closed:
            raise StoreUnavailable("the client of etcd is closed")
        if len(self._watches) >= self._options.watches:
            raise StoreBusy(f"{len(self._watches)} watches at once: close some")
        start = 0 if first is None else max(first, 1)
        watch = EtcdWatch(self, span, start, previous, self._options)
        self._watches.add(watch)
        reason = f"etcd at {self._transport.options.shown} doesn't answer"
        watch.cut(reason, asyncio.get_running_loop().time() + self._options.grace)
        try:
            self.resume(watch)
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._run())
            if first is None:
                await self._start(watch)
            yield watch
        finally:
            self._watches.discard(watch)
            self.pause(watch)
            watch.end(StoreUnavailable("the watch is closed"))
            self._more.set()

    async def close(self) -> None:
        """End all watches."""
        self._closed = True
        for watch in self._watches:
            watch.end(StoreUnavailable("the store that was watched is closed"))
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def pause(self, watch: EtcdWatch) -> None:
        """Same as in `Owner`."""
        if self._by_id.pop(watch.id, None) is not None:
            cancel = rpc.WatchCancelRequest(watch_id=watch.id)
            self._ask(rpc.WatchRequest(cancel=cancel))
        watch.id = 0

    def resume(self, watch: EtcdWatch) -> None:
        """Same as in `Owner`."""
        self._todo.append(watch)
        self._more.set()

    async def _start(self, watch: EtcdWatch) -> None:
        """Wait until the start revision of a watch is known. Raises StoreError."""
        await asyncio.wait([watch.started], timeout=self._transport.options.request)
        if watch.trouble is not None and (watch.ended or not watch.started.done()):
            raise watch.trouble

    async def _run(self) -> None:
        """Keep a stream open while there are watches."""
        loop = asyncio.get_running_loop()
        retry = RETRY.start()
        while self._watches:
            began = loop.time()
            try:
                await self._session()
                continue
            except StoreError as error:
                self._lost(error)
            except Exception as error:
                # Unexpected: end all watches, so that no reader waits forever.
                for watch in self._watches:
                    watch.end(StoreUnavailable(f"{type(error).__name__}: {error}"))
                raise
            if loop.time() - began >= self._options.steady:
                retry.reset()
            await asyncio.sleep(retry.next())

    def _lost(self, error: StoreError) -> None:
        """Handle a broken stream, or a failure to open it."""
        now = asyncio.get_running_loop().time()
        # etcd reports a missing leader only after waiting for one.
        grace = 0 if isinstance(error, Leaderless) else self._options.grace
        at = max(now, min(now + grace, self._heard + self._options.silent))
        for watch in self._watches:
            watch.cut(str(error), at)

    async def _session(self) -> None:
        """Run one stream until no watch is left. Raises StoreError."""
        self._by_id.clear()
        self._todo = deque(watch for watch in self._watches if not watch.paused)
        self._more.set()
        stream = self._stream = await self._transport.open(WATCH, self._options.requests)
        tasks = [
            asyncio.create_task(self._read(stream)),
            asyncio.create_task(self._create()),
            asyncio.create_task(self._ask_progress()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.cancelled():
                    # Its channel was closed.
                    raise StoreUnavailable(
                        f"etcd at {stream.endpoint.address}: the connection was closed"
                    )
                task.result()
        finally:
            self._stream = None
            await stream.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _ask(self, question: rpc.WatchRequest) -> None:
        if self._stream is not None:
            self._stream.ask(question)

    async def _read(self, stream: Stream[rpc.WatchRequest, rpc.WatchResponse]) -> None:
        """Process answers to the end of the stream. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        try:
            async for answer in stream.answers():
                self._heard = loop.time()
                self._take(answer)
        except grpc.aio.AioRpcError as error:
            failed = self._transport.failure(stream.endpoint, error)
            if failed.then is Then.LOGIN:
                self._transport.forget()
            if isinstance(failed.error, StoreUnavailable):
                raise failed.error from error
            raise StoreUnavailable(str(failed.error)) from error
        raise StoreUnavailable(f"etcd at {stream.endpoint.address} ended the stream of watches")

    async def _create(self) -> None:
        """Create pending watches at etcd, while there are any. Raises StoreUnavailable."""
        while self._watches:
            self._more.clear()
            while self._todo:
                watch = self._todo.popleft()
                if watch in self._watches and not watch.ended and not watch.id:
                    await self._create_watch(watch)
            await self._more.wait()

    async def _create_watch(self, watch: EtcdWatch) -> None:
        first = await self._start_revision(watch)
        if not first or watch.ended:
            return
        self._asked = watch.id = next(self._ids)
        self._by_id[watch.id] = watch
        key, end = watch.span
        self._answered = asyncio.get_running_loop().create_future()
        create = rpc.WatchCreateRequest(
            key=key,
            range_end=end,
            # One earlier: etcd omits deletions at the exact revision of a compaction.
            start_revision=max(first - 1, 1),
            progress_notify=True,
            prev_kv=watch.previous,
            watch_id=watch.id,
            fragment=True,
        )
        self._ask(rpc.WatchRequest(create=create))
        try:
            async with asyncio.timeout(self._transport.options.request):
                await self._answered
        except TimeoutError:
            raise StoreUnavailable("etcd doesn't answer the request for a new watch") from None

    async def _start_revision(self, watch: EtcdWatch) -> int:
        """Return the revision to watch from, 1 to find the oldest kept one, or 0 to wait.

        Raises StoreUnavailable.
        """
        key, changed = watch.witness or (watch.span[0], None)
        before = max(watch.next - 1, 1) if watch.next else 0
        question = rpc.RangeRequest(key=key, revision=before, limit=1, keys_only=True)
        try:
            answer = await self._transport.ask(RANGE, question)
            header = answer.header
            if changed not in {None, answer.kvs[0].mod_revision if answer.kvs else 0}:
                watch.gone(header.revision + 1)
        except Ahead:
            question.revision = 0
            header = (await self._transport.ask(RANGE, question)).header
            watch.gone(header.revision + 1)
        except Compacted:
            return 1
        except StoreDenied as error:
            self._deny(watch, error)
            return 0
        self._check_identity(header)
        if not watch.next:
            watch.next = header.revision + 1
            # It may have been closed meanwhile.
            if not watch.started.done():
                watch.started.set_result(None)
        return watch.next

    def _check_identity(self, header: rpc.Header) -> None:
        """End watches that began with another etcd, or with one restored since."""
        cluster, term = self._history
        if cluster and (header.cluster_id != cluster or header.raft_term < term):
            for watch in self._watches:
                if watch.next:
                    watch.gone(header.revision + 1)
        self._history = header.cluster_id, header.raft_term

    def _deny(self, watch: EtcdWatch, error: StoreDenied) -> None:
        """Suspend a watch that etcd refuses, and retry it later; others continue."""
        loop = asyncio.get_running_loop()
        watch.cut(str(error), loop.time())
        loop.call_later(self._options.denied, self.resume, watch)

    def _take(self, answer: rpc.WatchResponse) -> None:
        if answer.header.member_id != self._member:
            self._member, self._sound = answer.header.member_id, False
        if answer.created or answer.watch_id == self._asked:
            self._answer()
        if answer.canceled:
            self._canceled(answer)
        elif answer.watch_id == _ALL_PROGRESS:
            if self._sound:
                for member_watch in self._by_id.values():
                    member_watch.reach_with_all(answer.header.revision)
        elif (watch := self._by_id.get(answer.watch_id)) is not None:
            if answer.created:
                watch.back(answer.header.revision)
                if watch.behind:
                    self._late.set()
            else:
                watch.take(answer)

    def _canceled(self, answer: rpc.WatchResponse) -> None:
        """Handle a watch cancelled by etcd. If it was never created, its ID may be missing."""
        number = self._asked if answer.created else answer.watch_id
        watch = self._by_id.pop(number, None)
        if watch is None:
            return
        watch.id = 0
        reason = answer.cancel_reason
        if answer.compact_revision:
            watch.gone(answer.compact_revision + 1)
        elif not self._transport.options.user or (watch.refused and not wants_login(reason)):
            watch.refused = False
            keys = wanted(rpc.RangeRequest(key=watch.span[0], range_end=watch.span[1]))
            self._deny(watch, StoreDenied(f"etcd refuses to watch and {keys}: {reason}"))
        else:
            # The stream's token may have expired: retry once with a new one. If etcd reports that,
            # retry without limit: a starting member may not know the new token yet either.
            watch.refused = not wants_login(reason)
            self._transport.forget()
            raise StoreUnavailable(f"etcd ended a watch: {reason}")

    def _answer(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    async def _ask_progress(self) -> None:
        """Request progress repeatedly; check once per member whether it reports reliably."""
        while True:
            behind = [watch for watch in self._by_id.values() if watch.behind]
            for watch in behind:
                watch.silence += 1
                if watch.silence > (MUTE if self._sound else QUIET):
                    watch.settle()
            self._late.clear()
            seconds = self._options.catching_up if behind else self._options.progress
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._late.wait()
            with suppress(StoreError):
                self._sound = await self._transport.sound(self._member)
            self._ask(rpc.WatchRequest(progress=rpc.WatchProgressRequest()))
