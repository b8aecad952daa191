"""Serving an application over HTTP at the address in the settings, across reloads."""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from musterd.file_watch import FileWatch
from musterd.server.certificate import Certificate
from musterd.server.connection import HttpLimits
from musterd.server.http import HttpServer
from musterd.server.request_head import RequestHead
from musterd.server.service import BasicService, Prepared
from musterd.settings import Settings


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """The place at which an application is served.

    section: of the settings, for error messages; hosts: names of the server.
    """

    section: str
    listen: str
    limits: HttpLimits
    hosts: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None


class Listener:
    """An open HTTP address, with its certificate if it has one."""

    def __init__(self, endpoint: HttpEndpoint, old: "Listener | None" = None) -> None:
        """Listen; connections wait for ``run``. Raises ListenError, SettingsError.

        old: the listener to be replaced, which may have the same address.
        """
        self.endpoint = endpoint
        self.certificate: Certificate | None = None
        if endpoint.tls_cert is not None and endpoint.tls_key is not None:
            self.certificate = Certificate(endpoint.tls_cert, endpoint.tls_key)
        self.http: HttpServer
        if old is not None and old.endpoint.listen == endpoint.listen:
            self.http = old.http.successor()
        else:
            self.http = HttpServer(endpoint.listen, endpoint.section, endpoint.limits)

    async def run(self, application: Any, files: FileWatch) -> None:
        """Serve until stopped or cancelled."""
        application = RequestHead(application, self.endpoint.hosts)
        certificate = self.certificate
        if certificate is None:
            await self.http.run(application)
            return
        following = asyncio.create_task(certificate.follow(files))
        try:
            await self.http.run(application, certificate.context)
        finally:
            following.cancel()
            await asyncio.wait([following])


class HttpService(BasicService, ABC):
    """Serves one application over HTTP. A reload may move it to another address."""

    def __init__(self, files: FileWatch) -> None:
        """Create the service; nothing is opened yet."""
        super().__init__()
        self.listener: Listener | None = None
        self._files = files
        self._group: asyncio.TaskGroup | None = None

    @abstractmethod
    def endpoint(self, settings: Settings) -> HttpEndpoint | None:
        """Return where to serve, or None for nowhere."""

    @abstractmethod
    async def application(self) -> Any:
        """Return the ASGI application."""

    @abstractmethod
    def committed(self, settings: Settings, address: str) -> None:
        """Use new settings. address: where the application is served, or empty."""

    async def prepare(self, new: Settings) -> Prepared:
        """Listen on the new address. Raises ListenError, SettingsError."""
        endpoint, old = self.endpoint(new), self.listener
        if endpoint == (old.endpoint if old is not None else None):
            return Prepared(partial(self._commit, new, old))
        if endpoint is None:
            return Prepared(partial(self._commit, new, None))
        listener = Listener(endpoint, old)
        return Prepared(partial(self._commit, new, listener), listener.http.close)

    async def _commit(self, new: Settings, listener: Listener | None) -> None:
        old, self.listener = self.listener, listener
        self.committed(new, "" if listener is None else listener.http.address)
        if listener is not old:
            if old is not None:
                old.http.stop()
            self._start()

    async def run(self) -> None:
        """Serve until stopped; requests in progress may then end."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start()
            await self.stopping.wait()
            self._group = None
            if self.listener is not None:
                self.listener.http.stop()

    def _start(self) -> None:
        if self._group is not None and self.listener is not None:
            self._group.create_task(self._serve(self.listener))

    async def _serve(self, listener: Listener) -> None:
        await listener.run(await self.application(), self._files)

    async def close(self) -> None:
        """Close the address."""
        if self.listener is not None:
            self.listener.http.close()
