"""Writer thread, with group commit.

All requests of one loop iteration are handed over at once, and all waiting requests become one
commit: this makes thousands of durable writes a second possible. Only the thread touches the
database; only the loop touches futures, counts and the hub of the watches.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from musterd.clock import Clock
from musterd.kv.errors import StoreBusy, StoreError, StoreUnavailable, StoreUncertain
from musterd.kv.values import EventBatch
from musterd.log_once import FailureLog
from musterd.store.embedded.changes import ChangeLog
from musterd.store.embedded.checksums import DamagedRow
from musterd.store.embedded.database import FAILURES, translate
from musterd.store.embedded.files import Files
from musterd.store.embedded.options import EmbeddedOptions

_GROUP: Final = 500
"""Maximum requests in a commit, so that the first doesn't wait long for the last."""


_CHECK: Final = 1.0
"""Seconds between two checks of the files while there is nothing to write."""

T = TypeVar("T")


class _Request(NamedTuple):
    apply: Callable[[ChangeLog], object]
    size: int
    future: asyncio.Future[Any]


class _Outcome(NamedTuple):
    """Outcome of a group: its changes, and the result or error of each request."""

    batches: list[EventBatch]
    compacted: int
    answers: list[tuple[_Request, object]]


class Writer:
    """Applies requests in the order of their submission."""

    def __init__(
        self,
        files: Files,
        changes: ChangeLog,
        options: EmbeddedOptions,
        clock: Clock,
        publish: Callable[[list[EventBatch], int], None],
    ) -> None:
        """Start the thread.

        publish: called in the loop with the committed changes and the last revision whose events
        are removed, before the requests are answered.
        """
        self._path = files.path
        self._changes = changes
        self._files = files
        self.problem: str | None = None
        """Reason why the last write failed, or the next would; None if there is none."""
        self.damage: str | None = None
        """First damage found, None if there is none."""
        self._lost = False
        self._failures = FailureLog("store can't be written")
        self._options = options
        self._clock = clock
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._turn: list[_Request] = []
        self._inbox: queue.SimpleQueue[list[_Request] | None] = queue.SimpleQueue()
        self._waiting = self._waiting_bytes = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="musterd-store", daemon=True)
        self._thread.start()

    def submit(self, apply: Callable[[ChangeLog], T], size: int = 0) -> asyncio.Future[T]:
        """Submit a change and return a future, done once the change is on disk.

        Raises StoreBusy, StoreUnavailable.
        """
        if self._closed:
            raise StoreUnavailable(f"{self._path}: the store is closed")
        full = self._waiting >= self._options.pending
        if full or self._waiting_bytes + size > self._options.pending_bytes:
            raise StoreBusy(
                f"{self._path}: {self._waiting} writes of {self._waiting_bytes} bytes are"
                " pending: retry later"
            )
        if not self._turn:
            self._loop.call_soon(self._hand_over)
        request = _Request(apply, size, self._loop.create_future())
        self._turn.append(request)
        self._waiting += 1
        self._waiting_bytes += size
        return request.future

    async def close(self) -> None:
        """Write all submitted requests and accept no more; call once."""
        self._closed = True
        self._hand_over()
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        if self._turn:
            self._inbox.put(self._turn)
            self._turn = []

    def _answer(self, outcome: _Outcome) -> None:
        """Publish a group and answer its requests; runs in the loop."""
        self._publish(outcome.batches, outcome.compacted)
        for request, answer in outcome.answers:
            self._waiting -= 1
            self._waiting_bytes -= request.size
            if request.future.done():
                continue
            if isinstance(answer, Exception):
                request.future.set_exception(answer)
            else:
                request.future.set_result(answer)

    def _run(self) -> None:
        """Run the thread."""
        open_ = True
        while open_:
            turns = self._take()
            open_ = None not in turns
            requests = [request for turn in turns if turn for request in turn]
            for start in range(0, len(requests), _GROUP):
                outcome = self._group(requests[start : start + _GROUP])
                # The loop may have been closed without closing the store.
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._answer, outcome)

    def _take(self) -> list[list[_Request] | None]:
        """Return all waiting turns, at least one; None marks the end."""
        turns: list[list[_Request] | None] = []
        while not turns:
            try:
                turns.append(self._inbox.get(timeout=_CHECK))
            except queue.Empty:
                self._look_around()
        while not self._inbox.empty():
            turns.append(self._inbox.get())
        return turns

    def _group(self, requests: Sequence[_Request]) -> _Outcome:
        """Commit requests together: all valid ones, or none if the disk fails."""
        changes = self._changes
        answers: list[tuple[_Request, object]]
        try:
            self._files.check()
            changes.begin(self._clock.time())
            answers = [(request, self._apply(request)) for request in requests]
            changes.commit()
        except FAILURES as error:
            self._roll_back()
            return self._failed(requests, translate(error, self._path))
        except Exception as error:
            # An unexpected error is passed to the waiting requests; the thread goes on.
            self._roll_back()
            return self._failed(requests, error)
        try:
            self._files.committed(changes.kept)
        except StoreUnavailable as error:
            outcome = self._failed(requests, StoreUncertain(str(error)))
            return outcome._replace(batches=changes.batches)
        self.problem = None
        if changes.damage:
            self._damaged(changes.damage)
        return _Outcome(changes.batches, changes.compacted, answers)

    def _failed(self, requests: Sequence[_Request], error: Exception) -> _Outcome:
        self._report(str(error))
        return _Outcome([], self._changes.compacted, [(request, error) for request in requests])

    def _report(self, problem: str) -> None:
        self.problem = problem
        self._failures.failed(problem)

    def _look_around(self) -> None:
        """Check the files while there is nothing to write."""
        try:
            self._files.check()
        except StoreUnavailable as error:
            self._lost = True
            self._report(str(error))
        else:
            if self._lost:
                self.problem = None
            self._lost = False

    def _apply(self, request: _Request) -> object:
        try:
            return request.apply(self._changes)
        except StoreError as error:
            return error
        except DamagedRow as error:
            return self._damaged(error)

    def _damaged(self, error: DamagedRow) -> StoreError:
        found = translate(error, self._path)
        if self.damage is None:
            self.damage = str(found)
            self._failures.failed(self.damage)
        return found

    def _roll_back(self) -> None:
        # If this fails, the next begin() fails too, and reports the reason.
        with contextlib.suppress(sqlite3.Error):
            self._changes.rollback()
