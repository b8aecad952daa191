"""The server directory: servers that share a store see each other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from musterd.clock import LoopClock
from musterd.kv import Store
from musterd.registry.directory import (
    LATE,
    SERVERS,
    DirectoryTiming,
    PeerServer,
    ServerDirectory,
    ServerReport,
)
from musterd.store.etcd import EtcdStore
from tests.etcdkit import SMALL, running
from tests.store.backends import EmbeddedBackend
from tests.store.kit import meanwhile, revision

SOON = DirectoryTiming(beat=0.01, name_check=0.01)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[EmbeddedBackend]:
    backend = await EmbeddedBackend(tmp_path / "store.db").open()
    yield backend
    await backend.close()


class Reporter:
    """The status that a server reports about itself."""

    def __init__(self) -> None:
        self.addresses = ["127.0.0.1:53"]
        self.zones = ["lab.internal"]
        self.revision = 1
        self.lag = 0.0
        self.asked = 0

    def __call__(self) -> ServerReport:
        self.asked += 1
        return ServerReport(self.addresses, self.zones, self.revision, self.lag)

    async def beats(self, count: int = 5) -> None:
        """Wait until the server has read the status ``count`` more times."""
        wanted = self.asked + count
        async with asyncio.timeout(10):
            while self.asked < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(
    store: Store,
    name: str,
    reporter: Callable[[], ServerReport],
    timing: DirectoryTiming = SOON,
) -> AsyncIterator[ServerDirectory]:
    """Run a server during the block."""
    servers = ServerDirectory(store, LoopClock(), name, "1", reporter, timing=timing)
    async with meanwhile(servers.run()):
        yield servers


async def until(
    servers: ServerDirectory, found: Callable[[dict[str, PeerServer]], bool]
) -> dict[str, PeerServer]:
    """Wait until the known servers satisfy a condition; return them by name."""
    async with asyncio.timeout(10):
        while True:
            known = {server.name: server for server in await servers.all()}
            if found(known):
                return known
            await asyncio.sleep(0.005)


async def test_servers_see_each_other(backend: EmbeddedBackend) -> None:
    async with (
        serving(backend.store, "a", Reporter()) as first,
        serving(backend.store, "b", Reporter()) as other,
    ):
        known = await until(other, lambda known: len(known) == 2)
        assert list(known) == ["a", "b"]
        assert [server.name for server in await first.all()] == ["a", "b"]
        assert known["a"].running
        assert known["a"].addresses == ("127.0.0.1:53",)
        assert known["a"].zones == ("lab.internal",)


async def test_unchanged_status_is_not_written(backend: EmbeddedBackend) -> None:
    """Each write is a revision of the store and shortens the history that etcd keeps."""
    reporter = Reporter()
    async with serving(backend.store, "a", reporter) as first:
        await until(first, lambda known: "a" in known)
        before = await revision(backend.store)
        for reporter.revision in range(2, 9):
            reporter.lag = LATE - 1 if reporter.revision % 2 else 0.0
            await reporter.beats(2)
        assert await revision(backend.store) == before
        assert await backend.store.get(SERVERS + b"a/running") is not None


async def test_changed_key_is_written_at_once_and_alone(backend: EmbeddedBackend) -> None:
    reporter = Reporter()
    async with (
        serving(backend.store, "a", reporter) as first,
        serving(backend.store, "b", Reporter()) as other,
    ):
        await until(first, lambda known: len(known) == 2)
        reporter.addresses = ["127.0.0.2:53"]
        await until(other, lambda known: known["a"].addresses == ("127.0.0.2:53",))
        reporter.zones = ["b.test"]
        await until(other, lambda known: known["a"].zones == ("b.test",))
        at = {
            end: (await backend.store.get(SERVERS + b"a/" + end)) for end in (b"running", b"known")
        }
        zones = await backend.store.get(SERVERS + b"a/zones")
        assert zones is not None
        assert all(entry and entry.mod_revision < zones.mod_revision for entry in at.values())


async def test_running_key_is_rewritten_after_a_while(backend: EmbeddedBackend) -> None:
    """The key dates the last sign of life of a killed server; the zones aren't rewritten."""
    reporter, timing = Reporter(), replace(SOON, rewrite=0.0)
    async with serving(backend.store, "a", reporter, timing) as first:
        await until(first, lambda known: "a" in known)
        await backend.store.delete(SERVERS + b"a/running")
        await reporter.beats()
        assert await backend.store.get(SERVERS + b"a/running") is not None
        zones = await backend.store.get(SERVERS + b"a/zones")
        assert zones is not None
        assert zones.version == 1


async def test_lag_is_reported_when_it_begins_and_ends(backend: EmbeddedBackend) -> None:
    reporter = Reporter()
    async with (
        serving(backend.store, "a", reporter) as first,
        serving(backend.store, "b", Reporter()) as other,
    ):
        known = await until(other, lambda known: len(known) == 2)
        now = await revision(backend.store)
        # Neither lags or seems to.
        assert [(server.revision, server.lag) for server in known.values()] == [(now, 0.0)] * 2
        reporter.revision, reporter.lag = 2, LATE + 100
        known = await until(other, lambda known: known["a"].lag != 0)
        assert known["a"].running
        assert known["a"].revision == 2
        assert LATE + 100 <= (known["a"].lag or 0) < LATE + 200
        assert (await until(first, lambda known: "a" in known))["a"].lag == LATE + 100
        reporter.lag = 0.0
        known = await until(other, lambda known: known["a"].lag == 0)
        assert known["a"].revision == await revision(backend.store)


async def test_server_that_left_stays_known(backend: EmbeddedBackend) -> None:
    """The entry of a stopped server has its last addresses."""
    reporter = Reporter()
    async with serving(backend.store, "b", Reporter()) as other:
        async with serving(backend.store, "a", reporter) as first:
            await until(other, lambda known: len(known) == 2)
        reporter.addresses = []
        await first.leave()
        server = (await until(other, lambda known: not known["a"].running))["a"]
    assert server.seen >= server.started
    assert (server.addresses, server.zones) == (("127.0.0.1:53",), ("lab.internal",))
    # Its current state is unknown: it may be cut off from the store and still answer.
    assert (server.revision, server.lag) == (None, None)


async def test_server_without_name_leaves_entries_of_its_namesake(backend: EmbeddedBackend) -> None:
    """The server that holds the name keeps its entries."""
    reporter = Reporter()
    reporter.addresses = ["127.0.0.2:53"]
    async with serving(backend.store, "a", Reporter()) as first:
        await until(first, lambda known: "a" in known)
        before = await backend.store.get(SERVERS + b"a/known")
        async with serving(backend.store, "a", reporter) as other:
            async with asyncio.timeout(10):
                while not other._lease:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        await other.leave()
        assert await backend.store.get(SERVERS + b"a/known") == before


async def test_server_returns_after_its_lease_expired(backend: EmbeddedBackend) -> None:
    async with serving(backend.store, "a", Reporter()) as first:
        await until(first, lambda known: "a" in known)
        await backend.elapse(SOON.ttl + 1)
        await until(first, lambda known: known["a"].running)
        assert first.name == "a"


@pytest.mark.slow
async def test_servers_of_one_name_get_distinct_names(tmp_path: Path) -> None:
    """The holder of the lease has the name, which becomes free when the lease expires."""
    timing = replace(SOON, ttl=4, beat=2.5)
    async with (
        running(tmp_path / "etcd", "etcd-3.5") as etcd,
        EtcdStore(etcd.options()) as store,
    ):
        async with (
            serving(store, "a", Reporter(), timing) as first,
            serving(store, "a", Reporter(), timing) as other,
        ):
            known = await until(first, lambda known: len(known) == 2)
            assert list(known) == ["a", "a-2"]
            assert {first.name, other.name} == {"a", "a-2"}
        # To the store both look killed.
        async with serving(store, "a", Reporter(), timing) as again:
            await until(first, lambda known: known["a"].started > other.own().started)
            assert again.name == "a"


@pytest.mark.slow
async def test_server_keeps_its_lease_on_full_etcd(tmp_path: Path) -> None:
    """A server that can't get a new lease renews its existing one."""
    reporter, timing = Reporter(), replace(SOON, ttl=2, beat=0.3)
    async with (
        running(tmp_path / "etcd", "etcd-3.5", flags=SMALL) as etcd,
        EtcdStore(etcd.options()) as store,
        serving(store, "a", reporter, timing) as first,
    ):
        await until(first, lambda known: "a" in known)
        await etcd.fill()
        reporter.addresses = ["127.0.0.2:53"]
        await asyncio.sleep(2 * timing.ttl)
        assert await store.get(SERVERS + b"a/running") is not None


async def test_server_gone_for_long_is_removed(backend: EmbeddedBackend) -> None:
    async with serving(backend.store, "a", Reporter()) as first:
        await until(first, lambda known: "a" in known)
    await first.leave()
    async with serving(backend.store, "b", Reporter(), replace(SOON, forget=-1.0)) as other:
        known = await until(other, lambda known: "b" in known)
    assert list(known) == ["b"]
    page = await backend.store.range(SERVERS)
    assert {entry.key.split(b"/")[-2] for entry in page.entries} == {b"b"}


async def test_invalid_entries_are_left_out(backend: EmbeddedBackend) -> None:
    await backend.store.put(SERVERS + b"x/running", b"{")
    await backend.store.put(SERVERS + b"y/known", b"[]")
    await backend.store.put(SERVERS + b"z/zones", b"1")
    async with serving(backend.store, "a", Reporter()) as first:
        assert list(await until(first, lambda known: "a" in known)) == ["a"]
