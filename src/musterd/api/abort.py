"""Closing the connection of an incomplete response."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

ABORT: Final = "musterd.abort"
"""Key in the extensions of a scope: a function that closes the connection at once."""


async def abort(scope: Mapping[str, Any], receive: Callable[[], Awaitable[Any]]) -> None:
    """Close the connection, so that the client notices that the response is cut off."""
    close = scope.get("extensions", {}).get(ABORT)
    if close is not None:
        close()
        while (await receive())["type"] != "http.disconnect":
            pass
