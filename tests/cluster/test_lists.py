"""Reading the list again never exposes a state that didn't exist."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from musterd.etcd import EtcdClient, EtcdWatch, span
from musterd.etcd.watches import Watches
from musterd.kv import Compacted, PutOp
from musterd.registry.applied import Applied
from musterd.registry.keys import RecordKey
from musterd.registry.rdata import parse_type
from musterd.registry.record import record_spec
from musterd.registry.registry import Registry
from musterd.store.etcd import EtcdStore
from tests.catalogkit import NOW, until
from tests.cluster.watching import ZONES, FollowingCatalog
from tests.etcdkit import BINARIES, Etcd, running

pytestmark = pytest.mark.slow
ZONE = ZONES[0]
MANY = 3000
"""Records that sort last, so that the list has several pages."""


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[Etcd]:
    async with running(tmp_path, "etcd-3.5") as found:
        yield found


@pytest.mark.parametrize("version", BINARIES)
async def test_watch_misses_no_deletion_at_compaction(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """etcd omits deletions at the compacted revision, or refuses to watch from it."""
    async with running(tmp_path, version) as etcd, EtcdClient(etcd.options()) as client:
        await client.put(b"a/1", b"")
        deleted, _ = await client.delete(b"a/1")
        await client.put(b"a/2", b"")
        look = Watches._start_revision

        async def late(self: Watches, watch: EtcdWatch) -> int:
            """Compact between the look and the watch."""
            first = await look(self, watch)
            await client.compact(deleted)
            return first

        monkeypatch.setattr(Watches, "_start_revision", late)
        with pytest.raises(Compacted):
            async with client.watch(*span(b"a/"), from_revision=deleted) as watch:
                await anext(watch)


async def replace(store: EtcdStore, rtype: str, *data: str) -> None:
    """Replace all records of a name at once."""
    registry = Registry(store, Applied(), lambda: NOW)
    drafts = [record_spec(parse_type(rtype), each) for each in data]
    await registry.put_rrset(
        RecordKey(ZONE, "a", rtype, ""), {each.id: each for each in drafts}, "me"
    )


async def fill(store: EtcdStore) -> None:
    steps = [
        PutOp(RecordKey(ZONE, f"z{n}", "A", "x").raw, b'{"data": "10.9.9.9"}') for n in range(MANY)
    ]
    for at in range(0, MANY, 100):
        await store.transaction((), steps[at : at + 100])


@pytest.mark.parametrize(
    "after",
    [
        [("A", "10.0.0.4", "10.0.0.5", "10.0.0.6")],
        [("A", "10.0.0.2", "10.0.0.9")],
        [("A",), ("CNAME", "z1.lab.internal.")],
        [("A",)],
    ],
)
async def test_rrset_changes_in_one_step_after_relist(
    etcd: Etcd, after: list[tuple[str, ...]]
) -> None:
    """The state was replaced, and the history compacted, while nobody watched."""
    async with EtcdStore(etcd.options()) as store:
        await replace(store, "A", "10.0.0.1", "10.0.0.2", "10.0.0.3")
        await fill(store)
        watcher = FollowingCatalog(etcd)
        await watcher.start()
        await until(lambda: len(watcher.core.text(ZONE)) == MANY + 3)
        await watcher.stop()
        for each in after:
            await replace(store, *each)
        page = await store.range(b"/", limit=1)
        await store.client.compact(page.revision)
        watcher.core.name = "a"
        await watcher.start(new_catalog=False)
        wanted = sorted(after[-1][1:])
        await until(lambda: watcher.core.steps[-1:] == [wanted])
        await watcher.stop()
        assert watcher.core.steps == [wanted]
