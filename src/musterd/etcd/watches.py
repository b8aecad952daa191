"""All watches of a client, on one stream that is opened again whenever it breaks.

Before etcd is asked to watch from a revision, a key is read as it was before that. So it is known
that the changes from there on are all kept; that etcd didn't go back behind it, as after a backup
was restored; and, by cluster, Raft term and the key itself, that it is the same etcd as before.
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
from musterd.etcd.watch import EtcdWatch
from musterd.kv.errors import Compacted, StoreBusy, StoreDenied, StoreError, StoreUnavailable

WATCHES: Final = 1000
"""Watches at once."""
QUESTIONS: Final = 10_000
"""What may wait to be sent."""
PROGRESS: Final = 3.0
"""Seconds between two questions how far etcd is."""
CATCHING_UP: Final = 0.1
"""The same while a watch may have missed something; this long etcd takes to tell it."""
QUIET: Final = 5
"""Such times without a word until one is taken to have missed nothing, where etcd can't tell."""
MUTE: Final = 100
"""The same where it could, but doesn't, as a proxy may not."""
GRACE: Final = 5.0
"""Seconds from the break of a stream until readers are told; a new leader is there before."""
SILENT: Final = 9.0
"""Seconds since anything was heard after which they are told in any case."""
RETRY: Final = Backoff(0.05, 2.0)
"""Delays before a stream is opened again."""
DENIED: Final = 10.0
"""Seconds until etcd is asked again for a watch that it refused."""
STEADY: Final = 10.0
"""Seconds for which a stream must have lasted, so that the next is opened quickly."""

_ALL_PROGRESS: Final = -1
"""The watch_id of an answer that is for all."""


class Watches:
    """Belongs to the running loop."""

    def __init__(self, transport: Transport) -> None:
        """Without watches yet."""
        self._transport = transport
        self._watches: set[EtcdWatch] = set()
        self._todo: deque[EtcdWatch] = deque()
        """Those that etcd must be asked for."""
        self._more = asyncio.Event()
        self._ids = count(1)
        self._by_id: dict[int, EtcdWatch] = {}
        """Those that etcd was asked for."""
        self._answered: asyncio.Future[None] | None = None
        """Done when the last of these is there, or refused."""
        self._asked = 0
        """The id of the last of these."""
        self._stream: Stream[rpc.WatchRequest, rpc.WatchResponse] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._heard = 0.0
        self._history = 0, 0
        """Cluster and term of the last revision that was read."""
        self._member = 0
        """To which the stream goes."""
        self._sound = False
        """Whether its progress is to be believed."""
        self._late = asyncio.Event()
        """A watch may have missed something."""

    @asynccontextmanager
    async def open(
        self, span: tuple[bytes, bytes], first: int | None, previous: bool
    ) -> AsyncIterator[EtcdWatch]:
        """As `Client.watch`."""
        if self._closed:
            raise StoreUnavailable("the client of etcd is closed")
        if len(self._watches) >= WATCHES:
            raise StoreBusy(f"{len(self._watches)} watches at once: end some")
        watch = EtcdWatch(self, span, 0 if first is None else max(first, 1), previous)
        self._watches.add(watch)
        reason = f"etcd at {self._transport.options.shown} doesn't answer"
        watch.cut(reason, asyncio.get_running_loop().time() + GRACE)
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
        """As of `Owner`."""
        if self._by_id.pop(watch.id, None) is not None:
            cancel = rpc.WatchCancelRequest(watch_id=watch.id)
            self._ask(rpc.WatchRequest(cancel=cancel))
        watch.id = 0

    def resume(self, watch: EtcdWatch) -> None:
        """As of `Owner`."""
        self._todo.append(watch)
        self._more.set()

    async def _start(self, watch: EtcdWatch) -> None:
        """Wait until it is known where a watch starts. Raises StoreError."""
        await asyncio.wait([watch.started], timeout=self._transport.options.request)
        if watch.trouble is not None and (watch.ended or not watch.started.done()):
            raise watch.trouble

    async def _run(self) -> None:
        """Keep a stream open for as long as there are watches."""
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
                # None of those that can be expected; nobody may wait for what never comes.
                for watch in self._watches:
                    watch.end(StoreUnavailable(f"{type(error).__name__}: {error}"))
                raise
            if loop.time() - began >= STEADY:
                retry.reset()
            await asyncio.sleep(retry.next())

    def _lost(self, error: StoreError) -> None:
        """The stream broke, or there was none."""
        now = asyncio.get_running_loop().time()
        # Without a leader etcd has waited for one already before it says so.
        grace = 0 if isinstance(error, Leaderless) else GRACE
        at = max(now, min(now + grace, self._heard + SILENT))
        for watch in self._watches:
            watch.cut(str(error), at)

    async def _session(self) -> None:
        """One stream, from its opening until no watch is left. Raises StoreError."""
        self._by_id.clear()
        self._todo = deque(watch for watch in self._watches if not watch.paused)
        self._more.set()
        stream = self._stream = await self._transport.open(WATCH, QUESTIONS)
        tasks = [
            asyncio.create_task(self._read(stream)),
            asyncio.create_task(self._create()),
            asyncio.create_task(self._ask_progress()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.cancelled():
                    # Its channel was closed under it.
                    raise StoreUnavailable(f"etcd at {stream.endpoint.address}: cut off")
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
        """Take what etcd tells, to the end of the stream. Raises StoreUnavailable."""
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
        """Ask etcd for the watches that are to be, while there are any. Raises StoreUnavailable."""
        while self._watches:
            self._more.clear()
            while self._todo:
                watch = self._todo.popleft()
                if watch in self._watches and not watch.ended and not watch.id:
                    await self._create_one(watch)
            await self._more.wait()

    async def _create_one(self, watch: EtcdWatch) -> None:
        first = await self._look(watch)
        if not first or watch.ended:
            return
        self._asked = watch.id = next(self._ids)
        self._by_id[watch.id] = watch
        key, end = watch.span
        self._answered = asyncio.get_running_loop().create_future()
        create = rpc.WatchCreateRequest(
            key=key,
            range_end=end,
            # One earlier: etcd leaves out what was deleted at the very revision of a compaction.
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
            raise StoreUnavailable("etcd doesn't answer to a new watch") from None

    async def _look(self, watch: EtcdWatch) -> int:
        """From which revision to watch: 1 where that is only to hear what is kept, 0 for not now.

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
        self._recognise(header)
        if not watch.next:
            watch.next = header.revision + 1
            # It may have been closed meanwhile.
            if not watch.started.done():
                watch.started.set_result(None)
        return watch.next

    def _recognise(self, header: rpc.Header) -> None:
        """Let those watches end that began with another etcd, or with what it is no more."""
        cluster, term = self._history
        if cluster and (header.cluster_id != cluster or header.raft_term < term):
            for watch in self._watches:
                if watch.next:
                    watch.gone(header.revision + 1)
        self._history = header.cluster_id, header.raft_term

    def _deny(self, watch: EtcdWatch, error: StoreDenied) -> None:
        """Etcd doesn't let a watch be, which others don't suffer for; it may later."""
        loop = asyncio.get_running_loop()
        watch.cut(str(error), loop.time())
        loop.call_later(DENIED, self.resume, watch)

    def _take(self, answer: rpc.WatchResponse) -> None:
        if answer.header.member_id != self._member:
            self._member, self._sound = answer.header.member_id, False
        if answer.created or answer.watch_id == self._asked:
            self._answer()
        if answer.canceled:
            self._canceled(answer)
        elif answer.watch_id == _ALL_PROGRESS:
            if self._sound:
                for each in self._by_id.values():
                    each.reach_with_all(answer.header.revision)
        elif (watch := self._by_id.get(answer.watch_id)) is not None:
            if answer.created:
                watch.back(answer.header.revision)
                if watch.behind:
                    self._late.set()
            else:
                watch.take(answer)

    def _canceled(self, answer: rpc.WatchResponse) -> None:
        """A watch ended at etcd. Where it never began, its id may be left out."""
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
            self._deny(watch, StoreDenied(f"etcd doesn't let us watch and {keys}: {reason}"))
        else:
            # The token of the stream may be used up: once more, with another. Where that is what
            # etcd says, again and again: a member that starts may not know the next one either.
            watch.refused = not wants_login(reason)
            self._transport.forget()
            raise StoreUnavailable(f"etcd ended a watch: {reason}")

    def _answer(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    async def _ask_progress(self) -> None:
        """Ask again and again how far etcd is, and once whether a member can tell."""
        while True:
            behind = [watch for watch in self._by_id.values() if watch.behind]
            for watch in behind:
                watch.silence += 1
                if watch.silence > (MUTE if self._sound else QUIET):
                    watch.settle()
            self._late.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(CATCHING_UP if behind else PROGRESS):
                    await self._late.wait()
            with suppress(StoreError):
                self._sound = await self._transport.sound(self._member)
            self._ask(rpc.WatchRequest(progress=rpc.WatchProgressRequest()))
