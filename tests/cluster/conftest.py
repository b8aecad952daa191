"""One cluster for all tests of a process, as long as it is sound."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.house import House, new_house
from tests.etcdkit import binary

VERSION = "etcd-3.5"


class Houses:
    """The present cluster, and those before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.house: House | None = None

    async def sound(self) -> House:
        """The cluster; a new one where the last test left it broken."""
        if self.house is not None and not self.house.sound:
            self.close()
        if self.house is None:
            self._count += 1
            self.house = new_house(self._folder / str(self._count), binary(VERSION))
            await self.house.start()
        return self.house

    def close(self) -> None:
        """End it."""
        if self.house is not None:
            self.house.close()
        self.house = None


@pytest.fixture(scope="session")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
    made = Houses(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
async def house(houses: Houses) -> House:
    return await houses.sound()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker has the cluster: each would need three etcds and two servers more."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("cluster"))
