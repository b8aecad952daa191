"""History of keys, found by replaying the revisions that etcd keeps, newest part first."""

from collections import deque
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from musterd.etcd import EtcdClient
from musterd.kv.errors import Compacted
from musterd.kv.values import EventBatch, Past
from musterd.store.etcd.watch import batch

REVISIONS: Final = 100_000
"""Maximum revisions searched, counted back from the last one of the whole etcd."""
_WINDOWS: Final = (1000, 10_000, REVISIONS)
"""Sizes of the parts replayed one after another, from the newest, until there is enough."""
FIRST: Final = 2
"""Revision of the first change: an empty etcd is at 1."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Keys and revisions to search.

    first: the first revision; span: range of the keys whose changes are returned with a
    transaction; base: length of the key prefix in etcd that the store hides; prefix: of the
    requested keys, as in the store.
    """

    client: EtcdClient
    first: int
    span: tuple[bytes, bytes]
    base: int
    prefix: bytes

    def matching(self, found: EventBatch) -> int:
        """Return the number of requested changes in a transaction."""
        return sum(event.key.startswith(self.prefix) for event in found.events)


async def past(scope: Scope, before: int, limit: int) -> Past:
    """Return the last transactions below a past revision; see `Store.history`."""
    collected: list[EventBatch] = []
    count, last = 0, before - 1
    for window in _WINDOWS:
        first = max(last - window + 1, scope.first)
        part, all_known = await _part(scope, first, last, limit)
        for transaction in reversed(part):
            if count >= limit:
                return Past(tuple(collected), True)
            collected.append(transaction)
            count += scope.matching(transaction)
        last = first - 1
        if not all_known or last < scope.first:
            break
    return Past(tuple(collected), False)


async def _part(scope: Scope, first: int, last: int, limit: int) -> tuple[deque[EventBatch], bool]:
    """Return transactions between two revisions, oldest first, and whether they are complete.

    At most as many are returned as needed for one change more than ``limit``, the last ones.
    """
    all_known = True
    while first <= last:
        found: deque[EventBatch] = deque()
        count = 0
        try:
            async with aclosing(scope.client.replay(*scope.span, first=first, last=last)) as past:
                async for events in past:
                    transaction = batch(events, scope.base)
                    matching = scope.matching(transaction)
                    if matching:
                        found.append(transaction)
                        count += matching
                    while found and count - scope.matching(found[0]) > limit:
                        count -= scope.matching(found.popleft())
        except Compacted as error:
            # It may also be compacted while it is read.
            all_known, first = False, error.revision
        else:
            return found, all_known
    return deque(), all_known
