"""Builds the parts of a running server and ties them together.

::

    settings ──▶ sources ──▶ feeders ──▶ catalog ──▶ core ◀──▶ clients
                                │
                            snapshots

The loop owns everything but the core's workers; what blocks is done in threads.
"""

import asyncio
import gc
import hashlib
import json
import os
import signal
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from musterd import log as logs
from musterd._core import Core, read_zone
from musterd.catalog import Catalog
from musterd.clock import BootClock
from musterd.errors import ListenError, MusterdError, SettingsError
from musterd.etcd import EtcdOptions
from musterd.file_watch import FileWatch
from musterd.rr.names import fold, name_from_text
from musterd.server.heartbeat import Heartbeat
from musterd.server.http import HttpServer
from musterd.server.metrics import CONNECTIONS, Running, app
from musterd.server.registry import Listener, Parts, Registering, bind
from musterd.server.snapshots import Snapshots, open_folder
from musterd.server.source_runner import Feeder
from musterd.settings import (
    Dns,
    EtcdSettings,
    RegistrySettings,
    Settings,
    SourceSettings,
    ZoneFileSettings,
)
from musterd.settings.watch import Watcher, refused
from musterd.sources import Source, etcd, zonefile

SNAPSHOT_PERIOD: Final = 60.0
"""Seconds between two looks for what must be written to the state directory."""
SHOWN: Final = 20
"""Zones that are named in a line of the log."""
LOADING_MOST: Final = 30.0
"""Seconds after which the workers come first, loaded or not."""
NICENESS: Final = 10
"""Of the event loop and its threads: the workers, which answer, come first."""
YOUNG: Final = 20_000
"""Objects after which the garbage collector looks at the new ones. A write leaves no cycles, so to
look more often finds nothing; this many take it a millisecond or so."""

log = structlog.get_logger()


async def serve(settings_path: Path) -> None:
    """Run a server until SIGTERM or SIGINT; SIGHUP reads its settings again.

    Raises MusterdError where it can't start.
    """
    watcher = Watcher(settings_path, os.environ)
    logs.setup(watcher.settings.log)
    server = Server(watcher)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    loop.add_signal_handler(signal.SIGHUP, watcher.poke)
    await server.run()


@dataclass(frozen=True, slots=True)
class _Listed:
    """A source that a zone lists; ttl: seconds, of records that have none."""

    source: SourceSettings
    ttl: int

    @property
    def digest(self) -> str:
        """A hash of the settings that decide where its records are from."""
        fields = self.source.model_dump(mode="json", exclude={"policy", "ttl"})
        text = json.dumps([type(self.source).__name__, fields], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def saved(self) -> bool:
        """Whether what it gave is kept in a snapshot; a registry on this disk is kept itself."""
        return not isinstance(self.source, RegistrySettings) or bool(self.source.place)

    @property
    def spec(self) -> tuple[str, int, object]:
        """What decides about its records: where it differs, the source starts anew."""
        # A digest says nothing of secrets.
        return self.digest, self.ttl, getattr(self.source, "password", None)


@dataclass(frozen=True, slots=True)
class _Fed:
    """A source that is fed from."""

    spec: tuple[str, int, object]
    task: asyncio.Task[None]


class Server:
    """One server: the core, the catalog and what feeds it."""

    def __init__(self, watcher: Watcher) -> None:
        """Of the settings that ``watcher`` follows; nothing is opened yet."""
        self._watcher = watcher
        self._settings = watcher.settings
        self._clock = BootClock()
        self._core = Core()
        self._files = FileWatch()
        self._fed: dict[str, _Fed] = {}
        self._unsynced: set[str] = set()
        self._http: HttpServer | None = None
        self._registering: Registering | None = None
        self._stopping = asyncio.Event()
        self.catalog = Catalog(self._core, self._clock)
        self.running = Running(self._core, self.catalog)

    @property
    def http_address(self) -> str:
        """Where /metrics is, empty if nowhere."""
        return "" if self._http is None else self._http.address

    @property
    def api_address(self) -> str:
        """Where the API is, empty if nowhere."""
        return "" if self._registering is None else self._registering.address

    def stop(self) -> None:
        """Let ``run`` end."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve until stopped. Raises MusterdError where it can't start."""
        settings = self._settings
        if settings.state.dir is not None:
            await asyncio.to_thread(open_folder, settings.state.dir)
            snapshots = Snapshots(settings.state.dir, self.catalog, self._clock.time)
            self.catalog.known_serials(await asyncio.to_thread(snapshots.read_serials))
            self.running.snapshots = snapshots
        _configure(self._core, settings.dns)
        await self.catalog.reconfigure(settings)
        try:
            if settings.keeps:
                parts = Parts(self.catalog, self._core, self._clock, lambda: self.running.listening)
                self._registering = await Registering.open(parts, settings)
                self.running.applied = self._registering.applied
            elif settings.api.listen:
                log.warning("no registry, and no API: neither [state] dir nor [store] url is set")
            self._http = self._bind_http(settings.metrics.listen)
            self._listen(settings.dns)
            await self._serve(settings)
        finally:
            gc.enable()
            self._core.close()
            _close(self._http)
            if self._registering is not None:
                await self._registering.close()

    async def _serve(self, settings: Settings) -> None:
        # What is loaded stays: to look for garbage in it would take a tenth of the time.
        gc.disable()
        self._clock.call_later(LOADING_MOST, _loaded)
        async with asyncio.TaskGroup() as group:
            heartbeat = Heartbeat(self._core.live_until, self.catalog.states, self._clock)
            parts = heartbeat.run(), self._files.run(), self._reload(group)
            tasks = [group.create_task(part) for part in parts]
            if self.running.snapshots is not None:
                group.create_task(self._save())
            self._start_http(group)
            if self._registering is not None:
                tasks.append(group.create_task(self._registering.follow()))
                group.create_task(self._registering.run(self._files))
            self._feed(settings, group)
            names = [zone.text for zone in self.catalog.zones.values()]
            more = {"more_zones": len(names) - SHOWN} if len(names) > SHOWN else {}
            listen, http = list(self.running.listening), self.http_address
            log.info(
                "ready",
                listen=listen,
                metrics=http,
                api=self.api_address,
                zones=names[:SHOWN],
                **more,
            )
            await self._stopping.wait()
            log.info("stopping")
            self._core.close()
            self.running.listening = ()
            if self._http is not None:
                self._http.stop()
            if self._registering is not None:
                self._registering.stop()
            for task in [*tasks, *(fed.task for fed in self._fed.values())]:
                task.cancel()
        await self._save_all(last=True)

    async def _reload(self, group: asyncio.TaskGroup) -> None:
        async for outcome in self._watcher.changes():
            problems = await self._try(outcome, group)
            self.running.reloads_failed += bool(problems)
            self.running.reloads_ok += not problems
            for problem in problems:
                log.error("settings not taken, the old ones stay", problem=problem)
            if not problems:
                log.info("settings reloaded")

    async def _try(
        self, outcome: Settings | SettingsError, group: asyncio.TaskGroup
    ) -> tuple[str, ...]:
        """Take new settings; returns why they can't be taken."""
        if isinstance(outcome, SettingsError):
            return outcome.problems
        try:
            await self._take(outcome, group)
        except MusterdError as error:
            return error.problems
        return ()

    async def _take(self, new: Settings, group: asyncio.TaskGroup) -> None:
        """Take new settings, all of them or, raising MusterdError, none."""
        old = self._settings
        fixed = refused(old, new)
        if fixed:
            raise SettingsError(*(f"{name} can't be changed: restart musterd" for name in fixed))
        http, listener = self._http, self._listener
        with ExitStack() as undo:
            if self._registering is not None and _elsewhere(old, new):
                listener = bind(new.api, listener)
                undo.callback(_close, None if listener is None else listener.http)
            if new.metrics.listen != old.metrics.listen:
                http = self._bind_http(new.metrics.listen)
                undo.callback(_close, http)
            undo.callback(logs.setup, old.log)
            logs.setup(new.log)
            undo.callback(_configure, self._core, old.dns)
            _configure(self._core, new.dns)
            self._listen(new.dns)
            undo.pop_all()
        self._settings = new
        if http is not self._http:
            if self._http is not None:
                self._http.stop()
            self._http = http
            self._start_http(group)
        if self._registering is not None:
            moved = listener is not self._listener
            self._registering.take(new, listener)
            if moved:
                group.create_task(self._registering.run(self._files))
        await self._unfeed(new)
        await self.catalog.reconfigure(new)
        self._feed(new, group)

    def _listen(self, dns: Dns) -> None:
        try:
            self.running.listening = self._core.listen(dns.listen, dns.workers)
        except OSError as error:
            raise ListenError(f"{error}; set [dns] listen to other addresses") from error

    def _bind_http(self, address: str) -> HttpServer | None:
        return HttpServer(address, "metrics", CONNECTIONS) if address else None

    def _start_http(self, group: asyncio.TaskGroup) -> None:
        if self._http is not None:
            group.create_task(self._http.run(app(self.running)))

    @property
    def _listener(self) -> Listener | None:
        return None if self._registering is None else self._registering.listener

    async def _unfeed(self, new: Settings) -> None:
        """Stop the sources that are gone, or whose settings differ."""
        specs = {name: listed.spec for name, listed in _listed(new).items()}
        gone = [name for name, fed in self._fed.items() if specs.get(name) != fed.spec]
        for name in gone:
            task = self._fed.pop(name).task
            task.cancel()
            await asyncio.wait([task])
            self._unsynced.discard(name)

    def _feed(self, settings: Settings, group: asyncio.TaskGroup) -> None:
        """Start the sources that are not fed from yet."""
        listed = _listed(settings)
        for source in settings.sources.each():
            if source.name not in listed:
                log.warning("no zone lists this source: it is not read", source=source.name)
        snapshots = self.running.snapshots
        for name, one in listed.items():
            if name not in self._fed:
                self._unsynced.add(name)
                snapshot = (snapshots, one.digest) if snapshots and one.saved else None
                feeder = Feeder(self._build(one), self.catalog, snapshot, self._synced)
                self._fed[name] = _Fed(one.spec, group.create_task(feeder.run()))

    def _build(self, one: _Listed) -> Source:
        match one.source:
            case RegistrySettings(ttls=ttls) if self._registering is not None:
                return self._registering.source(ttls)
            case ZoneFileSettings(name=name, path=path, zone=zone):
                origin = fold(name_from_text(zone))
                return zonefile.ZoneFileSource(
                    name, str(path), origin, one.ttl, read_zone, self._files
                )
            case EtcdSettings() as given:
                if given.bare:
                    plain = "the password of etcd crosses the network in plain text: set its ca"
                    log.warning(plain, source=given.name)
                return etcd.EtcdSource(
                    name=given.name,
                    options=EtcdOptions.of(given.endpoints, given),
                    layout=given.layout,
                    prefix=given.prefix.rstrip("/"),
                    zones=tuple(fold(name_from_text(zone)) for zone in given.zones),
                    ttl=one.ttl,
                    subtree=given.subtree,
                )
        raise NotImplementedError(f"source {one.source.name} is of no known kind")

    def _synced(self, name: str) -> None:
        self._unsynced.discard(name)
        if not self._unsynced:
            log.info("all sources synced")
            _loaded()

    async def _save(self) -> None:
        # Not cancelled: a thread would go on writing beside the one that writes at the end.
        while not self._stopping.is_set():
            await self._save_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(SNAPSHOT_PERIOD):
                    await self._stopping.wait()

    async def _save_all(self, *, last: bool = False) -> None:
        snapshots = self.running.snapshots
        if snapshots is not None:
            listed = _listed(self._settings)
            await snapshots.save_serials(last=last)
            await snapshots.save({name: one.digest for name, one in listed.items() if one.saved})


def _close(http: HttpServer | None) -> None:
    if http is not None:
        http.close()


def _elsewhere(old: Settings, new: Settings) -> bool:
    """Whether the API is to be served on another address, or with another certificate."""
    kept = {"listen", "tls_cert", "tls_key"}
    return old.api.model_dump(include=kept) != new.api.model_dump(include=kept)


def _configure(core: Core, dns: Dns) -> None:
    options = dns.model_dump(exclude={"listen", "workers", "cookie_secrets"})
    secrets = [secret.get_secret_value() for secret in dns.cookie_secrets]
    try:
        core.configure(cookie_secrets=secrets, **options)
    except ValueError as error:
        raise SettingsError(f"[dns] {error}") from error


def _listed(settings: Settings) -> dict[str, _Listed]:
    """The sources that a zone lists, by name."""
    listed: dict[str, _Listed] = {}
    for zone in settings.zones:
        for source in settings.sources_of(zone):
            ttl = zone.ttl if source.ttl is None else source.ttl
            listed.setdefault(source.name, _Listed(source, ttl))
    return listed


def _loaded() -> None:
    """Keep what is there out of the garbage collector's sight, and let the workers come first.

    Not before it has loaded: until then they have little to answer.
    """
    # The youngest are all that were made while it loaded; to look at the others, those of imports,
    # holds the loop for 40 ms and finds a dozen.
    gc.collect(0)
    gc.freeze()
    gc.set_threshold(YOUNG)
    gc.enable()
    for thread in threading.enumerate():
        if thread.native_id is not None:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, thread.native_id, NICENESS)
