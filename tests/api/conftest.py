"""The API for a test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.kit import ApiKit, running
from tests.servers import ServerFixture


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiKit]:
    """An API with an empty registry and the zones of ``kit.ZONES``."""
    async with running(tmp_path) as opened:
        yield opened


@pytest.fixture
def fixture(tmp_path: Path) -> ServerFixture:
    """A server with its own directory."""
    return ServerFixture(tmp_path)
