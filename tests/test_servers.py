"""Servers that share a store know of one another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from musterd import servers
from musterd.clock import LoopClock
from musterd.servers import SERVERS, Server, Servers, Told
from musterd.store import Store
from tests.store.backends import EmbeddedBackend
from tests.store.kit import meanwhile


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "BEAT", 0.01)
    monkeypatch.setattr(servers, "LOOK", 0.01)
    monkeypatch.setattr(servers, "SEEN", 0.0)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[EmbeddedBackend]:
    backend = await EmbeddedBackend(tmp_path / "store.db").open()
    yield backend
    await backend.close()


class Teller:
    """What a server says of itself."""

    revision = 1

    def __call__(self) -> Told:
        return Told(["127.0.0.1:53"], ["muster.local"], self.revision, 0.0)


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


async def test_a_server_tells_how_far_it_is(backend: EmbeddedBackend) -> None:
    told = Teller()
    async with serving(backend.store, "a", told) as one:
        await until(one, lambda known: "a" in known)
        told.revision = 7
        await until(one, lambda known: known["a"].revision == 7)


async def test_one_that_left_stays_known(backend: EmbeddedBackend) -> None:
    async with serving(backend.store, "a", Teller()) as one:
        await until(one, lambda known: "a" in known)
    await one.leave()
    (server,) = await one.all()
    assert not server.running
    assert server.seen >= server.started


async def test_one_whose_lease_ended_is_back(backend: EmbeddedBackend) -> None:
    async with serving(backend.store, "a", Teller()) as one:
        await until(one, lambda known: "a" in known)
        await backend.elapse(servers.TTL + 1)
        await until(one, lambda known: known["a"].running)
        assert one.name == "a"


async def test_two_of_one_name(backend: EmbeddedBackend) -> None:
    async with (
        serving(backend.store, "a", Teller()) as one,
        serving(backend.store, "a", Teller()),
    ):
        known = await until(one, lambda known: len(known) == 2)
    assert list(known) == ["a", "a-2"]


async def test_one_gone_for_long_is_forgotten(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(backend.store, "a", Teller()) as one:
        await until(one, lambda known: "a" in known)
    await one.leave()
    monkeypatch.setattr(servers, "FORGOTTEN", -1.0)
    async with serving(backend.store, "b", Teller()) as other:
        known = await until(other, lambda known: "b" in known)
    assert list(known) == ["b"]


async def test_what_is_no_server_is_left_out(backend: EmbeddedBackend) -> None:
    await backend.store.put(SERVERS + b"x/running", b"{")
    await backend.store.put(SERVERS + b"y/known", b"[]")
    async with serving(backend.store, "a", Teller()) as one:
        assert list(await until(one, lambda known: "a" in known)) == ["a"]
