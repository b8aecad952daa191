"""Fixture: one cluster for all tests of a process, replaced when a test breaks it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, new_cluster
from tests.etcdkit import binary

VERSION = "etcd-3.5"


class Clusters:
    """The current cluster, which is replaced when broken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.cluster: Cluster | None = None

    async def sound(self) -> Cluster:
        """Return the cluster; start a new one if the last test left it broken."""
        if self.cluster is not None and not self.cluster.sound:
            self.close()
        if self.cluster is None:
            self._count += 1
            self.cluster = new_cluster(self._folder / str(self._count), binary(VERSION))
            await self.cluster.start()
        return self.cluster

    def close(self) -> None:
        """Stop the cluster."""
        if self.cluster is not None:
            self.cluster.close()
        self.cluster = None


@pytest.fixture(scope="session")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    made = Clusters(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
async def cluster(clusters: Clusters) -> Cluster:
    return await clusters.sound()
