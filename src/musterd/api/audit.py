"""Who wrote what: one line of the log for each write."""

import asyncio
from typing import Final

from musterd import log
from musterd.registry.tokens import Token

_EVENT: Final = "write"


class Audit:
    """Notes writes; the lines of one turn of the event loop go out together."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._waiting: list[tuple[str, dict[str, str | int]]] = []

    def wrote(self, token: Token, action: str, what: str, revision: int | None) -> None:
        """Note a write that was kept. what: the key, or how many; revision: of its records."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._tell)
        fields: dict[str, str | int] = {"action": action, "what": what, "who": token.name}
        if revision is not None:
            fields["revision"] = revision
        self._waiting.append((_EVENT, fields))

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        log.lines(waiting)
