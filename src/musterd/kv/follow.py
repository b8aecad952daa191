"""List the keys with a prefix, then watch them, across compaction, outages and restarts."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from musterd.backoff import Backoff
from musterd.kv.errors import Compacted, StoreError, StoreLost
from musterd.kv.protocol import Store, Watch
from musterd.kv.values import Entry, Page

MAX_EVENTS: Final = 1000
"""Events after which a `Changed` step takes no further batches."""


class BatchLike(Protocol):
    """Events of one revision."""

    @property
    def revision(self) -> int:
        """The revision."""

    @property
    def events(self) -> Sequence[object]:
        """The events, in order."""


B = TypeVar("B", bound=BatchLike)
B_co = TypeVar("B_co", bound=BatchLike, covariant=True)


class WatchLike(Protocol[B_co]):
    """A watch as in `musterd.kv.Watch`, with any kind of batches."""

    @property
    def revision(self) -> int:
        """Same as in `Watch`."""

    @property
    def ready(self) -> bool:
        """Same as in `Watch`."""

    @property
    def current(self) -> bool:
        """Same as in `Watch`."""

    async def __anext__(self) -> B_co:
        """Same as in `Watch`."""


class PageLike(Protocol):
    """A page of a list as in `musterd.kv.Page`."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Same as in `Page`."""

    @property
    def revision(self) -> int:
        """Same as in `Page`."""

    @property
    def more(self) -> bool:
        """Same as in `Page`."""


class Followed(Protocol[B_co]):
    """A range of keys that can be listed and watched."""

    def pages(self) -> AsyncGenerator[PageLike]:
        """List the keys in pages of one revision; at least one page, even if empty."""

    def watch(self, from_revision: int) -> AbstractAsyncContextManager[WatchLike[B_co]]:
        """Watch the keys from a revision on, that one included."""


@dataclass(frozen=True, slots=True)
class StoreKeys:
    """The keys of a store with a prefix."""

    store: Store
    prefix: bytes

    def pages(self) -> AsyncGenerator[Page]:
        """Same as in `Followed`."""
        return self.store.scan(self.prefix)

    def watch(self, from_revision: int) -> AbstractAsyncContextManager[Watch]:
        """Same as in `Followed`."""
        return self.store.watch(self.prefix, from_revision)


class ListPage(NamedTuple):
    """A page of a list, in the order of its keys. A list replaces everything known before.

    first: the first page of its list; more: the list has further pages.
    """

    entries: tuple[Entry, ...]
    revision: int
    first: bool
    more: bool


class Live(NamedTuple, Generic[B]):
    """Nothing is missing up to a revision: after a list, and after an interrupted watch."""

    revision: int
    watch: WatchLike[B]


class Changed(NamedTuple, Generic[B]):
    """The next batches of the watch.

    interrupted: the watch was interrupted, and changes from before that may still be missing.
    """

    batches: list[B]
    watch: WatchLike[B]
    interrupted: bool


class Interrupted(NamedTuple):
    """Changes can't be followed now. Next comes a list, or the rest of the watch."""

    error: StoreError


Step = ListPage | Live[B] | Changed[B] | Interrupted
Take = Callable[[WatchLike[B]], Awaitable[B]]


async def follow(
    keys: Followed[B],
    retry: Backoff,
    *,
    since: int | None = None,
    take: Take[B] | None = None,
    max_events: int = MAX_EVENTS,
) -> AsyncGenerator[Step[B]]:
    """Yield all keys and then every change, without end.

    since: a revision up to which everything is known, so that no list is needed at first; retry:
    delays after an error; take: reads the next batch of a watch, instead of `anext`.

    Close it (`contextlib.aclosing`), after a pending `anext` of it has ended.
    """
    delays = retry.start()
    while True:
        try:
            async with aclosing(_list_and_watch(keys, since, take or _next, max_events)) as steps:
                async for step in steps:
                    if isinstance(step, Live):
                        delays.reset()
                    yield step
        except Compacted as error:
            # More changed than the store keeps, or it is another store: list again at once.
            yield Interrupted(error)
            since = None
            continue
        except StoreError as error:
            yield Interrupted(error)
            since = None
        await asyncio.sleep(delays.next())


async def _list_and_watch(
    keys: Followed[B], since: int | None, take: Take[B], max_events: int
) -> AsyncGenerator[Step[B]]:
    """List and watch once. Raises StoreError."""
    if since is None:
        async with aclosing(keys.pages()) as pages:
            async for page in pages:
                first, since = since is None, page.revision
                yield ListPage(page.entries, page.revision, first, page.more)
                # A page may arrive without a wait: let other tasks run.
                await asyncio.sleep(0)
    revision = since or 0
    async with keys.watch(revision + 1) as watch:
        yield Live(revision, watch)
        interrupted = False
        while True:
            try:
                batches = await _batches(watch, take, max_events)
            except StoreLost as error:
                interrupted = True
                yield Interrupted(error)
                continue
            yield Changed(batches, watch, interrupted)
            if interrupted and watch.current:
                interrupted = False
                yield Live(watch.revision, watch)


async def _batches(watch: WatchLike[B], take: Take[B], max_events: int) -> list[B]:
    """Return the next batch, and those after it that need no wait."""
    batches = [await take(watch)]
    count = len(batches[0].events)
    while watch.ready and count < max_events:
        batch = await anext(watch)
        batches.append(batch)
        count += len(batch.events)
    return batches


async def _next(watch: WatchLike[B]) -> B:
    return await anext(watch)
