"""How requests get to etcd: to one endpoint while that answers, else to the next.

A request is tried again for as long as its time allows: a read always, a write only where nothing
can have been done. A write whose answer is lost raises StoreUncertain.
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
from musterd.etcd.endpoint import Endpoint
from musterd.etcd.faults import Failure, Then, failure
from musterd.etcd.methods import AUTHENTICATE, STATUS, A, Method, Q
from musterd.etcd.options import EtcdOptions
from musterd.kv.errors import StoreBusy, StoreDenied, StoreError, StoreUnavailable, StoreUncertain

RETRY: Final = Backoff(0.05, 1.0)
"""Delays between two attempts."""
LOGINS: Final = 2
"""Tokens that one request may ask for, as another may be used up at once."""

# Before these versions an answer to the question how far etcd is could overtake events.
_SOUND: Final = {(3, 4): 25, (3, 5): 8}
_Metadata = tuple[tuple[str, str], ...]
_LEADER: Final = ("hasleader", "true")
"""Without a leader the answer is an error at once, and a stream ends, instead of silence."""


class Stream(Generic[Q, A]):
    """An open stream of questions and answers to one endpoint."""

    def __init__(
        self, endpoint: Endpoint, call: "grpc.aio.StreamStreamCall[Q, A]", questions: int
    ) -> None:
        """Use `Transport.open`."""
        self.endpoint = endpoint
        self._call = call
        self._questions: asyncio.Queue[Q] = asyncio.Queue(questions)
        self._sending = asyncio.create_task(self._send())

    def ask(self, question: Q) -> None:
        """Send a question after those before. Raises StoreBusy."""
        try:
            self._questions.put_nowait(question)
        except asyncio.QueueFull:
            waiting = self._questions.qsize()
            raise StoreBusy(f"etcd at {self.endpoint.address}: {waiting} requests wait") from None

    async def answers(self) -> AsyncGenerator[A]:
        """What comes, to the end of the stream. Raises AioRpcError."""
        async for answer in self._call:
            yield answer

    async def close(self) -> None:
        """End it."""
        self._call.cancel()
        self._sending.cancel()
        await asyncio.wait([self._sending])

    async def _send(self) -> None:
        # Where it can't be written any more, the answers say why.
        with suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            while True:
                await self._call.write(await self._questions.get())


class Transport:
    """The way to one etcd; belongs to the running loop."""

    def __init__(self, options: EtcdOptions) -> None:
        """Open nothing yet."""
        self.options = options
        # By chance, so that many clients spread over the members.
        addresses = random.sample(options.endpoints, len(options.endpoints))
        self._endpoints = [Endpoint(address, options) for address in addresses]
        self._at = 0
        self._token = ""
        self._login = asyncio.Lock()
        self._failing: float | None = None
        """Since when no request was answered."""
        self._sound: dict[int, bool] = {}
        """Members of etcd, and whether what they tell of their progress is to be believed."""
        self._closed = False

    async def close(self) -> None:
        """Let what was asked be answered, and let go."""
        self._closed = True
        await asyncio.gather(
            *(endpoint.close(self.options.request) for endpoint in self._endpoints)
        )

    async def ask(self, method: Method[Q, A], question: Q) -> A:
        """Ask until there is an answer, or the time is over. Raises StoreError."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline = started + self.options.request
        # Where nothing was answered for long, nobody waits for it: one look at each, and an error.
        failing = started if self._failing is None else self._failing
        looks = len(self._endpoints) if started - failing > self.options.request else 0
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
            if loop.time() + retry.bound >= deadline or 0 < looks <= tries or self._closed:
                raise _all(list(reasons.values()))
            if tries % len(self._endpoints) == 0:
                await asyncio.sleep(retry.next())

    async def open(self, method: Method[Q, A], questions: int) -> Stream[Q, A]:
        """Open a stream at the endpoint that answers now, where some questions may wait.

        Raises StoreUnavailable.
        """
        endpoint = self._endpoints[self._at]
        metadata = await self._ready(endpoint, method, self.options.connect)
        self._open_still()
        return Stream(endpoint, endpoint.stream(method)(metadata=metadata), questions)

    async def sound(self, member: int) -> bool:
        """Whether a member doesn't tell of progress before all events up to there are sent.

        Where that isn't known yet, it isn't. Raises StoreUnavailable.
        """
        if member not in self._sound:
            status = await self.ask(STATUS, rpc.StatusRequest())
            self._sound[status.header.member_id] = _sound(status.version)
        return self._sound.get(member, False)

    def failure(
        self,
        endpoint: Endpoint,
        error: grpc.aio.AioRpcError,
        question: Message | None = None,
        *,
        writes: bool = False,
    ) -> Failure:
        """What an error of an endpoint means; the next request goes where it may do better."""
        failed = failure(error, endpoint.address, self.options, question, writes=writes)
        if failed.then in {Then.RETRY, Then.UNSURE}:
            self._blame(endpoint)
        return failed

    def forget(self, token: str | None = None) -> None:
        """Log in again before the next request, unless the token is another by now."""
        if token is None or token == self._token:
            self._token = ""

    async def _try(self, endpoint: Endpoint, method: Method[Q, A], question: Q, left: float) -> A:
        """Ask an endpoint once. Raises AioRpcError, StoreUnavailable."""
        self._open_still()
        if len(self._endpoints) > 1 and not method.writes:
            # Of a read, half the time is kept for another endpoint.
            left = min(left, self.options.request / 2)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + left
        metadata = await self._ready(endpoint, method, min(left, self.options.connect))
        try:
            return await endpoint.unary(method)(
                question, metadata=metadata, timeout=max(deadline - loop.time(), 0.001)
            )
        except grpc.aio.UsageError:
            raise StoreUnavailable(f"etcd at {endpoint.address}: cut off") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The channel was closed under it.
            kind = StoreUncertain if method.writes else StoreUnavailable
            raise kind(f"etcd at {endpoint.address}: the client was closed") from None

    async def _ready(self, endpoint: Endpoint, method: Method[Q, A], seconds: float) -> _Metadata:
        """See that an endpoint is connected; what goes with the request. Raises StoreUnavailable.

        Where it can't be connected now, the request itself will tell why.
        """
        try:
            await endpoint.connect(seconds)
            if self.options.user and method is not STATUS:
                await self._see_to_token(endpoint)
        except grpc.aio.AioRpcError as error:
            raise self.failure(endpoint, error).error from error
        except StoreUnavailable:
            self._blame(endpoint)
            raise
        if method is STATUS:
            return ()
        return (_LEADER, ("token", self._token)) if self._token else (_LEADER,)

    async def _see_to_token(self, endpoint: Endpoint) -> None:
        async with self._login:
            if not self._token:
                self._token = await self._authenticate(endpoint)

    async def _authenticate(self, endpoint: Endpoint) -> str:
        options = self.options
        # Read each time, as it may have become another since.
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

    def _blame(self, endpoint: Endpoint) -> None:
        """Let the next request go elsewhere."""
        if self._endpoints[self._at] is endpoint:
            self._at = (self._at + 1) % len(self._endpoints)

    def _open_still(self) -> None:
        if self._closed:
            raise StoreUnavailable("the client of etcd is closed")


def _all(reasons: Sequence[StoreError]) -> StoreError:
    """Why none of some endpoints answered."""
    return reasons[0] if len(reasons) == 1 else StoreUnavailable("; ".join(map(str, reasons)))


def _sound(version: str) -> bool:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if not found:
        return False
    major, minor, patch = map(int, found.groups())
    return patch >= _SOUND.get((major, minor), 0)
