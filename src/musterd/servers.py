"""Servers that share a store: those that run, and those that did.

``servers/NAME/running`` hangs on a lease, which its server renews; ``servers/NAME/known`` says the
same of a server and stays when it ends, for a while.
"""

import asyncio
import random
import secrets
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import structlog
from pydantic_core import from_json, to_json

from musterd.clock import Clock
from musterd.registry.keys import ROOT
from musterd.store import (
    NO_LEASE,
    Compare,
    Delete,
    Entry,
    Is,
    LeaseNotFound,
    Put,
    Store,
    StoreError,
)

SERVERS: Final = ROOT + b"servers/"
TTL: Final = 15
"""Of a server's lease, seconds."""
BEAT: Final = TTL / 3
"""Seconds between two renewals, each of which tells how far the server is."""
SEEN: Final = 60.0
"""Seconds between two writes of what stays."""
FORGOTTEN: Final = 7 * 86400.0
"""Seconds after which a server that doesn't run is known no more."""
SHOWN_MOST: Final = 1000
LOOK: Final = 1.0
"""Seconds between two looks whether a name is free."""
NAMES_MOST: Final = 100
"""Servers of one name at once; from the second on they have a number behind it."""
ZONES_MOST: Final = 1000
RETRY_LEAST: Final = 1.0
RETRY_MOST: Final = 30.0
"""Seconds until a store that can't be written is tried again: doubled each time, with jitter."""
_RUNNING: Final = b"/running"
_KNOWN: Final = b"/known"

log = structlog.get_logger()


class Told(NamedTuple):
    """What a server says of itself.

    addresses: on which it answers, then that of its API; revision: of the store, that is in
    answers; lag: seconds for which these may differ from the store.
    """

    addresses: list[str]
    zones: list[str]
    revision: int
    lag: float


@dataclass(frozen=True, slots=True)
class Server:
    """One server. started, seen: epoch seconds; seen: when it last said so."""

    name: str
    running: bool
    version: str
    started: float
    seen: float
    addresses: tuple[str, ...]
    zones: tuple[str, ...]
    revision: int
    lag: float


class Servers:
    """The servers of a store, one of which is this."""

    def __init__(
        self, store: Store, clock: Clock, name: str, version: str, told: Callable[[], Told]
    ) -> None:
        """``name``: of this one, if no other that runs has it."""
        self.name = name
        self._store = store
        self._clock = clock
        self._version = version
        self._told = told
        self._wanted = name
        self._instance = secrets.token_hex(8)
        self._started = clock.time()
        self._lease = NO_LEASE
        self._seen = 0.0
        """When what stays was last written, by the monotonic clock."""

    async def run(self) -> None:
        """Be one of them, until cancelled."""
        retry = RETRY_LEAST
        while True:
            try:
                await self._register()
                retry = RETRY_LEAST
                while True:
                    await asyncio.sleep(BEAT)
                    await self._beat()
            except LeaseNotFound:
                log.warning("other servers thought that this one had ended", name=self.name)
            except StoreError as error:
                log.warning("other servers can't be told of this one", reason=str(error))
                await asyncio.sleep(retry * random.uniform(0.5, 1.0))  # noqa: S311
                retry = min(2 * retry, RETRY_MOST)

    async def leave(self) -> None:
        """Run no more."""
        if self._lease != NO_LEASE:
            with suppress(StoreError):
                await self._store.put(self._key(_KNOWN), self._value())
                await self._store.lease_revoke(self._lease)
            self._lease = NO_LEASE

    async def all(self) -> list[Server]:
        """Every server that is known, by name. Raises StoreError."""
        found: dict[str, Server] = {}
        async with aclosing(self._store.scan(SERVERS)) as pages:
            async for page in pages:
                for entry in page.entries:
                    server = _read(entry)
                    # "known" comes before "running", which is newer.
                    if server is not None and (server.name in found or len(found) < SHOWN_MOST):
                        found[server.name] = server
        return [found[name] for name in sorted(found)]

    async def _register(self) -> None:
        """Take a name. Raises StoreError."""
        await self._forget()
        lease = await self._store.lease_grant(TTL)
        self._lease = lease.id
        patience = self._clock.monotonic() + TTL + BEAT
        number, first = 1, 0
        while beat := await self._take():
            # Its lease ends soon if it is this server before a restart; else it tells more.
            first = first or beat
            if beat != first or self._clock.monotonic() >= patience:
                number, first = number + 1, 0
                self.name = f"{self._wanted}-{number}"
            if number > NAMES_MOST:
                raise StoreError(f"{NAMES_MOST} servers are named {self._wanted}: name them apart")
            await asyncio.sleep(LOOK)
            await self._store.lease_keepalive(self._lease)
        if number > 1:
            log.warning("another server has this one's name", name=self._wanted, taken=self.name)

    async def _take(self) -> int:
        """Take the present name if it is free or this server's; else when it was last written."""
        key = self._key(_RUNNING)
        there = await self._store.get(key)
        if there is not None and _field(there, "instance") != self._instance:
            return there.mod_revision
        compare = (
            Compare(key, Is.MODIFIED_AT, there.mod_revision) if there else Compare(key, Is.ABSENT)
        )
        value = self._value()
        steps = (Put(key, value, self._lease), Put(self._key(_KNOWN), value))
        self._seen = self._clock.monotonic()
        done = await self._store.transaction((compare,), steps)
        return 0 if done.succeeded else done.revision

    async def _beat(self) -> None:
        """Renew, and tell how far this server is. Raises LeaseNotFound, StoreError."""
        await self._store.lease_keepalive(self._lease)
        value = self._value()
        steps = [Put(self._key(_RUNNING), value, self._lease)]
        now = self._clock.monotonic()
        if now - self._seen >= SEEN:
            self._seen = now
            steps.append(Put(self._key(_KNOWN), value))
        await self._store.transaction((), steps)

    async def _forget(self) -> None:
        """Remove those that have not run for long."""
        now = self._clock.time()
        for server in await self.all():
            if not server.running and now - server.seen > FORGOTTEN:
                running, known = (
                    SERVERS + server.name.encode() + end for end in (_RUNNING, _KNOWN)
                )
                await self._store.transaction((Compare(running, Is.ABSENT),), (Delete(known),))

    def _key(self, end: bytes) -> bytes:
        return SERVERS + self.name.encode() + end

    def _value(self) -> bytes:
        told = self._told()
        return to_json(
            {
                "instance": self._instance,
                "version": self._version,
                "started": self._started,
                "seen": self._clock.time(),
                "addresses": told.addresses,
                "zones": told.zones[:ZONES_MOST],
                "revision": told.revision,
                "lag": round(told.lag, 3),
            }
        )


def _field(entry: Entry, name: str) -> object:
    try:
        return from_json(entry.value)[name]
    except (ValueError, KeyError, TypeError):
        return None


def _read(entry: Entry) -> Server | None:
    """The server of an entry, None where it is none."""
    name, _, end = entry.key[len(SERVERS) :].decode("utf-8", "backslashreplace").rpartition("/")
    try:
        value: dict[str, Any] = from_json(entry.value)
        return Server(
            name,
            end == "running",
            str(value["version"]),
            float(value["started"]),
            float(value["seen"]),
            tuple(map(str, value["addresses"])),
            tuple(map(str, value["zones"])),
            int(value["revision"]),
            float(value["lag"]),
        )
    except (ValueError, KeyError, TypeError):
        log.warning("a key of the store is no server", key=f"{name}/{end}")
        return None
