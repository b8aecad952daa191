"""The past: the changes between two revisions, read once, on a stream of their own."""

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
"""Seconds without an event after which an etcd that can't tell how far it is has told all."""
STALLED: Final = 10.0
"""Seconds without anything after which it is taken for dead."""


async def replay(
    transport: Transport, span: tuple[bytes, bytes], first: int, last: int
) -> AsyncGenerator[EtcdBatch]:
    """All changes of a range from one revision to another, both in the past, oldest first.

    Close it (`contextlib.aclosing`) where it isn't read to its end. Raises Compacted with the
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
        raise StoreUnavailable(f"etcd at {stream.endpoint.address} tells nothing more") from None
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
    # From one before: so etcd refuses where the changes at the first itself are not all known.
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
            raise StoreUnavailable(
                f"etcd doesn't let these keys be watched: {answer.cancel_reason}"
            )
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
        told = not answer.events and not answer.created and answer.header.revision >= last
        quiet = loop.time() - heard >= QUIET
        if told and (quiet or await transport.sound(answer.header.member_id)):
            return


async def _ask(stream: Stream[rpc.WatchRequest, rpc.WatchResponse]) -> None:
    """Ask again and again how far etcd is: some versions don't answer before they are so far."""
    pause = ASK.start()
    while True:
        await asyncio.sleep(pause.next())
        stream.ask(rpc.WatchRequest(progress=rpc.WatchProgressRequest()))
