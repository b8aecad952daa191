"""Leases of etcd; all are renewed on one stream."""

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
"""Maximum pending renewals."""


class LeaseKeeper:
    """Grants, renews and revokes leases; belongs to the running loop."""

    def __init__(self, transport: Transport) -> None:
        """Create it; opens no stream yet."""
        self._transport = transport
        self._waiting: dict[int, deque[asyncio.Future[int]]] = {}
        """Pending renewals by lease, oldest first."""
        self._count = 0
        self._unsent: list[int] = []
        """Renewals to send once the stream is open."""
        self._stream: Stream[rpc.LeaseKeepAliveRequest, rpc.LeaseKeepAliveResponse] | None = None
        self._task: asyncio.Task[None] | None = None

    async def grant(self, ttl: int, lease: int = 0) -> Lease:
        """Grant a lease. etcd raises a TTL that is too short.

        lease: its ID, 0 to let etcd choose. Raises StoreLimit if the ID is in use.
        """
        granted = await self._transport.ask(GRANT, rpc.LeaseGrantRequest(ttl=ttl, id=lease))
        return Lease(granted.id, granted.ttl, float(granted.ttl))

    async def revoke(self, lease: int) -> int:
        """End a lease and return the revision. Raises LeaseNotFound."""
        _check(lease)
        try:
            answer = await self._transport.ask(REVOKE, rpc.LeaseRevokeRequest(id=lease))
        except LeaseNotFound:
            raise LeaseNotFound(lease) from None
        return answer.header.revision

    async def info(self, lease: int, *, keys: bool = False) -> Lease:
        """Return a lease, with its keys if requested; the remaining time is in whole seconds.

        With authentication the keys need read access to all of them. Raises LeaseNotFound.
        """
        _check(lease)
        question = rpc.LeaseTimeToLiveRequest(id=lease, keys=keys)
        answer = await self._transport.ask(TIME_TO_LIVE, question)
        # The TTL is 0 or below from its end until its removal, and -1 afterwards.
        if answer.ttl <= 0:
            raise LeaseNotFound(lease)
        return Lease(lease, answer.granted_ttl, float(answer.ttl), tuple(answer.keys))

    async def renew(self, lease: int) -> Lease:
        """Restart the TTL of a lease. Raises LeaseNotFound."""
        _check(lease)
        if self._count >= PENDING:
            raise StoreBusy(f"{self._count} renewals are pending: retry later")
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
        """End the stream; pending renewals raise StoreUnavailable."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _renew(self, lease: int, deadline: float) -> int:
        """Renew once and return the TTL. Raises StoreUnavailable."""
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
        """Run one stream, until it breaks."""
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
            for answer in (future for answers in waiting.values() for future in answers):
                if not answer.done():
                    answer.set_exception(error)
            if stream is not None:
                await stream.close()

    async def _read(
        self, stream: Stream[rpc.LeaseKeepAliveRequest, rpc.LeaseKeepAliveResponse]
    ) -> StoreUnavailable:
        """Process answers until the stream ends; return the reason."""
        try:
            async for response in stream.answers():
                self._answer(response)
        except grpc.aio.AioRpcError as broken:
            failed = self._transport.failure(stream.endpoint, broken)
            if failed.then is Then.LOGIN:
                self._transport.forget()
            return StoreUnavailable(str(failed.error))
        return StoreUnavailable(f"etcd at {stream.endpoint.address} ended the renewals")

    def _answer(self, response: rpc.LeaseKeepAliveResponse) -> None:
        answers = self._waiting.get(response.id)
        if answers:
            answer = answers.popleft()
            if not answers:
                del self._waiting[response.id]
            if not answer.done():
                answer.set_result(response.ttl)


def _check(lease: int) -> None:
    if not 0 < lease <= MAX_LEASE:
        raise LeaseNotFound(lease)
