"""The past of some keys, found by replaying what etcd keeps, the newest part first."""

from collections import deque
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from musterd.etcd import EtcdClient
from musterd.kv.errors import Compacted
from musterd.kv.values import EventBatch, Past
from musterd.store.etcd.watch import batch

REVISIONS: Final = 100_000
"""The last revisions of an etcd, of which it tells; whoever's."""
WINDOWS: Final = (1000, 10_000, REVISIONS)
"""Revisions that are replayed at once, one part before the other, while there is not enough."""
FIRST: Final = 2
"""The revision of the first change: an etcd without any is at 1."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose past it is, and since when.

    first: its first revision; span: the keys of which each transaction tells all changes; base:
    octets of a key at etcd that the store doesn't show; prefix: of the keys, as the store has them,
    that are asked for.
    """

    client: EtcdClient
    first: int
    span: tuple[bytes, bytes]
    base: int
    prefix: bytes

    def matching(self, one: EventBatch) -> int:
        """How many changes of a transaction were asked for."""
        return sum(event.key.startswith(self.prefix) for event in one.events)


async def past(scope: Scope, before: int, limit: int) -> Past:
    """The last transactions below a revision that is not to come, as of `Store.history`."""
    taken: list[EventBatch] = []
    count, last = 0, before - 1
    for window in WINDOWS:
        first = max(last - window + 1, scope.first)
        part, all_known = await _part(scope, first, last, limit)
        for one in reversed(part):
            if count >= limit:
                return Past(tuple(taken), True)
            taken.append(one)
            count += scope.matching(one)
        last = first - 1
        if not all_known or last < scope.first:
            break
    return Past(tuple(taken), False)


async def _part(scope: Scope, first: int, last: int, limit: int) -> tuple[deque[EventBatch], bool]:
    """Transactions between two revisions, oldest first; whether all since the first are known.

    Of more than are needed for one more than ``limit`` changes the last are given.
    """
    all_known = True
    while first <= last:
        found: deque[EventBatch] = deque()
        count = 0
        try:
            async with aclosing(scope.client.replay(*scope.span, first=first, last=last)) as past:
                async for events in past:
                    one = batch(events, scope.base)
                    matching = scope.matching(one)
                    if matching:
                        found.append(one)
                        count += matching
                    while found and count - scope.matching(found[0]) > limit:
                        count -= scope.matching(found.popleft())
        except Compacted as error:
            # It may be compacted while it is read, too.
            all_known, first = False, error.revision
        else:
            return found, all_known
    return deque(), all_known
