"""The registry of a server: its store, its tokens, and the servers that share the store."""

import asyncio
import socket
from contextlib import suppress
from typing import Final

import structlog

from musterd import __version__
from musterd.backoff import Backoff
from musterd.errors import MusterdError
from musterd.kv import Store
from musterd.log_once import FailureLog
from musterd.registry.applied import Applied
from musterd.registry.directory import ServerDirectory, ServerReport
from musterd.registry.names import zone_text
from musterd.registry.tokens import Tokens
from musterd.server.first_token import bootstrap_token
from musterd.server.service import BasicService, Prepared
from musterd.server.state import ServerState
from musterd.server.store import open_store
from musterd.settings import Settings

RETRY: Final = Backoff(0.5, 15.0)
"""Delays before a store that cannot be read at first is tried again."""
MAX_LEAVE: Final = 1.0
"""Seconds in which the other servers are informed that this one stops."""

log = structlog.get_logger()


class RegistryService(BasicService):
    """Opens the store of the registry, if the settings have one, and follows its tokens."""

    store: Store
    tokens: Tokens

    def __init__(self, state: ServerState) -> None:
        """Create the service; nothing is opened yet."""
        super().__init__()
        self.applied = Applied()
        self.servers: ServerDirectory | None = None
        """The servers that share the store, None if no other can."""
        self._state = state
        self._settings: Settings | None = None

    async def prepare(self, new: Settings) -> Prepared:
        """Open the store and provide the first token; a reload changes neither.

        A remote store need not be available yet. Raises StoreError, StateError.
        """
        if self._settings is None:
            self._settings = new
            if new.keeps:
                await self._open(new)
            elif new.api.listen:
                log.warning("registry and API off: neither [state] dir nor [store] url is set")
        return Prepared()

    async def _open(self, settings: Settings) -> None:
        state = self._state
        self.store = state.store = await open_store(settings)
        state.applied = self.applied
        self.tokens = Tokens(self.store, state.clock.time)
        self.tokens.ready = False
        if settings.store.url:
            name = socket.gethostname()
            self.servers = ServerDirectory(
                self.store, state.clock, name, __version__, self._describe
            )
        else:
            await self._prepare_tokens(settings)

    def _describe(self) -> ServerReport:
        """Return the report about this server for the others that share the store."""
        state = self._state
        addresses = [*state.listening, *filter(None, [state.api_address])]
        zones = [zone_text(apex) for apex in state.catalog.zones]
        return ServerReport(addresses, zones, self.applied.revision, self.applied.lag)

    async def run(self) -> None:
        """Follow the tokens in the store, and keep this server known there, until stopped."""
        tasks = []
        async with asyncio.TaskGroup() as group:
            if self._state.store is not None and self._settings is not None:
                tasks.append(group.create_task(self._follow_tokens(self._settings)))
            if self.servers is not None:
                tasks.append(group.create_task(self.servers.run()))
            await self.stopping.wait()
            for task in tasks:
                task.cancel()

    async def _follow_tokens(self, settings: Settings) -> None:
        retry = RETRY.start()
        failures = FailureLog("store not readable yet, the API answers 503")
        while not self.tokens.ready:
            try:
                await self._prepare_tokens(settings)
            except MusterdError as error:
                failures.failed(str(error))
                await asyncio.sleep(retry.next())
        await self.tokens.run()

    async def _prepare_tokens(self, settings: Settings) -> None:
        """Read the tokens, and provide the first. Raises StoreError, StateError."""
        await self.tokens.load()
        await bootstrap_token(self.tokens, settings)
        self.tokens.ready = True

    async def close(self) -> None:
        """Inform the other servers, and close the store."""
        if self.servers is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(MAX_LEAVE):
                    await self.servers.leave()
        if self._state.store is not None:
            await self.store.close()
