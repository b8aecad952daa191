"""Servers that share a store know of one another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from musterd.clock import LoopClock
from musterd.kv import Store
from musterd.registry import directory
from musterd.registry.directory import LATE, SERVERS, Server, Servers, Told
from musterd.store.etcd import Etcd as InEtcd
from tests.etcdkit import SMALL, running
from tests.store.backends import EmbeddedBackend
from tests.store.kit import meanwhile, revision


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "BEAT", 0.01)
    monkeypatch.setattr(directory, "LOOK", 0.01)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[EmbeddedBackend]:
    backend = await EmbeddedBackend(tmp_path / "store.db").open()
    yield backend
    await backend.close()


class Teller:
    """What a server says of itself."""

    def __init__(self) -> None:
        self.addresses = ["127.0.0.1:53"]
        self.zones = ["muster.local"]
        self.revision = 1
        self.lag = 0.0
        self.asked = 0

    def __call__(self) -> Told:
        self.asked += 1
        return Told(self.addresses, self.zones, self.revision, self.lag)

    async def beats(self, count: int = 5) -> None:
        """Wait until its server has seen so often whether there is more to tell."""
        wanted = self.asked + count
        async with asyncio.timeout(10):
            while self.asked < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(store: Store, name: str, told: Callable[[], Told]) -> AsyncIterator[Servers]:
    """A server of a name, while the block runs."""
    one = Servers(store, LoopClock(), name, "1", told)
    async with meanwhile(one.run()):
        yield one


async def until(one: Servers, found: Callable[[dict[str, Server]], bool]) -> dict[str, Server]:
    """What is known as soon as it is as wanted."""
    async with asyncio.timeout(10):
        while True:
            known = {server.name: server for server in await one.all()}
            if found(known):
                return known
            await asyncio.sleep(0.005)


async def test_servers_see_each_other(backend: EmbeddedBackend) -> None:
    async with (
        serving(backend.store, "a", Teller()) as one,
        serving(backend.store, "b", Teller()) as other,
    ):
        known = await until(other, lambda known: len(known) == 2)
        assert list(known) == ["a", "b"]
        assert [server.name for server in await one.all()] == ["a", "b"]
        assert known["a"].running
        assert known["a"].addresses == ("127.0.0.1:53",)
        assert known["a"].zones == ("muster.local",)


async def test_what_did_not_change_is_not_written(backend: EmbeddedBackend) -> None:
    """Each write is a revision of the store, and as many as etcd keeps are the history."""
    told = Teller()
    async with serving(backend.store, "a", told) as one:
        await until(one, lambda known: "a" in known)
        before = await revision(backend.store)
        for told.revision in range(2, 9):
            told.lag = LATE - 1 if told.revision % 2 else 0.0
            await told.beats(2)
        assert await revision(backend.store) == before
        assert await backend.store.get(SERVERS + b"a/running") is not None


async def test_what_changed_is_written_at_once_and_alone(backend: EmbeddedBackend) -> None:
    told = Teller()
    async with (
        serving(backend.store, "a", told) as one,
        serving(backend.store, "b", Teller()) as other,
    ):
        await until(one, lambda known: len(known) == 2)
        told.addresses = ["127.0.0.2:53"]
        await until(other, lambda known: known["a"].addresses == ("127.0.0.2:53",))
        told.zones = ["b.test"]
        await until(other, lambda known: known["a"].zones == ("b.test",))
        at = {
            end: (await backend.store.get(SERVERS + b"a/" + end)) for end in (b"running", b"known")
        }
        zones = await backend.store.get(SERVERS + b"a/zones")
        assert zones is not None
        assert all(entry and entry.mod_revision < zones.mod_revision for entry in at.values())


async def test_it_is_written_again_after_a_while(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a server that was killed is known to have run until then; not for a long list of zones."""
    monkeypatch.setattr(directory, "SEEN", 0.0)
    told = Teller()
    async with serving(backend.store, "a", told) as one:
        await until(one, lambda known: "a" in known)
        await backend.store.delete(SERVERS + b"a/running")
        await told.beats()
        assert await backend.store.get(SERVERS + b"a/running") is not None
        zones = await backend.store.get(SERVERS + b"a/zones")
        assert zones is not None
        assert zones.version == 1


async def test_lag_is_told_as_it_begins_and_ends(backend: EmbeddedBackend) -> None:
    told = Teller()
    async with (
        serving(backend.store, "a", told) as one,
        serving(backend.store, "b", Teller()) as other,
    ):
        known = await until(other, lambda known: len(known) == 2)
        now = await revision(backend.store)
        # Neither lags, and neither looks as if it did.
        assert [(server.revision, server.lag) for server in known.values()] == [(now, 0.0)] * 2
        told.revision, told.lag = 2, LATE + 100
        known = await until(other, lambda known: known["a"].lag != 0)
        assert known["a"].running
        assert known["a"].revision == 2
        assert LATE + 100 <= (known["a"].lag or 0) < LATE + 200
        assert (await until(one, lambda known: "a" in known))["a"].lag == LATE + 100
        told.lag = 0.0
        known = await until(other, lambda known: known["a"].lag == 0)
        assert known["a"].revision == await revision(backend.store)


async def test_one_that_left_stays_known(backend: EmbeddedBackend) -> None:
    """With the addresses on which it answered, though none is left when it leaves."""
    told = Teller()
    async with serving(backend.store, "b", Teller()) as other:
        async with serving(backend.store, "a", told) as one:
            await until(other, lambda known: len(known) == 2)
        told.addresses = []
        await one.leave()
        server = (await until(other, lambda known: not known["a"].running))["a"]
    assert server.seen >= server.started
    assert (server.addresses, server.zones) == (("127.0.0.1:53",), ("muster.local",))
    # What it answers now nobody knows; it may be cut off from the store, and go on.
    assert (server.revision, server.lag) == (None, None)


async def test_one_that_leaves_without_a_name(backend: EmbeddedBackend) -> None:
    """It leaves what another that has the name says of itself."""
    told = Teller()
    told.addresses = ["127.0.0.2:53"]
    async with serving(backend.store, "a", Teller()) as one:
        await until(one, lambda known: "a" in known)
        before = await backend.store.get(SERVERS + b"a/known")
        async with serving(backend.store, "a", told) as other:
            async with asyncio.timeout(10):
                while not other._lease:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        await other.leave()
        assert await backend.store.get(SERVERS + b"a/known") == before


async def test_one_whose_lease_ended_is_back(backend: EmbeddedBackend) -> None:
    async with serving(backend.store, "a", Teller()) as one:
        await until(one, lambda known: "a" in known)
        await backend.elapse(directory.TTL + 1)
        await until(one, lambda known: known["a"].running)
        assert one.name == "a"


@pytest.mark.slow
async def test_two_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who renews the lease has the name; of one that was killed it is free when that has ended."""
    monkeypatch.setattr(directory, "BEAT", 2.5)
    monkeypatch.setattr(directory, "TTL", 4)
    async with (
        running(tmp_path / "etcd", "etcd-3.5") as etcd,
        InEtcd(etcd.options()) as store,
    ):
        async with (
            serving(store, "a", Teller()) as one,
            serving(store, "a", Teller()) as other,
        ):
            known = await until(one, lambda known: len(known) == 2)
            assert list(known) == ["a", "a-2"]
            assert {one.name, other.name} == {"a", "a-2"}
        # Both were killed, as far as the store knows.
        async with serving(store, "a", Teller()) as again:
            await until(one, lambda known: known["a"].started > other.own().started)
            assert again.name == "a"


@pytest.mark.slow
async def test_a_full_etcd_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new lease it would not get; the one that it has lives on."""
    monkeypatch.setattr(directory, "BEAT", 0.3)
    monkeypatch.setattr(directory, "TTL", 2)
    told = Teller()
    async with (
        running(tmp_path / "etcd", "etcd-3.5", flags=SMALL) as etcd,
        InEtcd(etcd.options()) as store,
        serving(store, "a", told) as one,
    ):
        await until(one, lambda known: "a" in known)
        await etcd.fill()
        told.addresses = ["127.0.0.2:53"]
        await asyncio.sleep(2 * directory.TTL)
        assert await store.get(SERVERS + b"a/running") is not None


async def test_one_gone_for_long_is_forgotten(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(backend.store, "a", Teller()) as one:
        await until(one, lambda known: "a" in known)
    await one.leave()
    monkeypatch.setattr(directory, "FORGOTTEN", -1.0)
    async with serving(backend.store, "b", Teller()) as other:
        known = await until(other, lambda known: "b" in known)
    assert list(known) == ["b"]
    page = await backend.store.range(SERVERS)
    assert {entry.key.split(b"/")[-2] for entry in page.entries} == {b"b"}


async def test_what_is_no_server_is_left_out(backend: EmbeddedBackend) -> None:
    await backend.store.put(SERVERS + b"x/running", b"{")
    await backend.store.put(SERVERS + b"y/known", b"[]")
    await backend.store.put(SERVERS + b"z/zones", b"1")
    async with serving(backend.store, "a", Teller()) as one:
        assert list(await until(one, lambda known: "a" in known)) == ["a"]
