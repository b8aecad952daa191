"""The life of a part of a running server: prepare, commit, run, stop, close."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from musterd.settings import Settings


async def _no_commit() -> None:
    pass


def _no_undo() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Prepared:
    """New settings that a service has accepted but does not use yet.

    Exactly one of the two is called. Neither may fail.
    """

    commit: Callable[[], Awaitable[None]] = _no_commit
    """Use the new settings."""
    undo: Callable[[], None] = _no_undo
    """Release what was prepared, because a later service has refused the settings."""


class Service(Protocol):
    """A part of a server that runs as long as the server does.

    A server starts its services in order, each with ``prepare`` and ``commit``, and then runs
    all of them. On a reload it prepares all services before it commits the first. It stops and
    closes them in reverse order.
    """

    async def prepare(self, new: Settings) -> Prepared:
        """Check new settings and open what they need. Raises MusterdError to refuse them.

        Nothing that runs changes before the commit.
        """

    async def run(self) -> None:
        """Work until stopped."""

    def stop(self) -> None:
        """Let ``run`` end, even if it has not begun."""

    async def close(self) -> None:
        """Release everything. Also called if the service was never prepared."""


class BasicService:
    """A service that accepts all settings and does nothing; the base of the others."""

    def __init__(self) -> None:
        """Create a service that is not stopped."""
        self.stopping = asyncio.Event()

    async def prepare(self, new: Settings) -> Prepared:
        """Accept the settings."""
        return Prepared()

    async def run(self) -> None:
        """Wait until stopped."""
        await self.stopping.wait()

    def stop(self) -> None:
        """Let ``run`` end."""
        self.stopping.set()

    async def close(self) -> None:
        """Do nothing."""


class TaskService(BasicService):
    """A service that runs one coroutine and stops by cancelling it."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Create the service. ``work`` runs until cancelled."""
        super().__init__()
        self._work = work

    async def run(self) -> None:
        """Work until stopped."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._work())
            await self.stopping.wait()
            task.cancel()
