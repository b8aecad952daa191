"""Services that report queries to a consumer, from a thread of the core."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

import dns.rcode
import structlog

from musterd._core import Core, Feed
from musterd.errors import MusterdError
from musterd.rr.names import name_from_text
from musterd.server.service import BasicService, Prepared
from musterd.settings import Dnstap, QueryLog, Settings

CHECKED_EVERY: Final = 1.0
"""Seconds between looks at the problem of a feed."""
LAST_REPORTS: Final = 1.0
"""Seconds that a stop waits for the last reports."""

log = structlog.get_logger()


class Selection(NamedTuple):
    """The queries that a feed gets, as ``Feed`` takes them."""

    sample: float
    names: list[bytes]
    clients: tuple[str, ...]
    rcodes: list[int]

    @classmethod
    def of(cls, section: QueryLog | Dnstap) -> "Selection":
        """Return the selection of a section of the settings."""
        return cls(
            section.sample,
            [name_from_text(name) for name in section.names],
            section.clients,
            [int(dns.rcode.from_text(text)) for text in section.rcodes],
        )


class FeedService(BasicService, ABC):
    """Reports the queries that its settings select, if they select any."""

    noun: str
    """Name of the service in the log."""

    def __init__(self, core: Core) -> None:
        """Create the service; nothing is opened yet."""
        super().__init__()
        self._core = core
        self._feed: Feed | None = None
        self._settings: Settings | None = None
        self._problem = ""

    @abstractmethod
    def open(self, settings: Settings) -> Feed | None:
        """Return a feed that gets no queries yet, or None for none. Raises MusterdError."""

    async def prepare(self, new: Settings) -> Prepared:
        """Open the new feed, also if it is equal to the present one. Raises MusterdError."""
        feed = self._start(new)
        return Prepared(partial(self._commit, new, feed), partial(_close, feed))

    async def _commit(self, new: Settings, feed: Feed | None) -> None:
        self._settings = new
        self._use(feed)

    def reopen(self) -> None:
        """Open the feed again; keep the present one if that fails."""
        if self._settings is None:
            return
        try:
            self._use(self._start(self._settings))
        except MusterdError as error:
            log.warning(f"{self.noun} not reopened, keeping the previous one", problem=str(error))

    async def run(self) -> None:
        """Log when queries can't be reported, and when they can again, until stopped."""
        while not self.stopping.is_set():
            self._log_problem()
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECKED_EVERY):
                    await self.stopping.wait()

    def _log_problem(self) -> None:
        if self._feed is None:
            self._problem = ""
            return
        problem = self._feed.problem()
        if problem is None:
            # Nothing is known of a new feed; that of the previous one remains.
            return
        if problem and problem != self._problem:
            log.error(f"{self.noun} can't be written, queries are missing", problem=problem)
        elif self._problem and not problem:
            log.info(f"{self.noun} is written again")
        self._problem = problem

    async def close(self) -> None:
        """Write the last reports, unless the consumer is slow."""
        feed, self._feed = self._feed, None
        self._core.tap(feed, None)
        if feed is not None:
            await asyncio.to_thread(feed.close, LAST_REPORTS)

    def _start(self, settings: Settings) -> Feed | None:
        try:
            return self.open(settings)
        except (OSError, ValueError) as error:
            raise MusterdError(f"{self.noun} can't be started: {error}") from error

    def _use(self, feed: Feed | None) -> None:
        """Report queries to a feed, and close the previous one."""
        old, self._feed = self._feed, feed
        self._core.tap(old, feed)
        _close(old)


def _close(feed: Feed | None) -> None:
    """Let a feed end without waiting for it."""
    if feed is not None:
        feed.close(0)
