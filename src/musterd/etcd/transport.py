"""Transport of requests: to one endpoint while it answers, else to the next.

A request is retried until its deadline: a read always, a write only if it can't have been executed.
A write whose answer is lost raises StoreUncertain.
"""

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final, Generic

import grpc
from google.protobuf.message import Message

from musterd.backoff import Backoff
from musterd.etcd import rpc_pb2 as rpc
from musterd.etcd.endpoint import EtcdEndpoint
from musterd.etcd.faults import Failure, Then, failure
from musterd.etcd.methods import AUTHENTICATE, STATUS, A, Method, Q
from musterd.etcd.options import EtcdOptions
from musterd.kv.errors import StoreBusy, StoreDenied, StoreError, StoreUnavailable, StoreUncertain

RETRY: Final = Backoff(0.05, 1.0)
"""Delays between two attempts."""
LOGINS: Final = 2
"""Maximum logins for one request: a new token may expire at once."""

# Before these patch versions a progress report could overtake events.
_SOUND: Final = {(3, 4): 25, (3, 5): 8}
_Metadata = tuple[tuple[str, str], ...]
_LEADER: Final = ("hasleader", "true")
"""Metadata that makes requests and streams fail at once, instead of hanging, without a leader."""


class Stream(Generic[Q, A]):
    """An open stream of questions and answers to one endpoint."""

    def __init__(
        self, endpoint: EtcdEndpoint, call: "grpc.aio.StreamStreamCall[Q, A]", questions: int
    ) -> None:
        """Use `Transport.open`."""
        self.endpoint = endpoint
        self._call = call
        self._questions: asyncio.Queue[Q] = asyncio.Queue(questions)
        self._sending = asyncio.create_task(self._send())

    def ask(self, question: Q) -> None:
        """Queue a request. Raises StoreBusy."""
        try:
            self._questions.put_nowait(question)
        except asyncio.QueueFull:
            waiting = self._questions.qsize()
            raise StoreBusy(
                f"etcd at {self.endpoint.address}: {waiting} requests are pending"
            ) from None

    async def answers(self) -> AsyncGenerator[A]:
        """Yield answers to the end of the stream. Raises AioRpcError."""
        async for answer in self._call:
            yield answer

    async def close(self) -> None:
        """End the stream."""
        self._call.cancel()
        self._sending.cancel()
        await asyncio.wait([self._sending])

    async def _send(self) -> None:
        # If writing fails, answers() raises the reason.
        with suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            while True:
                await self._call.write(await self._questions.get())


class Transport:
    """Sends requests to one etcd; belongs to the running loop."""

    def __init__(self, options: EtcdOptions) -> None:
        """Create it; opens no connection yet."""
        self.options = options
        # In random order, so that clients spread over the members.
        addresses = random.sample(options.endpoints, len(options.endpoints))
        self._endpoints = [EtcdEndpoint(address, options) for address in addresses]
        self._at = 0
        self._token = ""
        self._login = asyncio.Lock()
        self._failing: float | None = None
        """Start of the time without any answer; None if the last request was answered."""
        self._sound: dict[int, bool] = {}
        """True for members of etcd with reliable progress reports."""
        self._closed = False

    async def close(self) -> None:
        """Finish pending requests and close the connections."""
        self._closed = True
        await asyncio.gather(
            *(endpoint.close(self.options.request) for endpoint in self._endpoints)
        )

    async def ask(self, method: Method[Q, A], question: Q) -> A:
        """Send a request until it is answered or its deadline passes. Raises StoreError."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline = started + self.options.request
        # After a long outage, fail fast: try each endpoint once.
        failing = started if self._failing is None else self._failing
        max_tries = len(self._endpoints) if started - failing > self.options.request else 0
        tries = logins = 0
        retry = RETRY.start()
        reasons: dict[str, StoreError] = {}
        while True:
            endpoint, token = self._endpoints[self._at], self._token
            try:
                answer = await self._try(endpoint, method, question, deadline - loop.time())
            except grpc.aio.AioRpcError as error:
                failed = self.failure(endpoint, error, question, writes=method.writes)
            except (StoreUncertain, StoreDenied):
                raise
            except StoreUnavailable as error:
                failed = Failure(Then.RETRY, error)
            else:
                self._failing = None
                return answer
            tries += 1
            if failed.then is Then.LOGIN and self.options.user and logins < LOGINS:
                logins += 1
                self.forget(token)
                continue
            if failed.then not in {Then.RETRY, Then.UNSURE} or (
                failed.then is Then.UNSURE and method.writes
            ):
                raise failed.error
            reasons[endpoint.address] = failed.error
            self._failing = loop.time() if self._failing is None else self._failing
            if loop.time() + retry.bound >= deadline or 0 < max_tries <= tries or self._closed:
                raise _all(list(reasons.values()))
            if tries % len(self._endpoints) == 0:
                await asyncio.sleep(retry.next())

    async def open(self, method: Method[Q, A], questions: int) -> Stream[Q, A]:
        """Open a stream to the current endpoint. Raises StoreUnavailable.

        questions: maximum requests that may wait to be sent.
        """
        endpoint = self._endpoints[self._at]
        metadata = await self._ready(endpoint, method, self.options.connect)
        self._check_open()
        return Stream(endpoint, endpoint.stream(method)(metadata=metadata), questions)

    async def sound(self, member: int) -> bool:
        """Return whether a member reports progress only after sending all events up to there.

        False while that is unknown. Raises StoreUnavailable.
        """
        if member not in self._sound:
            status = await self.ask(STATUS, rpc.StatusRequest())
            self._sound[status.header.member_id] = _sound(status.version)
        return self._sound.get(member, False)

    def failure(
        self,
        endpoint: EtcdEndpoint,
        error: grpc.aio.AioRpcError,
        question: Message | None = None,
        *,
        writes: bool = False,
    ) -> Failure:
        """Translate an error of an endpoint, and switch to the next endpoint if that may help."""
        failed = failure(error, endpoint.address, self.options, question, writes=writes)
        if failed.then in {Then.RETRY, Then.UNSURE}:
            self._switch_from(endpoint)
        return failed

    def forget(self, token: str | None = None) -> None:
        """Log in again before the next request, unless the token has changed already."""
        if token is None or token == self._token:
            self._token = ""

    async def _try(
        self, endpoint: EtcdEndpoint, method: Method[Q, A], question: Q, left: float
    ) -> A:
        """Send a request to an endpoint once. Raises AioRpcError, StoreUnavailable."""
        self._check_open()
        if len(self._endpoints) > 1 and not method.writes:
            # Keep half the time of a read for another endpoint.
            left = min(left, self.options.request / 2)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + left
        metadata = await self._ready(endpoint, method, min(left, self.options.connect))
        try:
            return await endpoint.unary(method)(
                question, metadata=metadata, timeout=max(deadline - loop.time(), 0.001)
            )
        except grpc.aio.UsageError:
            raise StoreUnavailable(
                f"etcd at {endpoint.address}: the connection was closed"
            ) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The channel was closed during the request.
            kind = StoreUncertain if method.writes else StoreUnavailable
            raise kind(f"etcd at {endpoint.address}: the client was closed") from None

    async def _ready(
        self, endpoint: EtcdEndpoint, method: Method[Q, A], seconds: float
    ) -> _Metadata:
        """Connect to an endpoint and return the request metadata. Raises StoreUnavailable.

        If it can't connect now, the request itself fails with the reason.
        """
        try:
            await endpoint.connect(seconds)
            if self.options.user and method is not STATUS:
                await self._ensure_token(endpoint)
        except grpc.aio.AioRpcError as error:
            raise self.failure(endpoint, error).error from error
        except StoreUnavailable:
            self._switch_from(endpoint)
            raise
        if method is STATUS:
            return ()
        return (_LEADER, ("token", self._token)) if self._token else (_LEADER,)

    async def _ensure_token(self, endpoint: EtcdEndpoint) -> None:
        async with self._login:
            if not self._token:
                self._token = await self._authenticate(endpoint)

    async def _authenticate(self, endpoint: EtcdEndpoint) -> str:
        options = self.options
        # Read each time, as the file may have changed.
        password = await asyncio.to_thread(options.read_password)
        question = rpc.AuthenticateRequest(name=options.user, password=password)
        try:
            answer = await endpoint.unary(AUTHENTICATE)(
                question, metadata=(_LEADER,), timeout=options.request
            )
        except grpc.aio.AioRpcError as error:
            if "authentication is not enabled" in (error.details() or ""):
                return "-"
            raise
        return answer.token

    def _switch_from(self, endpoint: EtcdEndpoint) -> None:
        """Use the next endpoint from now on."""
        if self._endpoints[self._at] is endpoint:
            self._at = (self._at + 1) % len(self._endpoints)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the client of etcd is closed")


def _all(reasons: Sequence[StoreError]) -> StoreError:
    """Combine the errors of several endpoints."""
    return reasons[0] if len(reasons) == 1 else StoreUnavailable("; ".join(map(str, reasons)))


def _sound(version: str) -> bool:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if not found:
        return False
    major, minor, patch = map(int, found.groups())
    return patch >= _SOUND.get((major, minor), 0)
