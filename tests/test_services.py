"""Services of a server: a list that starts, reloads and stops as one."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import pytest

from musterd.errors import MusterdError, SettingsError
from musterd.file_watch import FileWatch
from musterd.rr.names import name_from_text
from musterd.server.server import Server
from musterd.server.service import BasicService, Prepared
from musterd.server.source_kinds import KINDS
from musterd.server.state import ServerState
from musterd.settings import Settings, Sources, SourceSettings
from musterd.settings.watch import Watcher
from musterd.sources import Source
from musterd.sources.changes import Begin, Change, Put, Synced
from tests.catalogkit import NOW, records, until
from tests.servers import TOML, running

pytestmark = pytest.mark.slow
METRICS = TOML.replace('[metrics]\nlisten = ""', '[metrics]\nlisten = "127.0.0.1:0"')
SETTINGS = METRICS + '[log]\nlevel = "error"\n'
CHANGED = (
    ("127.0.0.1:0", "127.0.0.2:0"),
    ('name = "lab.internal"', 'name = "other.internal"'),
    ('level = "error"', 'level = "info"\nfile = "log"'),
)
"""A change of the settings for every service that can be reloaded."""


class Recorder(BasicService):
    """A service that records its calls, and refuses settings on demand."""

    def __init__(self, name: str, calls: list[str]) -> None:
        super().__init__()
        self.refuses = False
        self._name = name
        self._calls = calls

    def _record(self, call: str) -> None:
        self._calls.append(f"{self._name} {call}")

    async def prepare(self, new: Settings) -> Prepared:
        if self.refuses:
            raise MusterdError("refused by a service")
        self._record("prepare")

        async def commit() -> None:
            self._record("commit")

        return Prepared(commit, lambda: self._record("undo"))

    async def run(self) -> None:
        self._record("run")
        await super().run()

    def stop(self) -> None:
        self._record("stop")
        super().stop()

    async def close(self) -> None:
        self._record("close")


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "musterd.toml"
    path.write_text(SETTINGS.format(state=tmp_path / "state"))
    return path


def change(settings: Path) -> None:
    text = settings.read_text()
    for old, new in CHANGED:
        text = text.replace(old, new)
    settings.write_text(text)


def visible(server: Server) -> tuple[object, ...]:
    """Return everything of a server that a reload can change."""
    state = server.state
    zones = [zone.name for zone in server.catalog.zone_reports()]
    return list(state.listening), state.metrics_address, state.api_address, zones


async def test_services_start_in_order_and_stop_in_reverse(settings: Path) -> None:
    calls: list[str] = []
    server = Server(Watcher(settings, {}))
    server.services[:] = [Recorder("first", calls), Recorder("last", calls), *server.services]
    async with running(server):
        await until(lambda: "last run" in calls)
        assert calls == [
            "first prepare", "first commit", "last prepare", "last commit", "first run", "last run",
        ]  # fmt: skip
        calls.clear()
    assert calls == ["last stop", "first stop", "last close", "first close"]


async def test_failed_start_closes_services(settings: Path) -> None:
    calls: list[str] = []
    server = Server(Watcher(settings, {}))
    last = Recorder("last", calls)
    last.refuses = True
    server.services[:] = [Recorder("first", calls), *server.services, last]
    with pytest.raises(MusterdError, match="refused by a service"):
        await server.run()
    assert calls == ["first prepare", "first commit", "last close", "first close"]
    # The store, the addresses and the state directory are free again.
    async with running(Server(Watcher(settings, {}))):
        pass


async def test_reload_refused_by_last_service_changes_nothing(settings: Path) -> None:
    calls: list[str] = []
    server = Server(Watcher(settings, {}))
    last = Recorder("last", calls)
    server.services[:] = [Recorder("first", calls), *server.services, last]
    async with running(server):
        await until(lambda: "last run" in calls)
        before = visible(server)
        calls.clear()
        last.refuses = True
        change(settings)
        await until(lambda: server.state.reloads_failed == 1)
        assert calls == ["first prepare", "first undo"]
        assert visible(server) == before
        # A later reload is compared with the settings in use, not with the refused ones.
        last.refuses = False
        server._watcher.poke()
        await until(lambda: server.state.reloads_ok == 1)
        assert visible(server) != before


async def test_reload_commits_all_services(settings: Path) -> None:
    calls: list[str] = []
    server = Server(Watcher(settings, {}))
    server.services[:] = [Recorder("first", calls), *server.services, Recorder("last", calls)]
    async with running(server):
        await until(lambda: "last run" in calls)
        calls.clear()
        change(settings)
        await until(lambda: server.state.reloads_ok == 1)
        assert calls == ["first prepare", "last prepare", "first commit", "last commit"]
        listening, metrics, api, zones = visible(server)
        for address in (*listening, metrics, api):  # type: ignore[misc]
            assert str(address).startswith("127.0.0.2:")
        assert zones == ["other.internal."]
        assert (settings.parent / "log").exists()


class FixedSettings(SourceSettings):
    """Settings of a kind of source that only this test knows."""

    zone_keys = ("zone",)
    zone: str


class OtherSources(Sources):
    """All kinds of sources, and one more."""

    fixed_records: tuple[FixedSettings, ...] = ()


class OtherSettings(Settings):
    """Settings with one more kind of source."""

    sources: OtherSources


class FixedSource:
    """A source with one record."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def changes(self) -> AsyncGenerator[Change]:
        yield Begin()
        yield Put("key", 1, NOW, records("a A 10.0.0.1"))
        yield Synced(1)
        await asyncio.Event().wait()


class Fixed(Watcher):
    """A watcher of settings that never change."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.files = FileWatch()

    async def changes(self) -> AsyncGenerator[Settings | SettingsError]:
        await asyncio.Event().wait()
        yield self.settings


def create(settings: FixedSettings, ttl: int, state: ServerState) -> Source:
    del ttl, state
    return FixedSource(settings.name)


def with_fixed_source() -> Settings:
    given: dict[str, Any] = {
        "dns": {"listen": ("127.0.0.1:0",)},
        "metrics": {"listen": ""},
        "api": {"listen": ""},
        "state": {"dir": ""},
        "zones": ({"name": "lab.internal"},),
        "sources": {"fixed_records": ({"name": "f", "zone": "lab.internal"},)},
    }
    return OtherSettings.model_validate(given, context={"base": Path()})


async def test_new_kind_of_source_needs_only_a_factory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast("dict[Any, Any]", KINDS), FixedSettings, create)
    server = Server(Fixed(with_fixed_source()))
    async with running(server):
        await until(lambda: server.catalog.zone_reports()[0].state == "live")
        owner = name_from_text("a.lab.internal")
        assert server.catalog.explain(name_from_text("lab.internal"), owner)


async def test_unknown_kind_of_source_is_refused() -> None:
    with pytest.raises(SettingsError, match="source f: unknown kind"):
        await Server(Fixed(with_fixed_source())).run()
