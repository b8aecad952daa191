"""The query log of a server, which a reload opens again."""

import os
import stat
import sys
from pathlib import Path
from typing import Final

import structlog

from musterd._core import Feed
from musterd.errors import MusterdError
from musterd.server.feed import FeedService, Selection
from musterd.settings import Settings

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

log = structlog.get_logger()


class QueryLogService(FeedService):
    """Writes the queries that ``[query_log]`` selects. The core does so in a thread of its own."""

    noun = "query log"

    def open(self, settings: Settings) -> Feed | None:
        """Open the file. Raises MusterdError, OSError or ValueError."""
        section = settings.query_log
        if not section.enabled:
            return None
        return Feed.query_log(self._core, _descriptor(section.file), *Selection.of(section))


def _descriptor(path: Path | None) -> int:
    """Return a descriptor of the file, or of standard output. Raises MusterdError."""
    if path is None and sys.__stdout__ is None:
        # Its number may be that of another file by now.
        raise MusterdError("standard output is closed; set [query_log] file")
    try:
        if path is None:
            return os.dup(1)
        # Not blocking: a pipe without a reader would hold up the start.
        descriptor = os.open(path, _FLAGS, 0o640)
    except OSError as error:
        where = path or "standard output"
        text = f"{where}: can't be opened: {error.strerror}; set [query_log] file to another"
        raise MusterdError(text) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) and mode & stat.S_IRWXO:
        allowed = stat.S_IMODE(mode)
        log.warning(
            f"other users can access the query log: run chmod {allowed & ~stat.S_IRWXO:o}",
            path=os.readlink(f"/proc/self/fd/{descriptor}"), mode=f"{allowed:o}",
        )  # fmt: skip
    return descriptor
