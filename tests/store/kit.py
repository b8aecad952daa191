"""Helpers that the tests of the stores share."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Sequence

from musterd.kv import Entry, EventBatch, PutOp, Store, Watch

SEED = 20_261_121


async def everything(store: Store, prefix: bytes = b"") -> dict[bytes, Entry]:
    """Scan a prefix, check the order of the keys and return the entries."""
    entries = [entry async for page in store.scan(prefix) for entry in page.entries]
    assert [entry.key for entry in entries] == sorted({entry.key for entry in entries})
    return {entry.key: entry for entry in entries}


async def revision(store: Store) -> int:
    """Return the store's current revision."""
    return (await store.range(b"", limit=1)).revision


async def take(watch: Watch, count: int) -> list[EventBatch]:
    """Read the next batches."""
    return [await anext(watch) for _ in range(count)]


async def until(watch: Watch, revision: int) -> list[EventBatch]:
    """Read batches up to a revision."""
    batches = await take(watch, 1)
    while batches[-1].revision < revision:
        batches += await take(watch, 1)
    return batches


@contextlib.asynccontextmanager
async def meanwhile(*work: Awaitable[object]) -> AsyncIterator[None]:
    """Run work concurrently with the block; cancel what remains at its end."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in done:
        if isinstance(outcome, Exception):
            raise outcome


async def put_all(store: Store, puts: Sequence[PutOp], max_operations: int = 1000) -> list[int]:
    """Put many keys in transactions as large as allowed; return their revisions."""
    max_operations = min(max_operations, store.limits.operations)
    batches = [puts[at : at + max_operations] for at in range(0, len(puts), max_operations)]
    return [(await store.transaction((), batch)).revision for batch in batches]


def seeded(name: object = "") -> random.Random:
    """Return a random generator that is the same on each run."""
    return random.Random(f"{SEED} {name}")  # noqa: S311
