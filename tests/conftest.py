"""What every test may use."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from musterd.server import tuning

Write = Callable[[str], Path]


@pytest.fixture(autouse=True, scope="session")
def _own_priority() -> Iterator[None]:
    """A server in the process of the tests does not lower the priority of these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "NICENESS", 0)
        yield


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings from outside reach a test."""
    for name in [name for name in os.environ if name.startswith("MUSTERD_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a settings file of a directory of its own, ``musterd.toml``, and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "musterd.toml"
        path.write_text(text)
        return path

    return write
