"""Replay of the changes between two past revisions, on a separate stream."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import grpc

from musterd.backoff import Backoff
from musterd.etcd import rpc_pb2 as rpc
from musterd.etcd.methods import WATCH
from musterd.etcd.transport import Stream, Transport
from musterd.etcd.values import EtcdBatch, EtcdEvent, as_event
from musterd.kv.errors import Compacted, StoreUnavailable

ASK: Final = Backoff(0.01, 0.2)
"""Delays between two progress requests."""
QUIET: Final = 0.5
"""Seconds without events that complete the replay if progress reports are unreliable."""
STALLED: Final = 10.0
"""Seconds without any answer after which the stream counts as dead."""


async def replay(
    transport: Transport, span: tuple[bytes, bytes], first: int, last: int
) -> AsyncGenerator[EtcdBatch]:
    """Yield all changes of a range between two past revisions, oldest first.

    Close it (`contextlib.aclosing`) unless it is read to its end. Raises Compacted with the
    first revision that is known, StoreUnavailable.
    """
    stream = await transport.open(WATCH, 1000)
    asking = asyncio.create_task(_ask(stream))
    try:
        async for events in _revisions(transport, stream, span, first, last):
            yield events
    except grpc.aio.AioRpcError as error:
        failed = transport.failure(stream.endpoint, error)
        raise StoreUnavailable(str(failed.error)) from error
    except TimeoutError:
        raise StoreUnavailable(f"etcd at {stream.endpoint.address} stopped answering") from None
    finally:
        asking.cancel()
        await stream.close()


async def _revisions(
    transport: Transport,
    stream: Stream[rpc.WatchRequest, rpc.WatchResponse],
    span: tuple[bytes, bytes],
    first: int,
    last: int,
) -> AsyncGenerator[EtcdBatch]:
    key, end = span
    # One earlier, so that etcd refuses if the changes of the first revision are incomplete.
    create = rpc.WatchCreateRequest(
        key=key, range_end=end, start_revision=max(first - 1, 1), prev_kv=True, fragment=True
    )
    stream.ask(rpc.WatchRequest(create=create))
    loop = asyncio.get_running_loop()
    heard = loop.time()
    part: list[EtcdEvent] = []
    at = 0
    answers = stream.answers()
    while True:
        async with asyncio.timeout(STALLED):
            answer = await anext(answers)
        if answer.canceled:
            if answer.compact_revision:
                raise Compacted(first, answer.compact_revision + 1)
            raise StoreUnavailable(f"etcd refuses to watch these keys: {answer.cancel_reason}")
        for event in answer.events:
            revision = event.kv.mod_revision
            if part and revision > at:
                yield EtcdBatch(at, tuple(part))
                part.clear()
            if revision > last:
                return
            at = revision
            if revision >= first:
                part.append(as_event(event))
        if answer.events:
            heard = loop.time()
        if part and not answer.fragment:
            yield EtcdBatch(at, tuple(part))
            part.clear()
        reported = not answer.events and not answer.created and answer.header.revision >= last
        quiet = loop.time() - heard >= QUIET
        if reported and (quiet or await transport.sound(answer.header.member_id)):
            return


async def _ask(stream: Stream[rpc.WatchRequest, rpc.WatchResponse]) -> None:
    """Request progress repeatedly: some versions answer only once they have caught up."""
    pause = ASK.start()
    while True:
        await asyncio.sleep(pause.next())
        stream.ask(rpc.WatchRequest(progress=rpc.WatchProgressRequest()))
