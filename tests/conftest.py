"""Fixtures of all tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from musterd.server import tuning
from tests.etcdkit import Etcds

Write = Callable[[str], Path]


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
