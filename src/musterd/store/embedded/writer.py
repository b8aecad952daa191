"""The one thread that writes, and what is written together.

All requests of one turn of the loop are handed over at once, and all that wait become one commit:
that is what makes thousands of safe writes a second possible. Only the thread touches the
database; only the loop touches futures, counts and the hub of the watches.
"""

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from musterd.clock import Clock
from musterd.kv.errors import StoreBusy, StoreError, StoreUnavailable
from musterd.kv.values import EventBatch
from musterd.store.embedded.changes import ChangeLog
from musterd.store.embedded.database import translate
from musterd.store.embedded.options import EmbeddedOptions

_GROUP: Final = 500
"""Requests in a commit at most, so that the first doesn't wait long for the last."""


T = TypeVar("T")


class _Request(NamedTuple):
    apply: Callable[[ChangeLog], object]
    octets: int
    future: asyncio.Future[Any]


class _Outcome(NamedTuple):
    """What became of a group: what it changed, and for each request its result or error."""

    batches: list[EventBatch]
    compacted: int
    answers: list[tuple[_Request, object]]


class Writer:
    """Applies requests in the order in which they were submitted."""

    def __init__(
        self,
        path: Path,
        changes: ChangeLog,
        options: EmbeddedOptions,
        clock: Clock,
        publish: Callable[[list[EventBatch], int], None],
    ) -> None:
        """Start its thread.

        publish: is called in the loop with what was committed and the last revision whose events
        are forgotten, before the requests are answered.
        """
        self._path = path
        self._changes = changes
        self._inode = os.stat(path).st_ino
        self._options = options
        self._clock = clock
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._turn: list[_Request] = []
        self._inbox: queue.SimpleQueue[list[_Request] | None] = queue.SimpleQueue()
        self._waiting = self._waiting_octets = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="musterd-store", daemon=True)
        self._thread.start()

    def submit(self, apply: Callable[[ChangeLog], T], octets: int = 0) -> asyncio.Future[T]:
        """What a change returns, once it is on disk. Raises StoreBusy, StoreUnavailable."""
        if self._closed:
            raise StoreUnavailable(f"{self._path}: the store is closed")
        full = self._waiting >= self._options.pending
        if full or self._waiting_octets + octets > self._options.pending_octets:
            raise StoreBusy(
                f"{self._path}: {self._waiting} writes of {self._waiting_octets} octets wait"
                " already: ask again later"
            )
        if not self._turn:
            self._loop.call_soon(self._hand_over)
        request = _Request(apply, octets, self._loop.create_future())
        self._turn.append(request)
        self._waiting += 1
        self._waiting_octets += octets
        return request.future

    async def close(self) -> None:
        """Write what was submitted, and take no more; once."""
        self._closed = True
        self._hand_over()
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        if self._turn:
            self._inbox.put(self._turn)
            self._turn = []

    def _answer(self, outcome: _Outcome) -> None:
        """In the loop: tell what was committed."""
        self._publish(outcome.batches, outcome.compacted)
        for request, answer in outcome.answers:
            self._waiting -= 1
            self._waiting_octets -= request.octets
            if request.future.done():
                continue
            if isinstance(answer, Exception):
                request.future.set_exception(answer)
            else:
                request.future.set_result(answer)

    def _run(self) -> None:
        """The thread."""
        open_ = True
        while open_:
            turns = self._take()
            open_ = None not in turns
            requests = [request for turn in turns if turn for request in turn]
            for start in range(0, len(requests), _GROUP):
                outcome = self._group(requests[start : start + _GROUP])
                # Where the loop was closed without the store, there is nobody left to tell.
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._answer, outcome)

    def _take(self) -> list[list[_Request] | None]:
        """All that waits, at least one turn; None is the end."""
        turns = [self._inbox.get()]
        while not self._inbox.empty():
            turns.append(self._inbox.get())
        return turns

    def _group(self, requests: Sequence[_Request]) -> _Outcome:
        """Commit requests together: all that can be done, or none where the disk fails."""
        changes = self._changes
        try:
            self._still_there()
            changes.begin(self._clock.time())
            answers: list[tuple[_Request, object]]
            answers = [(request, self._apply(request)) for request in requests]
            changes.commit()
        except sqlite3.Error as error:
            self._roll_back()
            answers = [(request, translate(error, self._path)) for request in requests]
        except Exception as error:
            self._roll_back()
            answers = [(request, error) for request in requests]
        return _Outcome(changes.batches, changes.compacted, answers)

    def _apply(self, request: _Request) -> object:
        try:
            return request.apply(self._changes)
        except StoreError as error:
            return error

    def _roll_back(self) -> None:
        # Where it fails, the next begin() does too, and tells why.
        with contextlib.suppress(sqlite3.Error):
            self._changes.rollback()

    def _still_there(self) -> None:
        """A file that was removed while open takes writes, and loses them."""
        try:
            same = os.stat(self._path).st_ino == self._inode
        except OSError:
            same = False
        if not same:
            raise StoreUnavailable(f"{self._path}: was removed or replaced: restart musterd")
