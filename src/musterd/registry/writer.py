"""The writer: writes records in transactions, and retries if others write at the same time."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from musterd.kv import Compare, DeleteOp, Entry, Operation, PutOp, Store
from musterd.registry.applied import Applied
from musterd.registry.errors import Clash, Mismatch
from musterd.registry.keys import DELETED, RecordKey, type_in
from musterd.registry.write_cache import WriteCache

_MAX_TRIES: Final = 16
"""Maximum attempts of a write when others write the same record."""

T = TypeVar("T")


class Found(NamedTuple):
    """The current entry of a record. verified: it was read, not guessed."""

    entry: Entry | None
    verified: bool


class Attempt(NamedTuple, Generic[T]):
    """An attempt to write. context: what its caller needs to know about it afterwards."""

    context: T
    compares: Sequence[Compare] = ()
    steps: Sequence[Operation] = ()


class RecordWriter:
    """Writes records; remembers the last writes."""

    def __init__(self, store: Store, applied: Applied) -> None:
        """Create a writer. applied: reports when a revision is in the answers."""
        self._store = store
        self._applied = applied
        self._cache = WriteCache()

    def guess(self, key: bytes) -> Found:
        """Return the entry as last written here; a transaction has to confirm it."""
        return Found(self._cache.get(key), False)

    async def read(self, key: bytes) -> Found:
        """Return the entry in the store."""
        return Found(await self._store.get(key), True)

    async def write(
        self, key: RecordKey, build: Callable[[Found], Awaitable[Attempt[T]]], found: Found
    ) -> tuple[T, int]:
        """Retry a write until it succeeds, then wait until it is in the answers.

        Return the context of the last attempt, and the revision; 0 if there was nothing to write.
        build: creates an attempt from the entry of its first condition, as it was found last.
        Raises Clash, Mismatch.
        """
        for _ in range(_MAX_TRIES):
            attempt = await build(found)
            if not attempt.steps:
                return attempt.context, 0
            done = await self._store.transaction(attempt.compares, attempt.steps)
            if done.succeeded:
                self._remember(attempt.steps, done.revision)
                await self._applied.reached(done.revision)
                return attempt.context, done.revision
            _check_alias(key, done.entries)
            found = Found(done.entries[0], True)
        raise Mismatch(f"{key.rrset}: too many concurrent writes: try again", 0)

    def _remember(self, steps: Iterable[Operation], revision: int) -> None:
        for step in steps:
            if isinstance(step, DeleteOp):
                self._cache.drop(step.key)
            elif step.key != DELETED:
                self._cache.keep(written_entry(step, revision))


def written_entry(step: PutOp, revision: int) -> Entry:
    """Return the entry of an operation, without the fields that only the store knows."""
    return Entry(step.key, step.value, 0, revision, 0, step.lease)


def _check_alias(key: RecordKey, found: Iterable[Entry | None]) -> None:
    """Raise Clash if a CNAME blocks a record."""
    if key.rtype != "CNAME" and any(entry and type_in(entry.key) == "CNAME" for entry in found):
        raise Clash(
            f"{key.owner} has a CNAME record, which excludes other records: delete it first"
        )
