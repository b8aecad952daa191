"""The query log of a server, which a reload opens again."""

import asyncio
import os
import stat
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import dns.rcode
import structlog

from musterd._core import Core, Feed
from musterd.errors import MusterdError
from musterd.rr.names import name_from_text
from musterd.server.service import BasicService, Prepared
from musterd.settings import QueryLog, Settings

CHECKED_EVERY: Final = 1.0
"""Seconds between looks at the problem of a feed."""
LAST_LINES: Final = 1.0
"""Seconds that a stop waits for the last lines, which a slow disk may take."""
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

log = structlog.get_logger()


class QueryLogService(BasicService):
    """Writes the queries that ``[query_log]`` selects. The core does so in a thread of its own."""

    def __init__(self, core: Core) -> None:
        """Create the service; nothing is opened yet."""
        super().__init__()
        self._core = core
        self._feed: Feed | None = None
        self._settings: QueryLog | None = None
        self._problem = ""

    async def prepare(self, new: Settings) -> Prepared:
        """Open the file, also if it is the same one. Raises MusterdError."""
        feed = self._open(new.query_log)
        return Prepared(partial(self._commit, new.query_log, feed), partial(_close, feed))

    async def _commit(self, new: QueryLog, feed: Feed | None) -> None:
        self._settings = new
        self._use(feed)

    def reopen(self) -> None:
        """Open the file again, after it was moved away; keep the present one if that fails."""
        if self._settings is None:
            return
        try:
            self._use(self._open(self._settings))
        except MusterdError as error:
            log.warning("query log not reopened, keeping the previous one", problem=str(error))

    async def run(self) -> None:
        """Log when the query log can't be written, and when it can again, until stopped."""
        while not self.stopping.is_set():
            self._report_problem()
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECKED_EVERY):
                    await self.stopping.wait()

    def _report_problem(self) -> None:
        problem = self._feed.problem() if self._feed else ""
        if problem and not self._problem:
            log.error("query log can't be written, queries are missing", problem=problem)
        elif self._problem and not problem:
            log.info("query log is written again")
        self._problem = problem

    async def close(self) -> None:
        """Write the last lines, unless the disk is slow."""
        feed, self._feed = self._feed, None
        self._core.tap(feed, None)
        if feed is not None:
            await asyncio.to_thread(feed.close, LAST_LINES)

    def _open(self, settings: QueryLog) -> Feed | None:
        """Return a feed that gets no queries yet, or None if the log is off."""
        if not settings.enabled:
            return None
        names = [name_from_text(name) for name in settings.names]
        rcodes = [int(dns.rcode.from_text(text)) for text in settings.rcodes]
        descriptor = _descriptor(settings.file)
        try:
            return Feed.query_log(
                self._core, descriptor, settings.sample, names, settings.clients, rcodes
            )
        except (OSError, ValueError) as error:
            raise MusterdError(f"the query log can't be started: {error}") from error

    def _use(self, feed: Feed | None) -> None:
        """Report queries to a feed, and close the previous one."""
        old, self._feed = self._feed, feed
        self._core.tap(old, feed)
        _close(old)


def _close(feed: Feed | None) -> None:
    """Let a feed end without waiting for it."""
    if feed is not None:
        feed.close(0)


def _descriptor(path: Path | None) -> int:
    """Return a descriptor of the file, or of standard output. Raises MusterdError."""
    try:
        if path is None:
            return os.dup(sys.__stdout__.fileno() if sys.__stdout__ else 1)
        # Not blocking: a pipe without a reader would hold up the start.
        descriptor = os.open(path, _FLAGS, 0o640)
    except OSError as error:
        where = path or "standard output"
        text = f"{where}: can't be opened: {error.strerror}; set [query_log] file to another"
        raise MusterdError(text) from error
    os.set_blocking(descriptor, True)
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if stat.S_ISREG(os.fstat(descriptor).st_mode) and mode & stat.S_IRWXO:
        log.warning(
            f"query log can be used by others: run chmod {mode & ~stat.S_IRWXO:o}",
            path=str(path), mode=f"{mode:o}",
        )  # fmt: skip
    return descriptor
