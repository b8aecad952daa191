"""The API for a test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.house import House
from tests.api.kit import Api, running


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """With an empty registry, and the zones of ``kit.ZONES``."""
    async with running(tmp_path) as opened:
        yield opened


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A server that is to run in a directory of its own."""
    return House(tmp_path)
