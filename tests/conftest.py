"""Fixtures of all tests, and their distribution to workers."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from musterd.server import tuning
from tests.etcdkit import Etcds

Write = Callable[[str], Path]
CLUSTER = "tests/cluster/"
"""Folder of the tests that share a cluster, so they run in one worker."""


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # untyped package
    """Gives each test to any worker that is free, but all tests of the cluster to one."""

    def _split_scope(self, nodeid: str) -> str:
        return CLUSTER if nodeid.startswith(CLUSTER) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Return the distribution of the tests."""
    return Scheduling(config, log)


@pytest.fixture(autouse=True, scope="session")
def _own_priority() -> Iterator[None]:
    """Keep the priority of the tests when a server runs in their process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "NICENESS", 0)
        yield


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove settings from the environment."""
    for name in [name for name in os.environ if name.startswith("MUSTERD_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def etcds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcds]:
    """Start etcd servers on demand, one of each version."""
    created = Etcds(tmp_path_factory.mktemp("etcd"))
    yield created
    created.close()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes ``musterd.toml`` and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "musterd.toml"
        path.write_text(text)
        return path

    return write
