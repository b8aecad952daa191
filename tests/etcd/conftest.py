"""Fixtures: an etcd of each version, and a client of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from musterd.etcd import ALL, EtcdClient
from tests.etcdkit import BINARIES, Etcd, Etcds


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
    """Folder of an etcd that belongs to the test."""
    return tmp_path / "etcd"
