"""One etcd of each version for the tests that do it no harm, and a client of it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from musterd.etcd import ALL, EtcdClient
from tests.etcdkit import BINARIES, Etcd, Etcds


@pytest.fixture(scope="session")
def etcds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcds]:
    made = Etcds(tmp_path_factory.mktemp("etcd"))
    yield made
    made.close()


@pytest.fixture(params=list(BINARIES))
def version(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def etcd(version: str, etcds: Etcds) -> Etcd:
    found = etcds[version]
    if not found.runs:
        await found.start()
    return found


@pytest.fixture
async def client(etcd: Etcd) -> AsyncIterator[EtcdClient]:
    async with EtcdClient(etcd.options()) as made:
        await made.delete(ALL, ALL)
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """For an etcd of the test's own."""
    return tmp_path / "etcd"
