"""Objects that ``async with`` closes."""

from types import TracebackType
from typing import Protocol, Self


class AsyncClosing(Protocol):
    """An object that is closed at the end of ``async with``."""

    async def close(self) -> None:
        """Release everything that is held."""

    async def __aenter__(self) -> Self:
        """Return the object itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the object."""
        await self.close()
