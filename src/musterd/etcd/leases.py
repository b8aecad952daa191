"""Leases: granted, renewed on one stream for all, ended."""

import asyncio
from collections import deque
from typing import Final

import grpc

from musterd.etcd import rpc_pb2 as rpc
from musterd.etcd.faults import Then
from musterd.etcd.methods import GRANT, KEEPALIVE, REVOKE, TIME_TO_LIVE
from musterd.etcd.transport import RETRY, Stream, Transport
from musterd.kv.errors import LeaseNotFound, StoreBusy, StoreUnavailable
from musterd.kv.requests import MAX_LEASE
from musterd.kv.values import Lease

PENDING: Final = 100_000
"""Renewals that may wait for an answer."""


class LeaseKeeper:
    """Belongs to the running loop."""

    def __init__(self, transport: Transport) -> None:
        """Open nothing yet."""
        self._transport = transport
        self._waiting: dict[int, deque[asyncio.Future[int]]] = {}
        """Renewals without an answer, by lease, the oldest first."""
        self._count = 0
        self._unsent: list[int] = []
        """Renewals that wait for the stream to open."""
        self._stream: Stream[rpc.LeaseKeepAliveRequest, rpc.LeaseKeepAliveResponse] | None = None
        self._task: asyncio.Task[None] | None = None

    async def grant(self, ttl: int, lease: int = 0) -> Lease:
        """A new lease of some seconds, or a few where these are too few, and of an ID if given.

        Raises StoreLimit if there is a lease of this ID.
        """
        granted = await self._transport.ask(GRANT, rpc.LeaseGrantRequest(ttl=ttl, id=lease))
        return Lease(granted.id, granted.ttl, float(granted.ttl))

    async def revoke(self, lease: int) -> int:
        """End a lease; the revision of that. Raises LeaseNotFound."""
        _check(lease)
        try:
            answer = await self._transport.ask(REVOKE, rpc.LeaseRevokeRequest(id=lease))
        except LeaseNotFound:
            raise LeaseNotFound(lease) from None
        return answer.header.revision

    async def info(self, lease: int, *, keys: bool = False) -> Lease:
        """A lease, with its keys if asked for; of what remains, whole seconds.

        Where there are logins, its keys are told to who may read them all. Raises LeaseNotFound.
        """
        _check(lease)
        question = rpc.LeaseTimeToLiveRequest(id=lease, keys=keys)
        answer = await self._transport.ask(TIME_TO_LIVE, question)
        # It is at 0 or below from its end until it is removed, and -1 after that.
        if answer.ttl <= 0:
            raise LeaseNotFound(lease)
        return Lease(lease, answer.granted_ttl, float(answer.ttl), tuple(answer.keys))

    async def renew(self, lease: int) -> Lease:
        """Give a lease all its time again. Raises LeaseNotFound."""
        _check(lease)
        if self._count >= PENDING:
            raise StoreBusy(f"{self._count} renewals wait already: ask again later")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._transport.options.request
        retry = RETRY.start()
        self._count += 1
        try:
            while True:
                try:
                    ttl = await self._renew(lease, deadline)
                except StoreUnavailable:
                    if loop.time() + retry.bound >= deadline:
                        raise
                    await asyncio.sleep(retry.next())
                    continue
                if ttl <= 0:
                    raise LeaseNotFound(lease)
                return Lease(lease, ttl, float(ttl))
        finally:
            self._count -= 1

    async def close(self) -> None:
        """End the stream; what waits is answered with StoreUnavailable."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _renew(self, lease: int, deadline: float) -> int:
        """Ask once for the TTL after a renewal. Raises StoreUnavailable."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._session())
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(lease, deque()).append(answer)
        if self._stream is None:
            self._unsent.append(lease)
        else:
            self._stream.ask(rpc.LeaseKeepAliveRequest(id=lease))
        try:
            async with asyncio.timeout_at(deadline):
                return await answer
        except TimeoutError:
            raise StoreUnavailable(
                f"etcd at {self._transport.options.shown}: no answer to the renewal of a lease"
            ) from None

    async def _session(self) -> None:
        """One stream, until it breaks."""
        error = StoreUnavailable("the client of etcd is closed")
        try:
            self._stream = await self._transport.open(KEEPALIVE, PENDING)
            for lease in self._unsent:
                self._stream.ask(rpc.LeaseKeepAliveRequest(id=lease))
            error = await self._read(self._stream)
        except StoreUnavailable as unavailable:
            error = unavailable
        finally:
            stream, self._stream = self._stream, None
            waiting, self._waiting, self._unsent = self._waiting, {}, []
            for answer in (each for answers in waiting.values() for each in answers):
                if not answer.done():
                    answer.set_exception(error)
            if stream is not None:
                await stream.close()

    async def _read(
        self, stream: Stream[rpc.LeaseKeepAliveRequest, rpc.LeaseKeepAliveResponse]
    ) -> StoreUnavailable:
        """Take the answers until there are no more; why."""
        try:
            async for told in stream.answers():
                self._answer(told)
        except grpc.aio.AioRpcError as broken:
            failed = self._transport.failure(stream.endpoint, broken)
            if failed.then is Then.LOGIN:
                self._transport.forget()
            return StoreUnavailable(str(failed.error))
        return StoreUnavailable(f"etcd at {stream.endpoint.address} ended the renewals")

    def _answer(self, told: rpc.LeaseKeepAliveResponse) -> None:
        answers = self._waiting.get(told.id)
        if answers:
            answer = answers.popleft()
            if not answers:
                del self._waiting[told.id]
            if not answer.done():
                answer.set_result(told.ttl)


def _check(lease: int) -> None:
    if not 0 < lease <= MAX_LEASE:
        raise LeaseNotFound(lease)
