"""The log of a server, which a reload opens again."""

from functools import partial
from logging import Handler

import structlog

from musterd import log
from musterd.errors import MusterdError
from musterd.server.service import BasicService, Prepared
from musterd.settings import Log, Settings

logger = structlog.get_logger()


class LogService(BasicService):
    """Moves the log to the file in new settings. ``serve`` opens it first."""

    _settings: Log | None = None

    async def prepare(self, new: Settings) -> Prepared:
        """Open the log file, also if it is the same one. Raises MusterdError."""
        if self._settings is None:
            self._settings = new.log
            return Prepared()
        handler = log.open_handler(new.log)
        return Prepared(partial(self._commit, new.log, handler), handler.close)

    async def _commit(self, new: Log, handler: Handler) -> None:
        log.install(new, handler)
        self._settings = new

    def reopen(self) -> None:
        """Open the log file again, after it was moved away; keep the present one if that fails."""
        if self._settings is None:
            return
        try:
            log.setup(self._settings)
        except MusterdError as error:
            logger.warning("log not reopened, keeping the previous one", problem=str(error))
