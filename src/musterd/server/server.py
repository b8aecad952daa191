"""A running server: a list of services, and the loops that start, reload and stop them.

::

    settings ──▶ sources ──▶ catalog ──▶ core ◀──▶ clients
                                │
                            snapshots

The event loop owns everything but the core's workers. Blocking calls run in threads.
"""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Final

import structlog

from musterd import log as logs
from musterd._core import Core
from musterd.catalog import Catalog
from musterd.clock import BootClock
from musterd.errors import MusterdError, SettingsError
from musterd.server.api import ApiService
from musterd.server.dns import DnsService
from musterd.server.dnstap import DnstapService
from musterd.server.heartbeat import TIMING, Heartbeat, HeartbeatTiming
from musterd.server.hidden import HiddenSearch
from musterd.server.log import LogService
from musterd.server.metrics import MetricsService
from musterd.server.notify import READY, NotifyService
from musterd.server.query_log import QueryLogService
from musterd.server.registry import RegistryService
from musterd.server.service import Service, TaskService
from musterd.server.snapshots import SnapshotService
from musterd.server.sources import SourceSupervisor
from musterd.server.state import ServerState
from musterd.server.tuning import TuningService
from musterd.settings import Settings
from musterd.settings.watch import Watcher, refused

MAX_LOGGED_ZONES: Final = 20
"""Zones that a log event names."""

log = structlog.get_logger()


async def serve(settings_path: Path | None, environ: Mapping[str, str]) -> None:
    """Run a server until SIGTERM or SIGINT; SIGHUP reloads the settings.

    settings_path: None if all settings come from the environment. Raises MusterdError if the
    server cannot start.
    """
    watcher = await Watcher.start(settings_path, environ)
    logs.setup(watcher.settings.log)
    if watcher.files.problem:
        log.warning("file changes are found by polling only", reason=watcher.files.problem)
    server = Server(watcher)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    await server.run()


def build_services(
    state: ServerState, timing: HeartbeatTiming, log_service: LogService, query_log: QueryLogService
) -> list[Service]:
    """Create the services of a server, in the order in which they start."""
    heartbeat = Heartbeat(state.catalog.states, state.clock, timing)
    tuning = TuningService(state.clock)
    registry = RegistryService(state)
    return [
        tuning,
        log_service,
        query_log,
        DnstapService(state.core),
        TaskService(state.files.run),
        SnapshotService(state),
        registry,
        ApiService(state, registry),
        MetricsService(state),
        SourceSupervisor(state, tuning.loaded),
        TaskService(heartbeat.run),
        TaskService(HiddenSearch(state.core, state.catalog).run),
        DnsService(state),
    ]


class Server:
    """One server: its services, and the state that they share."""

    def __init__(self, watcher: Watcher, timing: HeartbeatTiming = TIMING) -> None:
        """Create a server with the settings of a watcher; nothing is opened yet."""
        self._watcher = watcher
        self._settings = watcher.settings
        self._stopping = asyncio.Event()
        core, clock = Core(), BootClock()
        self.catalog = Catalog(core, clock)
        self.state = ServerState(core, self.catalog, clock, watcher.files)
        self._notify = NotifyService()
        self._log = LogService()
        self._query_log = QueryLogService(core)
        services = build_services(self.state, timing, self._log, self._query_log)
        self.services = [*services, self._notify]

    @property
    def api_address(self) -> str:
        """Address of the API, empty if it is off."""
        return self.state.api_address

    def stop(self) -> None:
        """Let ``run`` end."""
        self._stopping.set()

    def reload(self) -> None:
        """Reopen the logs, even if the settings are invalid, and reload the settings."""
        self._log.reopen()
        self._query_log.reopen()
        self._watcher.poke()

    async def run(self) -> None:
        """Serve until stopped. Raises MusterdError if the server cannot start."""
        async with AsyncExitStack() as closing:
            closing.callback(self.state.files.close)
            for service in self.services:
                closing.push_async_callback(service.close)
                prepared = await service.prepare(self._settings)
                await prepared.commit()
            await self._run_services()

    async def _run_services(self) -> None:
        async with asyncio.TaskGroup() as group:
            for service in self.services:
                group.create_task(service.run())
            reloading = group.create_task(self._reload())
            self._log_ready()
            await self._stopping.wait()
            log.info("stopping")
            reloading.cancel()
            for service in reversed(self.services):
                service.stop()

    def _log_ready(self) -> None:
        state = self.state
        names = [zone.text for zone in self.catalog.zones.values()]
        more = len(names) - MAX_LOGGED_ZONES
        self._log_warnings(self._settings)
        log.info(
            "ready",
            listen=list(state.listening),
            metrics=state.metrics_address,
            api=state.api_address,
            zones=names[:MAX_LOGGED_ZONES],
            **({"more_zones": more} if more > 0 else {}),
        )

    def _log_warnings(self, settings: Settings) -> None:
        for warning in settings.warnings:
            log.warning("settings", warning=warning)
        for problem in self.state.certificate_problems():
            log.warning("certificate", problem=problem)

    async def _reload(self) -> None:
        async for outcome in self._watcher.changes():
            self._notify.reloading()
            problems = await self._try_reload(outcome)
            self._notify.send(READY)
            if problems:
                self.state.reloads_failed += 1
                for problem in problems:
                    log.error("reload failed, keeping the previous configuration", problem=problem)
            else:
                self.state.reloads_ok += 1
                self._log_warnings(self._settings)
                log.info("configuration reloaded")

    async def _try_reload(self, outcome: Settings | SettingsError) -> tuple[str, ...]:
        """Apply new settings. Return the problems if they are rejected."""
        if isinstance(outcome, SettingsError):
            return outcome.problems
        try:
            await self._apply_settings(outcome)
        except MusterdError as error:
            return error.problems
        return ()

    async def _apply_settings(self, new: Settings) -> None:
        """Apply new settings to all services or, if one raises MusterdError, to none."""
        fixed = refused(self._settings, new)
        if fixed:
            raise SettingsError(*(f"{name} can't be changed: restart musterd" for name in fixed))
        prepared = []
        with ExitStack() as undo:
            for service in self.services:
                change = await service.prepare(new)
                undo.callback(change.undo)
                prepared.append(change)
            undo.pop_all()
        _log_removed_zones(self._settings, new)
        self._settings = new
        for change in prepared:
            await change.commit()


def _log_removed_zones(old: Settings, new: Settings) -> None:
    """Warn if a reload removes most zones, which may be a mistake."""
    removed = sorted({zone.name for zone in old.zones} - {zone.name for zone in new.zones})
    if 2 * len(removed) > len(old.zones):
        shown = removed[:MAX_LOGGED_ZONES]
        log.warning("reload removes most zones", zones=shown, removed=len(removed))
