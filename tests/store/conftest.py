"""Fixtures that run each contract test once for each store."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from musterd.kv import Store
from musterd.store.embedded import EmbeddedOptions
from tests.etcdkit import BINARIES, Etcds
from tests.store.backends import Backend, EmbeddedBackend, EtcdBackend

OpenEmbedded = Callable[[EmbeddedOptions], Awaitable[EmbeddedBackend]]


@pytest.fixture(params=["embedded", *BINARIES])
async def backend(
    request: pytest.FixtureRequest, tmp_path: Path, etcds: Etcds
) -> AsyncIterator[Backend]:
    if request.param == "embedded":
        opened = await EmbeddedBackend(tmp_path / "store.db").open()
        yield opened
        await opened.close()
        return
    etcd = etcds[request.param]
    if not etcd.runs:
        await etcd.start()
    chosen = EtcdBackend(etcd, b"")
    try:
        await chosen.clean()
        yield chosen
    finally:
        await chosen.close()


@pytest.fixture
def store(backend: Backend) -> Store:
    return backend.store


@pytest.fixture
async def open_embedded(tmp_path: Path) -> AsyncIterator[OpenEmbedded]:
    """Open the embedded store with the test's options."""
    async with AsyncExitStack() as stack:
        yield functools.partial(_open, stack, tmp_path / "store.db")


async def _open(stack: AsyncExitStack, path: Path, options: EmbeddedOptions) -> EmbeddedBackend:
    backend = await EmbeddedBackend(path, options).open()
    stack.push_async_callback(backend.close)
    return backend
