"""The HTTP API of a server.

Its modules take half a second to import, so they are imported only when the registered names are
answered.
"""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Final

import structlog

from musterd import __version__
from musterd.api.limits import ApiLimits
from musterd.registry.leases import LeaseService
from musterd.registry.registry import Registry
from musterd.server.connection import HttpLimits
from musterd.server.listener import HttpEndpoint, HttpService
from musterd.server.registry import RegistryService
from musterd.server.state import ServerState
from musterd.settings import Api, Settings

if TYPE_CHECKING:
    from musterd.api.context import Context
    from musterd.api.middleware import Middleware

LIMITS: Final = HttpLimits(max_connections=1000)
MAX_WAIT: Final = 2.0
"""Seconds after which the API is served even if registered names are not answered yet."""

log = structlog.get_logger()


class ApiService(HttpService):
    """Serves the API, if there is a registry."""

    def __init__(self, state: ServerState, registry: RegistryService) -> None:
        """Create the service. ``registry`` is prepared before it."""
        super().__init__(state.files)
        self._state = state
        self._registry = registry
        self._started = state.clock.time()
        self._settings = Api()
        self.limits = LIMITS
        self.api_limits = ApiLimits()
        self.context: Context | None = None
        """The context of the routes, once the API is built."""
        self._application: Middleware | None = None

    def endpoint(self, settings: Settings) -> HttpEndpoint | None:
        """Return where the API is served, or None for nowhere."""
        api = settings.api
        if not api.listen or self._state.store is None:
            return None
        return HttpEndpoint("api", api.listen, self.limits, api.hosts, api.tls_cert, api.tls_key)

    def committed(self, settings: Settings, address: str) -> None:
        """Use new settings."""
        self._settings = settings.api
        self._state.api_address = address
        self._state.certificate = None if self.listener is None else self.listener.certificate

    async def application(self) -> "Middleware":
        """Return the API, which is built when the registered names are answered."""
        if self._application is None:
            if self._state.applied is not None:
                await self._state.applied.synced(MAX_WAIT)
            # In a thread, so that the event loop goes on.
            await asyncio.to_thread(import_module, "musterd.api.app")
            self._application = self._application or self._build()
        return self._application

    def _build(self) -> "Middleware":
        from musterd.api.app import application  # noqa: PLC0415 - slow; see above
        from musterd.api.context import Context  # noqa: PLC0415
        from musterd.api.limits import Rate  # noqa: PLC0415

        state, registry = self._state, self._registry
        store, tokens, now = registry.store, registry.tokens, state.clock.time
        rate = Rate(lambda: self._settings.rate, state.clock.monotonic)
        self.context = Context(
            registry=Registry(store, registry.applied, now),
            servers=registry.servers,
            leases=LeaseService(store),
            tokens=tokens,
            catalog=state.catalog,
            core=state.core,
            settings=lambda: self._settings,
            listening=lambda: state.listening,
            clock=now,
            started=self._started,
            version=__version__,
            limits=self.api_limits,
            requests=state.api_requests,
            certificate_problems=state.certificate_problems,
        )
        return application(self.context, rate)
