"""The registry as a source: records, changes and faults of the store."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from musterd.catalog import Catalog
from musterd.kv import EventBatch, Store, StoreLost
from musterd.kv import PutOp as StorePut
from musterd.registry.applied import Applied
from musterd.registry.keys import RecordKey
from musterd.registry.record import encode, record_spec
from musterd.server.source_runner import SourceRunner
from musterd.settings import Settings
from musterd.sources.changes import Batch, Begin, Change, Delete, Fault, Lost, Put, Synced
from musterd.sources.registry import RegistrySource
from musterd.store.embedded import EmbeddedOptions, EmbeddedStore
from musterd.store.etcd import EtcdStore as InEtcd
from tests.catalogkit import NOW, ManualClock, RecordingCore, until
from tests.etcdkit import running
from tests.store.kit import meanwhile

ZONE = "lab.internal"
TTL = 30


def key(owner: str, rtype: str = "A", name: str = "x", zone: str = ZONE) -> bytes:
    return RecordKey(zone, owner, rtype, name).raw


def value(data: str, **more: Any) -> bytes:
    return json.dumps({"data": data, "registrant": "me", "modified": NOW, **more}).encode()


class FedCatalog:
    """A catalog fed from a store."""

    def __init__(self, store: Store, catalog: Catalog, core: RecordingCore) -> None:
        self.store = store
        self.catalog = catalog
        self.core = core
        self.applied = Applied()

    async def put(self, name: bytes, content: bytes, lease: int = 0) -> None:
        """Write a key and wait until the answers include it."""
        assert await self.applied.reached(await self.store.put(name, content, lease=lease))

    @property
    def problems(self) -> list[str]:
        return [problem.where for problem in self.catalog.tables["registry"].problems.last]


@asynccontextmanager
async def feeding(store: Store) -> AsyncIterator[FedCatalog]:
    core, clock = RecordingCore(), ManualClock()
    catalog = Catalog(core, clock)
    raw = {"zones": [{"name": ZONE}, {"name": "b.test"}]}
    await catalog.reconfigure(Settings.model_validate(raw))
    fed = FedCatalog(store, catalog, core)
    source = RegistrySource(store, fed.applied, lambda _: TTL)
    task = asyncio.create_task(SourceRunner(source, catalog, None, lambda _: None).run())
    try:
        await fed.applied.synced(60)
        yield fed
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    async with await EmbeddedStore.open(tmp_path / "store.db") as opened:
        yield opened


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[Store]:
    async with running(tmp_path / "etcd", "etcd-3.5") as etcd, InEtcd(etcd.options()) as opened:
        yield opened


async def test_list_yields_each_name_whole(store: EmbeddedStore) -> None:
    for owner, count in (("a", 3), ("b", 2500), ("c", 1)):
        for at in range(0, count, 500):
            numbers = range(at, min(at + 500, count))
            steps = [StorePut(key(owner, "TXT", str(n)), value(f"{n}")) for n in numbers]
            await store.transaction((), steps)
    batches: list[list[str]] = []
    async with aclosing(RegistrySource(store, Applied(), lambda _: TTL).changes()) as changes:
        async for change in changes:
            if isinstance(change, Batch):
                assert change.whole
                puts = [put for put in change.changes if isinstance(put, Put)]
                batches.append(sorted({put.key.split("/")[1] for put in puts}))
            if isinstance(change, Synced):
                break
    assert [owner for owners in batches for owner in owners] == ["a", "b", "c"]


async def test_existing_and_changed_records_are_answered(store: EmbeddedStore) -> None:
    await store.put(key("a"), value("10.0.0.1"))
    await store.put(key("s", "SRV"), value("0 7 80 a.lab.internal.", ttl=5))
    async with feeding(store) as fed:
        assert fed.core.state_of(ZONE) == "live"
        assert fed.core.text(ZONE) == [
            "a.lab.internal. 30 A 10.0.0.1", "s.lab.internal. 5 SRV 0 7 80 a.lab.internal.",
        ]  # fmt: skip
        await fed.put(key("a", name="y"), value("10.0.0.2", ttl=9))
        assert fed.core.text(ZONE)[:2] == [
            "a.lab.internal. 9 A 10.0.0.1", "a.lab.internal. 9 A 10.0.0.2",
        ]  # fmt: skip
        await fed.put(key("a"), value("10.0.0.3", policy="one"))
        assert fed.core.text(ZONE)[0] == "a.lab.internal. 9 A 10.0.0.2 ; one"
        revision = await store.delete(key("a"))
        assert revision
        await fed.applied.reached(revision)
        assert fed.core.text(ZONE)[0] == "a.lab.internal. 9 A 10.0.0.2"


async def test_explain_shows_provenance(store: EmbeddedStore) -> None:
    async with feeding(store) as fed:
        await fed.put(key("a"), value("10.0.0.1", modified=NOW + 5))
        zone = b"\x03lab\x08internal\0"
        (found,) = fed.catalog.explain(zone, b"\x01a" + zone, 1)
        assert (found.source, found.key) == ("registry", "lab.internal/a/A/x")
        assert found.time == NOW + 5
        assert found.revision == (await store.range(b"")).revision


async def test_many_concurrent_writes_are_all_answered(store: EmbeddedStore) -> None:
    steps = [StorePut(key(f"h{n}"), value(f"10.0.{n >> 8}.{n & 255}")) for n in range(2500)]
    for at in range(0, len(steps), 500):
        await store.transaction((), steps[at : at + 500])
    async with feeding(store) as fed:
        assert len(fed.core.text(ZONE)) == 2500
        puts = [store.put(key(f"h{n}"), value("10.1.1.1")) for n in range(500)]
        last = max(await asyncio.gather(*puts))
        await fed.applied.reached(last)
        assert sum("10.1.1.1" in line for line in fed.core.text(ZONE)) == 500


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (key("a"), b"no json"),
        (key("a"), b"[]"),
        (key("a"), b"{}"),
        (key("a"), value("10.0.0")),
        (key("a"), value("10.0.0.1", ttl=-1)),
        (key("a"), value("10.0.0.1", ttl="x")),
        (key("a"), value("10.0.0.1", weight=70000)),
        (key("a"), value("10.0.0.1", policy="best")),
        (key("a"), value("10.0.0.1", modified="x")),
        (key("a"), value("10.0.0.1", ptr="no")),
        (key("a"), value("10.0.0.1", ptr=[])),
        (key("a", "NOPE"), value("x")),
        (key("a..b"), value("10.0.0.1")),
        (key("a", zone="lab..internal"), value("10.0.0.1")),
        (key("x" * 64), value("10.0.0.1")),
        (b"/musterd/v1/records/too/few", value("10.0.0.1")),
        (b"/musterd/v1/records/\xff/a/A/x", value("10.0.0.1")),
        (key("a", zone="c.test"), value("10.0.0.1")),
        (key("a", "CAA"), value("0 issue ca.test; accounturi=https://a/1")),
        (key("a", "TXT"), value('"a" b')),
        (key("a", "CNAME"), value("web")),
        (key("a", "MX"), value("10 mail")),
        (key("a", "NS"), value("10.0.0.1")),
        (key("@", "CNAME"), value("web.test.")),
        (key("*", "NS"), value("ns.test.")),
        (key("*.a", "DNAME"), value("web.test.")),
    ],
)
async def test_invalid_entry_is_left_out_and_reported(
    store: EmbeddedStore, name: bytes, content: bytes
) -> None:
    await store.put(key("good"), value("10.0.0.1"))
    await store.put(name, content)
    async with feeding(store) as fed:
        assert fed.core.text(ZONE) == ["good.lab.internal. 30 A 10.0.0.1"]
        assert len(fed.problems) == 1
        await fed.put(key("b"), value("10.0.0.2"))
        await fed.put(name, content + b" ")
        assert len(fed.problems) == 1
        assert fed.catalog.tables["registry"].problems.total == 2
        assert len(fed.core.text(ZONE)) == 2


async def test_record_that_becomes_invalid_is_no_longer_answered(store: EmbeddedStore) -> None:
    async with feeding(store) as fed:
        await fed.put(key("a"), value("10.0.0.1"))
        await fed.put(key("a"), b"{")
        assert fed.core.text(ZONE) == []
        assert fed.problems == ["lab.internal/a/A/x"]
        await fed.put(key("a"), value("10.0.0.2"))
        assert fed.core.text(ZONE) == ["a.lab.internal. 30 A 10.0.0.2"]
        assert fed.problems == []


async def test_deleting_invalid_entry_clears_problem(store: EmbeddedStore) -> None:
    await store.put(key("a"), b"{")
    async with feeding(store) as fed:
        assert fed.problems == ["lab.internal/a/A/x"]
        await store.delete(key("a"))
        await fed.put(key("b"), value("10.0.0.2"))
        assert fed.problems == []


async def test_leases_bound_the_ttl(store: EmbeddedStore) -> None:
    async with feeding(store) as fed:
        await fed.put(key("a"), value("10.0.0.1", lease_ttl=10))
        await fed.put(key("b"), value("10.0.0.1", lease_ttl=10, ttl=5))
        await fed.put(key("c"), value("10.0.0.1", lease_ttl=60))
        assert [line.split()[1] for line in fed.core.text(ZONE)] == ["10", "5", "30"]


async def changes(source: RegistrySource, wanted: Callable[[Change], bool]) -> list[Change]:
    """Collect the changes of a source up to the first wanted one."""
    found: list[Change] = []
    async for change in source.changes():
        found.append(change)
        if wanted(change):
            break
    return found


async def test_list_begins_with_begin_and_ends_with_synced(store: EmbeddedStore) -> None:
    await store.put(key("a"), value("10.0.0.1"))
    await store.put(key("b"), b"{")
    source = RegistrySource(store, Applied(), lambda _: TTL)
    begin, fault, several, synced = await changes(source, lambda change: isinstance(change, Synced))
    assert isinstance(begin, Begin)
    assert isinstance(fault, Fault)
    assert isinstance(several, Batch)
    put, delete = several.changes
    assert isinstance(put, Put)
    assert delete == Delete("lab.internal/b/A/x", 0)
    assert synced == Synced((await store.range(b"")).revision)


async def test_unreadable_store_is_reported_as_lost(store: EmbeddedStore) -> None:
    source = RegistrySource(store, Applied(), lambda _: TTL)
    await store.close()
    lost = (await changes(source, lambda change: isinstance(change, Lost)))[-1]
    assert isinstance(lost, Lost)
    assert "closed" in lost.reason


async def test_source_lists_again_after_falling_behind(tmp_path: Path) -> None:
    options = EmbeddedOptions(history=10, queue=5)
    async with (
        await EmbeddedStore.open(tmp_path / "store.db", options) as store,
        feeding(store) as fed,
    ):
        await fed.put(key("old"), value("10.0.0.1"))
        revision = 0
        for _ in range(20):
            revision = await store.delete(key("old")) or revision
            puts = [store.put(key(f"h{n}"), value("10.0.0.2")) for n in range(50)]
            revision = max(revision, *await asyncio.gather(*puts))
        await until(lambda: fed.applied.revision >= revision)
        assert len(fed.core.text(ZONE)) == 50


async def test_revision_advances_with_other_keys(store: Store, etcd: Store) -> None:
    """Otherwise, of two complete servers, the later one would seem to be ahead."""
    for source_store in (store, etcd):
        async with feeding(source_store) as early:
            await early.put(key("a"), value("10.0.0.1"))
            last = await source_store.put(b"/other", b"x")
            async with feeding(source_store) as late:
                assert late.applied.revision >= last
                async with asyncio.timeout(20):
                    while early.applied.revision < last:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                assert early.applied.lag == 0


async def test_revision_is_never_ahead_of_answers(store: EmbeddedStore) -> None:
    applied = Applied()
    async with aclosing(RegistrySource(store, applied, lambda _: TTL).changes()) as changes:
        async for change in changes:
            if isinstance(change, Synced):
                break
        reading = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        before = await store.put(b"/other", b"x")
        await until(lambda: applied.revision == before)
        revision = await store.put(key("a"), value("10.0.0.1"))
        await store.put(b"/other", b"y")
        assert isinstance(await reading, Batch)
        # The batch was yielded, but its consumer hasn't applied it yet.
        assert applied.revision == before
        reading = asyncio.ensure_future(anext(changes))
        await until(lambda: applied.revision > revision)
        reading.cancel()
        await asyncio.wait([reading])


class Flaky:
    """A watch that is lost, returns with the missed events in parts, and then stays silent."""

    def __init__(self) -> None:
        self.revision, self.ready, self.current = 1, False, True
        self.steps: asyncio.Queue[EventBatch | StoreLost] = asyncio.Queue()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventBatch:
        step = await self.steps.get()
        if isinstance(step, StoreLost):
            raise step
        self.revision = step.revision
        return step


async def test_lag_lasts_until_nothing_is_missing(store: EmbeddedStore) -> None:
    watch, applied = Flaky(), Applied()

    class Lossy:
        scan = store.scan

        @asynccontextmanager
        async def watch(self, *_: object) -> AsyncIterator[Flaky]:
            yield watch

    async def read() -> None:
        async for _ in RegistrySource(Lossy(), applied, lambda _: TTL).changes():  # type: ignore[arg-type]
            pass

    async with meanwhile(read()):
        await until(lambda: applied.revision == 1)
        watch.current = False
        watch.steps.put_nowait(StoreLost("gone"))
        await until(lambda: applied.lag > 0)
        watch.steps.put_nowait(EventBatch(7, 0.0, ()))
        await until(lambda: applied.revision == 7)
        assert applied.lag > 0
        watch.current = True
        watch.steps.put_nowait(EventBatch(9, 0.0, ()))
        await until(lambda: applied.lag == 0)


async def test_reached_waits_for_revision_or_loss() -> None:
    applied = Applied()
    assert not await applied.reached(5)
    applied.upto(4)
    waiting = [asyncio.ensure_future(applied.reached(at)) for at in (4, 5, 6)]
    await asyncio.sleep(0)
    applied.upto(5)
    assert await waiting[0]
    assert await waiting[1]
    applied.lost()
    assert not await waiting[2]


async def test_cancelled_wait_is_removed() -> None:
    applied = Applied()
    applied.upto(1)
    task = asyncio.ensure_future(applied.reached(2))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    applied.upto(2)
    assert not applied._waiting


async def test_encoded_record_has_all_fields() -> None:
    wanted = record_spec(1, "10.0.0.1", "subset:2", ttl=5, labels={"a": "b"})
    found = json.loads(encode(wanted, "me", NOW, None))
    assert found == {"data": "10.0.0.1", "ttl": 5, "policy": "subset:2", "labels": {"a": "b"},
                     "registrant": "me", "created": NOW, "modified": NOW}  # fmt: skip
