"""``/v1/watch``: changes of records as server-sent events."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any, Final

from fastapi import Header, Query
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from musterd.api import routing, schemas
from musterd.api.context import Call, CallDep
from musterd.api.params import MAX_REVISION
from musterd.api.problems import ProblemResponse, documented
from musterd.kv import Compacted, EventBatch, StoreError, StoreLost, Watch
from musterd.registry.keys import prefix
from musterd.registry.names import MAX_TEXT, zone_text
from musterd.registry.record import show

router = routing.router("watch")
MEDIA: Final = "text/event-stream"
PIECE: Final = 65_536
"""Bytes of events that are encoded before the client has to read them."""
_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Events without end", "content": {MEDIA: {"schema": {"type": "string"}}}},
}


@router.get(
    "",
    response_class=Response,
    responses={**documented(400, 401, 403, 404, 410, 422, 429, 503), **_EVENTS},
)
async def watch(
    call: CallDep,
    zone: Annotated[str | None, Query(min_length=1, max_length=MAX_TEXT)] = None,
    from_: Annotated[
        int | None, Query(alias="from", ge=1, le=MAX_REVISION, description="first revision")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(pattern=schemas.EVENT_ID, description="id of the last event received")
    ] = None,
) -> Response:
    """Stream each put and delete of a record. A delete has the record as it was.

    The id is the revision, on the last event of each revision; an event without id belongs to the
    same revision as the next event with one. Without ``from``, the stream starts now. 410 means
    that older changes were compacted: list again, and watch from the revision of the list.
    """
    call.reads()
    below = prefix() if zone is None else prefix(zone_text(call.context.zone(zone).apex))
    first = from_ if last_event_id is None else int(last_event_id) + 1
    return _Events(call, below, first)


class _Events(Response):
    """Streams a watch until the client disconnects, or its token ends."""

    def __init__(self, call: Call, below: bytes, first: int | None) -> None:
        super().__init__(None, headers={"Cache-Control": "no-store"}, media_type=MEDIA)
        del self.headers["content-length"]
        self._call = call
        self._below = below
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = self._call.context
        if context.watchers >= context.limits.watchers:
            raise ProblemResponse(
                503, f"{context.watchers} clients are watching already: try again later", "busy"
            )
        context.watchers += 1
        try:
            async with context.registry.store.watch(self._below, self._first) as watch:
                await self._start(send, watch.revision)
                await self._until_end(receive, send, watch)
        finally:
            context.watchers -= 1

    async def _start(self, send: Send, revision: int) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        await _send_part(send, f": from {revision + 1} on\nid: {revision}\n\n".encode())

    async def _until_end(self, receive: Receive, send: Send, watch: Watch) -> None:
        context = self._call.context
        gone = asyncio.create_task(_gone(receive))
        tasks = {
            gone,
            asyncio.create_task(_pump(send, watch, context.limits.keepalive)),
            asyncio.create_task(context.tokens.ended(self._call.token)),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if gone.cancelled():
            await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pump(send: Send, watch: Watch, keepalive: float) -> None:
    """Send until the watch ends."""
    try:
        while True:
            try:
                async with asyncio.timeout(keepalive):
                    batch = await anext(watch)
            except StoreLost:
                # The watch resumes when the store is back.
                continue
            except TimeoutError:
                # The id lets a client of a quiet zone resume where others have gone on.
                await _send_part(send, f": alive\nid: {watch.revision}\n\n".encode())
            else:
                for piece in _encode(batch):
                    await _send_part(send, piece)
    except (Compacted, StoreError):
        # A client that reconnects gets 410 if its revision was compacted.
        return


async def _send_part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _encode(batch: EventBatch) -> Iterator[bytes]:
    """Yield the events of a batch in pieces, so that a slow client holds only one."""
    piece = b""
    for event in batch.events:
        entry = event.entry or event.previous
        try:
            record: dict[str, Any] = show(entry) if entry else {}
        except ValueError:
            continue
        if len(piece) > PIECE:
            yield piece + b"\n"
            piece = b""
        record["revision"] = batch.revision
        kind = b"delete" if event.entry is None else b"put"
        piece += b"%bevent: %b\ndata: %b\n" % (b"\n" if piece else b"", kind, to_json(record))
    yield piece + b"id: %d\n\n" % batch.revision
