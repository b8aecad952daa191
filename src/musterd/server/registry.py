"""The registry of a server and the API to it: opened, served, reloaded, closed.

What the API is made of takes half a second to import, so that is put off until the names that are
registered are answered.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

from musterd import __version__
from musterd._core import Core
from musterd.backoff import Backoff
from musterd.catalog import Catalog
from musterd.clock import Clock
from musterd.errors import MusterdError, StateError
from musterd.file_watch import FileWatch
from musterd.kv import Store
from musterd.log_once import FailureLog
from musterd.registry.applied import Applied
from musterd.registry.directory import Servers, Told
from musterd.registry.leases import Leases
from musterd.registry.names import parse_zone, zone_text
from musterd.registry.registry import Registry
from musterd.registry.tokens import Tokens, is_token, new_text
from musterd.server.certificate import Certificate
from musterd.server.http import HttpServer
from musterd.server.store import open_etcd, open_file
from musterd.settings import Api, Settings
from musterd.sources.registry import RegistrySource

if TYPE_CHECKING:
    from musterd.api.context import Context
    from musterd.api.limits import Rate
    from musterd.api.middleware import Gate

FILE: Final = "store.db"
TOKEN_FILE: Final = "token"  # noqa: S105 - its name, no secret
TOKEN_OCTETS: Final = 4096
"""The most that is read of a file for a token."""
CONNECTIONS: Final = 1000
"""HTTP connections at once; more are answered with 503."""
RETRY: Final = Backoff(0.5, 15.0)
"""Delays before a store that can't be read at first is tried again."""
LEAVE: Final = 1.0
"""Seconds in which the others are told that this server stops."""
LATE: Final = 2.0
"""Seconds after which the API is served though the registry isn't in answers yet."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API shows of a server. listening: the addresses on which DNS is answered now."""

    catalog: Catalog
    core: Core
    clock: Clock
    listening: Callable[[], Sequence[str]]


class Listener:
    """Where the API is served: an address, and a certificate if it has one."""

    def __init__(self, api: Api, old: "Listener | None" = None) -> None:
        """Listen; who comes waits. It may succeed one at the same address.

        Raises ListenError, SettingsError.
        """
        self.certificate: Certificate | None = None
        if api.tls_cert is not None and api.tls_key is not None:
            self.certificate = Certificate(api.tls_cert, api.tls_key)
        self.listen = api.listen
        self.http: HttpServer
        if old is not None and old.listen == api.listen:
            self.http = old.http.again()
        else:
            self.http = HttpServer(api.listen, "api", CONNECTIONS)

    async def run(self, application: Any, files: FileWatch) -> None:
        """Serve until stopped or cancelled."""
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


class Registering:
    """The registry of one server, and the API to it."""

    def __init__(self, store: Store, parts: Parts, settings: Settings) -> None:
        """Over an open store."""
        self.store = store
        self.applied = Applied()
        self.tokens = Tokens(store, parts.clock.time)
        self.listener: Listener | None = None
        self.servers: Servers | None = None
        """Who shares the store, if anybody can."""
        if settings.store.url:
            name = socket.gethostname()
            self.servers = Servers(store, parts.clock, name, __version__, self._told)
        self._parts = parts
        self._settings = settings
        self._started = parts.clock.time()
        self._context: Context | None = None
        self._rate: Rate | None = None
        self._application: Gate | None = None

    @classmethod
    async def open(cls, parts: Parts, settings: Settings) -> Self:
        """Open the store, see to the first token, and listen.

        A store elsewhere need not be there yet. Raises StoreError, StateError, ListenError,
        SettingsError.
        """
        store = await open_store(settings)
        registering = cls(store, parts, settings)
        try:
            registering.tokens.ready = False
            if not settings.store.url:
                await registering._prepare()
            registering.listener = bind(settings.api)
        except BaseException:
            await store.close()
            raise
        return registering

    @property
    def address(self) -> str:
        """Where the API is, empty if nowhere."""
        return "" if self.listener is None else self.listener.http.address

    def source(self, ttls: Mapping[str, int]) -> RegistrySource:
        """The registry as a source of zones with TTLs, in seconds."""
        seconds = {zone_text(parse_zone(name)): ttl for name, ttl in ttls.items()}
        return RegistrySource(self.store, self.applied, lambda zone: seconds.get(zone, 0))

    async def follow(self) -> None:
        """Know the tokens as they are in the store, and be known there, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_tokens())
            if self.servers is not None:
                group.create_task(self.servers.run())

    def _told(self) -> Told:
        """What the servers that share the store are told of this one."""
        addresses = [*self._parts.listening(), *filter(None, [self.address])]
        zones = [zone_text(apex) for apex in self._parts.catalog.zones]
        return Told(addresses, zones, self.applied.revision, self.applied.lag)

    async def _follow_tokens(self) -> None:
        retry = RETRY.start()
        outage = FailureLog("the store can't be read yet, the API answers 503")
        while not self.tokens.ready:
            try:
                await self._prepare()
            except MusterdError as error:
                outage.failed(str(error))
                await asyncio.sleep(retry.next())
        await self.tokens.run()

    async def _prepare(self) -> None:
        """Read the tokens, and have the first. Raises StoreError, StateError."""
        await self.tokens.load()
        await self._see_to_first_token()
        self.tokens.ready = True

    async def run(self, files: FileWatch) -> None:
        """Serve the API on the present listener until that is stopped."""
        listener = self.listener
        if listener is not None:
            if self._application is None:
                await self.applied.synced(LATE)
                # In a thread, as who asks for names must not wait for it.
                await asyncio.to_thread(import_module, "musterd.api.app")
                self._application = self._application or self._build()
            await listener.run(self._application, files)

    def take(self, settings: Settings, listener: Listener | None) -> None:
        """Go on with new settings, and perhaps another listener; the old one is stopped."""
        if listener is not self.listener:
            self.stop()
            self.listener = listener
        self._settings = settings
        if self._context is not None and self._rate is not None:
            self._context.settings = settings
            self._rate.limit = settings.api.rate

    def stop(self) -> None:
        """Let ``run`` end."""
        if self.listener is not None:
            self.listener.http.stop()

    async def close(self) -> None:
        """Let go of the store and the address."""
        if self.listener is not None:
            self.listener.http.close()
        if self.servers is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE):
                    await self.servers.leave()
        await self.store.close()

    def _build(self) -> "Gate":
        from musterd.api.app import application  # noqa: PLC0415 - heavy; see above
        from musterd.api.context import Context  # noqa: PLC0415
        from musterd.api.limits import Rate  # noqa: PLC0415

        parts, now = self._parts, self._parts.clock.time
        self._rate = Rate(parts.clock.monotonic)
        self._rate.limit = self._settings.api.rate
        self._context = Context(
            registry=Registry(self.store, self.applied, now),
            servers=self.servers,
            leases=Leases(self.store),
            tokens=self.tokens,
            catalog=parts.catalog,
            core=parts.core,
            settings=self._settings,
            listening=parts.listening,
            clock=now,
            started=self._started,
            version=__version__,
        )
        return application(self._context, self._rate)

    async def _see_to_first_token(self) -> None:
        """Have a token to begin with: that of the settings, else one that a file has or gets.

        Where servers that share a store begin with it together, each may make one.
        """
        api, folder = self._settings.api, self._settings.state.dir
        path = api.first_token_file or (folder and folder / TOKEN_FILE)
        if api.first_token is not None:
            await self.tokens.ensure_first(api.first_token.get_secret_value())
        elif not len(self.tokens) and path:
            text = await asyncio.to_thread(_first_token, path)
            await self.tokens.ensure_first(text)
            log.info("the first credential, which may do all, is in a file", file=_normal(path))


async def open_store(settings: Settings) -> Store:
    """The store that the settings say. Raises StoreError."""
    where, folder = settings.store, settings.state.dir
    if where.url or folder is None:
        if where.bare:
            log.warning("the password of etcd crosses the network in plain text: set [store] ca")
        return await open_etcd(where)
    return await open_file(folder / FILE)


def bind(api: Api, old: Listener | None = None) -> Listener | None:
    """Listen as the settings say, after an old listener. Raises ListenError, SettingsError."""
    return Listener(api, old) if api.listen else None


def _normal(path: Path) -> str:
    return os.path.normpath(path)


def _first_token(path: Path) -> str:
    """The token in a file, which is made if it is not there. Raises StateError."""
    try:
        with suppress(FileNotFoundError), path.open("rb") as file:
            text = file.read(TOKEN_OCTETS).decode("ascii", "replace").strip()
            if not is_token(text):
                raise StateError(f"{path}: holds no token: remove it, and a new one is written")
            return text
        return _new_token(path)
    except OSError as error:
        raise StateError(
            f"{path}: the first token can't be kept there: {error.strerror}; set [api] "
            "first_token_file to another file, or give it as MUSTERD_API__FIRST_TOKEN"
        ) from error


def _new_token(path: Path) -> str:
    """Write a new token to a file that only its owner may read. Raises OSError."""
    text = new_text()
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())
    beside.rename(path)
    return text
