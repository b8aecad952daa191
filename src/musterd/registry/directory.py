"""Servers that share a store, running and stopped.

Three keys describe each. ``servers/NAME/running`` is attached to a lease that its server renews,
and reports whether its answers lag; ``known`` and ``zones`` stay for a while after it stops. Keys
are written again only when they change: each write is a revision of the store, and etcd keeps a
limited number of them.
"""

import asyncio
import math
import secrets
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import structlog
from pydantic_core import from_json, to_json

from musterd.backoff import Backoff
from musterd.clock import Clock
from musterd.kv import (
    NO_LEASE,
    Compare,
    DeleteOp,
    Entry,
    Is,
    LeaseNotFound,
    PutOp,
    Store,
    StoreError,
    StoreFull,
)
from musterd.log_once import FailureLog
from musterd.registry.keys import ROOT

SERVERS: Final = ROOT + b"servers/"
LATE: Final = 5.0
"""Seconds from which a lag is published. Every change causes a smaller one."""
MAX_SHOWN: Final = 1000
MAX_NAMESAKES: Final = 100
"""Maximum servers with the same name. From the second on, the name ends in a number."""
MAX_ZONES: Final = 1000
_RUNNING: Final = "running"
_KNOWN: Final = "known"
_ZONES: Final = "zones"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DirectoryTiming:
    """Times of a directory, all in seconds."""

    ttl: int = 15
    """TTL of a server's lease."""
    beat: float = 5.0
    """Time between renewals; each also writes what changed."""
    name_check: float = 1.0
    """Time between checks whether a name is free."""
    rewrite: float = 600.0
    """Time after which ``known`` and ``running`` are written even if nothing changed."""
    forget: float = 7 * 86400.0
    """Time after which a stopped server is removed."""


TIMING: Final = DirectoryTiming()


class ServerReport(NamedTuple):
    """The report of a server about itself.

    addresses: on which it answers, then that of its API; revision: of the store, that is in
    answers; lag: seconds for which these may differ from the store.
    """

    addresses: list[str]
    zones: list[str]
    revision: int
    lag: float


@dataclass(frozen=True, slots=True)
class PeerServer:
    """One server of the directory.

    started, seen: epoch seconds; seen: when it was last known to run; revision: of the store,
    that its answers have reached; lag: seconds for which they may have differed, by the clocks of
    both machines. The last two are None if it doesn't run.
    """

    name: str
    running: bool
    version: str
    started: float
    seen: float
    addresses: tuple[str, ...]
    zones: tuple[str, ...]
    revision: int | None
    lag: float | None


class ServerDirectory:
    """The servers of a store, one of which is this."""

    def __init__(  # noqa: PLR0913
        self,
        store: Store,
        clock: Clock,
        name: str,
        version: str,
        report: Callable[[], ServerReport],
        *,
        timing: DirectoryTiming = TIMING,
    ) -> None:
        """Create the directory. name: of this server, unless another running one has it."""
        self.name = name
        self._store = store
        self._clock = clock
        self._version = version
        self._report = report
        self._timing = timing
        self._wanted = name
        self._instance = secrets.token_hex(8)
        self._started = clock.time()
        self._lease = NO_LEASE
        self._behind: dict[str, float] | None = None
        """Start of the lag (epoch seconds) and the revision reached; None without lag."""
        self._written: Mapping[str, object] = {}
        """Values last written, by the last part of their keys; empty while it has no name."""
        self._seen = 0.0
        """Time of the last write of ``known``, by the monotonic clock."""
        self._outage = FailureLog("other servers can't see this server")

    async def run(self) -> None:
        """Register this server and renew its lease, until cancelled."""
        # At most the time between renewals: others consider this server stopped meanwhile.
        retry = Backoff(min(1.0, self._timing.beat), self._timing.beat).start()
        while True:
            try:
                await self._register()
                retry.reset()
                self._outage.over()
                while True:
                    await asyncio.sleep(self._timing.beat)
                    await self._beat()
            except LeaseNotFound:
                log.warning("the lease of this server expired: registering again", name=self.name)
            except StoreError as error:
                self._outage.failed(str(error))
                await asyncio.sleep(retry.next())

    async def leave(self) -> None:
        """Unregister this server."""
        if self._lease != NO_LEASE:
            with suppress(StoreError):
                if self._written:
                    # The addresses it had while it ran: by now it listens on none.
                    await self._store.transaction((), (self._put(_KNOWN, self._written[_KNOWN]),))
                await self._store.lease_revoke(self._lease)
            self._lease = NO_LEASE

    def own(self, revision: int = 0) -> PeerServer:
        """Return this server, from memory. revision: current one of the store, if known."""
        report = self._report()
        return PeerServer(
            self.name,
            running=True,
            version=self._version,
            started=self._started,
            seen=self._clock.time(),
            addresses=tuple(report.addresses),
            zones=tuple(report.zones[:MAX_ZONES]),
            revision=report.revision if report.lag else max(report.revision, revision),
            lag=round(report.lag, 3),
        )

    async def all(self) -> list[PeerServer]:
        """Return all known servers, by name. Raises StoreError."""
        found: dict[str, dict[str, Any]] = {}
        revision = 0
        async with aclosing(self._store.scan(SERVERS)) as pages:
            async for page in pages:
                revision = page.revision
                for entry in page.entries:
                    path = entry.key[len(SERVERS) :].decode("utf-8", "backslashreplace")
                    name, _, end = path.rpartition("/")
                    if name in found or len(found) < MAX_SHOWN:
                        found.setdefault(name, {})[end] = _value(entry)
        servers = (self._server(name, parts, revision) for name, parts in sorted(found.items()))
        return [server for server in servers if server is not None]

    def _server(self, name: str, parts: dict[str, Any], revision: int) -> PeerServer | None:
        """Return the server of some keys, None if they are invalid."""
        try:
            known, running, now = parts[_KNOWN], parts.get(_RUNNING), self._clock.time()
            if known["instance"] == self._instance:
                return self.own(revision)
            # A running server that reports no lag has everything in the store.
            behind = (running or {}).get("behind") or {"revision": revision, "since": now}
            return PeerServer(
                name,
                running=running is not None,
                version=str(known["version"]),
                started=float(known["started"]),
                seen=now if running is not None else float(known["seen"]),
                addresses=tuple(map(str, known["addresses"])),
                zones=tuple(map(str, parts.get(_ZONES, ()))),
                revision=None if running is None else int(behind["revision"]),
                lag=None if running is None else round(max(0.0, now - behind["since"]), 3),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            log.warning("invalid keys of a server in the store", name=name)
            return None

    async def _register(self) -> None:
        """Take a name. Raises StoreError."""
        self._written = {}
        await self._forget()
        lease = await self._store.lease_grant(self._timing.ttl)
        self._lease = lease.id
        patience = self._clock.monotonic() + self._timing.ttl + self._timing.beat
        number, last = 1, math.inf
        while (left := await self._claim()) is not None:
            # The lease of this server's previous run expires soon; another server's is renewed.
            renewed, last = left > last, left
            if renewed or self._clock.monotonic() >= patience:
                number, last = number + 1, math.inf
                self.name = f"{self._wanted}-{number}"
            if number > MAX_NAMESAKES:
                raise StoreError(
                    f"{MAX_NAMESAKES} servers are named {self._wanted}: give them different names"
                )
            await asyncio.sleep(self._timing.name_check)
            await self._store.lease_keepalive(self._lease)
        if number > 1:
            log.warning(
                "another server uses the name of this one", name=self._wanted, taken=self.name
            )

    async def _claim(self) -> float | None:
        """Claim the current name if it is free or this server's.

        Otherwise return the remaining seconds of the other server's lease.
        """
        key = self._key(_RUNNING)
        there = await self._store.get(key)
        if there is not None and _field(there, "instance") != self._instance:
            with suppress(LeaseNotFound):
                return (await self._store.lease_info(there.lease)).remaining
            return 0.0
        compare = (
            Compare(key, Is.MODIFIED_AT, there.mod_revision) if there else Compare(key, Is.ABSENT)
        )
        parts = self._parts()
        steps = [self._put(end, part) for end, part in parts.items()]
        if not (await self._store.transaction((compare,), steps)).succeeded:
            return float(self._timing.ttl)
        self._written, self._seen = parts, self._clock.monotonic()
        return None

    async def _beat(self) -> None:
        """Renew the lease, and write what changed. Raises LeaseNotFound, StoreError."""
        await self._store.lease_keepalive(self._lease)
        parts = self._parts()
        again = self._clock.monotonic() - self._seen >= self._timing.rewrite
        steps = [
            self._put(end, part)
            for end, part in parts.items()
            if part != self._written[end] or (again and end != _ZONES)
        ]
        if steps:
            try:
                await self._store.transaction((), steps)
            except StoreFull:
                # The lease is still renewed; changes are written once there is space.
                return
            self._written = parts
        if again:
            self._seen = self._clock.monotonic()

    async def _forget(self) -> None:
        """Remove servers that stopped long ago."""
        now = self._clock.time()
        for server in await self.all():
            if not server.running and now - server.seen > self._timing.forget:
                running, known, zones = (
                    SERVERS + f"{server.name}/{end}".encode() for end in (_RUNNING, _KNOWN, _ZONES)
                )
                steps = (DeleteOp(known), DeleteOp(zones))
                await self._store.transaction((Compare(running, Is.ABSENT),), steps)

    def _key(self, end: str) -> bytes:
        return SERVERS + f"{self.name}/{end}".encode()

    def _put(self, end: str, part: object) -> PutOp:
        if end == _KNOWN and isinstance(part, dict):
            part = {**part, "seen": self._clock.time()}
        return PutOp(self._key(end), to_json(part), self._lease if end == _RUNNING else NO_LEASE)

    def _parts(self) -> dict[str, object]:
        """Return the values to publish, by the last part of their keys."""
        report = self._report()
        if report.lag < LATE:
            self._behind = None
        elif self._behind is None:
            since = self._clock.time() - report.lag
            self._behind = {"since": since, "revision": report.revision}
        known = {
            "instance": self._instance,
            "version": self._version,
            "started": self._started,
            "addresses": report.addresses,
        }
        return {
            _RUNNING: {"instance": self._instance, "behind": self._behind},
            _KNOWN: known,
            _ZONES: report.zones[:MAX_ZONES],
        }


def _value(entry: Entry) -> Any:
    """Return the JSON value of an entry, None if it is invalid."""
    try:
        return from_json(entry.value)
    except ValueError:
        return None


def _field(entry: Entry, name: str) -> object:
    found = _value(entry)
    return found.get(name) if isinstance(found, dict) else None
