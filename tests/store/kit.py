"""What the tests of the stores share."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Sequence

from musterd.kv import Entry, EventBatch, PutOp, Store, Watch

SEED = 20_261_121


async def everything(store: Store, prefix: bytes = b"") -> dict[bytes, Entry]:
    """What a scan gives, after a look at its order."""
    entries = [entry async for page in store.scan(prefix) for entry in page.entries]
    assert [entry.key for entry in entries] == sorted({entry.key for entry in entries})
    return {entry.key: entry for entry in entries}


async def revision(store: Store) -> int:
    """The store's, now."""
    return (await store.range(b"", limit=1)).revision


async def take(watch: Watch, count: int) -> list[EventBatch]:
    """The next batches."""
    return [await anext(watch) for _ in range(count)]


async def until(watch: Watch, revision: int) -> list[EventBatch]:
    """The next batches, to one of a revision."""
    batches = await take(watch, 1)
    while batches[-1].revision < revision:
        batches += await take(watch, 1)
    return batches


@contextlib.asynccontextmanager
async def meanwhile(*work: Awaitable[object]) -> AsyncIterator[None]:
    """Do work beside the block; what is left of it is cancelled at the end."""
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


async def put_all(store: Store, puts: Sequence[PutOp], most: int = 1000) -> list[int]:
    """Put many keys in transactions as large as may be; the revisions of these."""
    most = min(most, store.limits.operations)
    pieces = [puts[at : at + most] for at in range(0, len(puts), most)]
    return [(await store.transaction((), piece)).revision for piece in pieces]


def seeded(name: object = "") -> random.Random:
    """Chance that is the same each time."""
    return random.Random(f"{SEED} {name}")  # noqa: S311
