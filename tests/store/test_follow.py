"""List, then watch: the keys stay equal to the store's after compaction, outages, restarts."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Self

import pytest

from musterd.backoff import Backoff
from musterd.etcd import EtcdKeys, span
from musterd.kv import (
    Compacted,
    Entry,
    Event,
    EventBatch,
    EventKind,
    Page,
    PutOp,
    Store,
    StoreLost,
    StoreUnavailable,
)
from musterd.kv.follow import (
    Changed,
    Followed,
    Interrupted,
    ListPage,
    Live,
    Step,
    StoreKeys,
    WatchLike,
    follow,
)
from musterd.store.etcd import EtcdStore
from tests.store.backends import Backend, EtcdBackend
from tests.store.kit import put_all

SOON = Backoff(0.01, 0.05)
Steps = AsyncGenerator[Step[EventBatch]]


@asynccontextmanager
async def following(
    keys: Followed[EventBatch], since: int | None = None, max_events: int = 1000
) -> AsyncIterator[Steps]:
    steps = follow(keys, SOON, since=since, max_events=max_events)
    async with asyncio.timeout(30), aclosing(steps):
        yield steps


async def until(steps: Steps, wanted: Callable[[Step[EventBatch]], bool]) -> list[Step[EventBatch]]:
    """Read steps up to the first that is wanted."""
    found = []
    async for step in steps:
        found.append(step)
        if wanted(step):
            break
    return found


async def read(steps: Steps, key: bytes) -> dict[bytes, bytes]:
    """Apply steps until a key changes."""
    known: dict[bytes, bytes] = {}
    async for step in steps:
        if isinstance(step, ListPage):
            if step.first:
                known.clear()
            known |= {entry.key: entry.value for entry in step.entries}
        if isinstance(step, Changed):
            for event in (event for batch in step.batches for event in batch.events):
                known.pop(event.key, None)
                if event.entry is not None:
                    known[event.key] = event.entry.value
        if key in known:
            break
    return known


async def test_lists_in_pages_then_watches(store: Store) -> None:
    await put_all(store, [PutOp(b"a/%04d" % n, b"1") for n in range(2500)])
    at = await store.put(b"b", b"other")
    async with following(StoreKeys(store, b"a/")) as steps:
        *pages, live = await until(steps, lambda step: isinstance(step, Live))
        assert all(isinstance(page, ListPage) for page in pages)
        entries = [entry for page in pages if isinstance(page, ListPage) for entry in page.entries]
        assert len(entries) == 2500
        assert [page.first for page in pages if isinstance(page, ListPage)].count(True) == 1
        assert [page.more for page in pages if isinstance(page, ListPage)].count(False) == 1
        assert live[0] == at
        await store.put(b"b", b"again")
        changed = await store.put(b"a/x", b"2")
        step = await anext(steps)
        assert isinstance(step, Changed)
        (batch,) = step.batches
        assert (batch.revision, batch.events[0].key) == (changed, b"a/x")
        assert not step.interrupted


async def test_empty_list_is_one_page(store: Store) -> None:
    async with following(StoreKeys(store, b"a/")) as steps:
        page, live = await anext(steps), await anext(steps)
        assert page == ((), live[0], True, False)
        assert isinstance(live, Live)


async def test_known_revision_needs_no_list(store: Store) -> None:
    since = await store.put(b"a/1", b"1")
    await store.put(b"a/2", b"2")
    async with following(StoreKeys(store, b"a/"), since=since) as steps:
        assert isinstance(await anext(steps), Live)
        step = await anext(steps)
        assert isinstance(step, Changed)
        assert [event.key for batch in step.batches for event in batch.events] == [b"a/2"]


async def test_compacted_revision_lists_again(backend: Backend) -> None:
    store = backend.store
    since = await store.put(b"a/1", b"1")
    await store.put(b"a/1", b"2")
    await backend.compact(await store.put(b"a/2", b"2"))
    async with following(StoreKeys(store, b"a/"), since=since) as steps:
        found = await until(steps, lambda step: isinstance(step, ListPage))
        *_, interrupted, page = found
        assert isinstance(interrupted, Interrupted)
        assert isinstance(interrupted.error, Compacted)
        assert isinstance(page, ListPage)
        assert [entry.value for entry in page.entries] == [b"2", b"2"]


async def test_etcd_client_is_followed_across_a_restart(backend: Backend) -> None:
    if not isinstance(backend, EtcdBackend):
        pytest.skip("the embedded store ends with its process")
    client = backend.store.client
    await backend.store.put(b"a/1", b"1")
    async with asyncio.timeout(60), aclosing(follow(EtcdKeys(client, span(b"a/")), SOON)) as steps:
        async for step in steps:
            if isinstance(step, Live):
                break
        await backend.restart()
        await backend.store.put(b"a/2", b"2")
        found: list[bytes] = []
        async for step in steps:
            if isinstance(step, Changed):
                found += [event.key for batch in step.batches for event in batch.events]
            if found:
                break
        assert found == [b"a/2"]


async def test_store_is_followed_across_a_restart(backend: Backend) -> None:
    if not isinstance(backend, EtcdBackend):
        pytest.skip("the embedded store ends with its process")
    await backend.store.put(b"a/1", b"1")
    async with (
        EtcdStore(backend.etcd.options()) as other,
        following(StoreKeys(other, b"a/")) as steps,
    ):
        reading = asyncio.ensure_future(read(steps, b"a/2"))
        await asyncio.sleep(0.1)
        await backend.restart()
        await backend.store.put(b"a/2", b"2")
        assert await reading == {b"a/1": b"1", b"a/2": b"2"}


def batch(revision: int, *keys: bytes) -> EventBatch:
    entries = [Entry(key, b"", revision, revision, 1, 0) for key in keys]
    events = tuple(Event(EventKind.PUT, entry.key, entry, None) for entry in entries)
    return EventBatch(revision, 0.0, events)


class Scripted:
    """Keys whose watch yields scripted batches and errors."""

    def __init__(self, *steps: EventBatch | Exception) -> None:
        self.revision, self.current = 1, True
        self.steps = list(steps)
        self.lists = 0

    @property
    def ready(self) -> bool:
        return bool(self.steps) and isinstance(self.steps[0], EventBatch)

    async def pages(self) -> AsyncGenerator[Page]:
        self.lists += 1
        yield Page((), self.revision, False)

    @asynccontextmanager
    async def watch(self, from_revision: int) -> AsyncIterator[WatchLike[EventBatch]]:
        assert from_revision == self.revision + 1
        yield self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventBatch:
        if not self.steps:
            await asyncio.Future()
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            self.current = False
            raise step
        self.revision = step.revision
        return step


async def test_lost_watch_goes_on_and_is_live_once_current() -> None:
    keys = Scripted(StoreLost("gone"), batch(2, b"a"))
    async with following(keys) as steps:
        await until(steps, lambda step: isinstance(step, Live))
        assert isinstance(await anext(steps), Interrupted)
        step = await anext(steps)
        assert isinstance(step, Changed)
        assert step.interrupted
        keys.steps.append(batch(3))
        keys.current = True
        live = await anext(steps)
        assert isinstance(live, Live)
        assert live.revision == 2
    assert keys.lists == 1


async def test_failed_watch_lists_again() -> None:
    keys = Scripted(StoreUnavailable("closed"), batch(2, b"a"))
    async with following(keys) as steps:
        found = await until(steps, lambda step: isinstance(step, Changed))
    kinds = [type(step) for step in found]
    assert kinds == [ListPage, Live, Interrupted, ListPage, Live, Changed]
    assert keys.lists == 2


async def test_waiting_batches_are_taken_together_up_to_a_bound() -> None:
    keys = Scripted(*(batch(n, b"a", b"b") for n in range(2, 9)))
    async with following(keys, max_events=4) as steps:
        await until(steps, lambda step: isinstance(step, Live))
        sizes = []
        for _ in range(4):
            step = await anext(steps)
            assert isinstance(step, Changed)
            sizes.append(len(step.batches))
    assert sizes == [2, 2, 2, 1]
