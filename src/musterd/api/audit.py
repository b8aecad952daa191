"""Audit log: one line for each write."""

import asyncio
from typing import Final

from musterd import log
from musterd.registry.tokens import Token

_EVENT: Final = "write"


class Audit:
    """Logs writes; the lines of one iteration of the event loop are written together."""

    def __init__(self) -> None:
        """Create an empty log."""
        self._waiting: list[tuple[str, dict[str, str | int]]] = []

    def wrote(self, token: Token, action: str, what: str, revision: int | None) -> None:
        """Log a successful write. what: its key, or the number of records."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        fields: dict[str, str | int] = {"action": action, "what": what, "who": token.name}
        if revision is not None:
            fields["revision"] = revision
        self._waiting.append((_EVENT, fields))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        log.lines(waiting)
