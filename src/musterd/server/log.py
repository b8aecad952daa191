"""The log of a server, which a reload opens again."""

from functools import partial
from logging import Handler

from musterd import log
from musterd.server.service import BasicService, Prepared
from musterd.settings import Settings


class LogService(BasicService):
    """Moves the log to where new settings say. ``serve`` opens it first."""

    _started = False

    async def prepare(self, new: Settings) -> Prepared:
        """Open the log file, also if it is the same one. Raises MusterdError."""
        if not self._started:
            self._started = True
            return Prepared()
        handler = log.open_handler(new.log)
        return Prepared(partial(self._commit, new, handler), handler.close)

    async def _commit(self, new: Settings, handler: Handler) -> None:
        log.install(new.log, handler)
