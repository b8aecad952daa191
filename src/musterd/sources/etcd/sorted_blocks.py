"""Sorted byte strings in blocks: one object each, found and changed in logarithmic time."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final

BLOCK: Final = 512
"""Maximum items of a block before it is split."""


class SortedBlocks:
    """Sorted items. Each begins with a head, and no head is a prefix of another."""

    def __init__(self) -> None:
        """Create an empty collection."""
        self._blocks: list[list[bytes]] = [[]]
        self._firsts: list[bytes] = [b""]
        """Lower bound of each block."""
        self._size = 0

    def __len__(self) -> int:
        """Return the number of items."""
        return self._size

    def get(self, head: bytes) -> bytes | None:
        """Return the item with a head."""
        block, at = self._find(head)
        return block[at] if at < len(block) and block[at].startswith(head) else None

    def put(self, head: bytes, item: bytes) -> bytes | None:
        """Set the item with a head. Return the previous one."""
        number = bisect_right(self._firsts, head) - 1
        block = self._blocks[number]
        at = bisect_left(block, head)
        if at < len(block) and block[at].startswith(head):
            old, block[at] = block[at], item
            return old
        block.insert(at, item)
        self._size += 1
        if len(block) > BLOCK:
            # Items that arrive in order fill their blocks.
            half = BLOCK if at == BLOCK and block is self._blocks[-1] else BLOCK // 2
            self._blocks.insert(number + 1, block[half:])
            self._blocks[number] = block[:half]
            self._firsts.insert(number + 1, block[half])
        return None

    def append(self, item: bytes) -> bool:
        """Add an item that sorts after all others. Return False, and add nothing, if it doesn't."""
        last = self._blocks[-1]
        if last and last[-1] >= item:
            return False
        if len(last) == BLOCK:
            self._firsts.append(item)
            self._blocks.append([item])
        else:
            last.append(item)
        self._size += 1
        return True

    def pop(self, head: bytes) -> bytes | None:
        """Remove and return the item with a head."""
        number = bisect_right(self._firsts, head) - 1
        block = self._blocks[number]
        at = bisect_left(block, head)
        if at == len(block) or not block[at].startswith(head):
            return None
        self._size -= 1
        item = block.pop(at)
        if not block and number:
            del self._blocks[number], self._firsts[number]
        return item

    def after(self, low: bytes) -> tuple[bytes, bytes]:
        """Return the first two items from a bound on; empty if there are none."""
        number = bisect_right(self._firsts, low) - 1
        block = self._blocks[number]
        at = bisect_left(block, low)
        if at + 1 < len(block):
            return block[at], block[at + 1]
        rest = block[at:] + (self._blocks[number + 1] if number + 1 < len(self._blocks) else [])
        first, second, *_ = *rest, b"", b""
        return first, second

    def slice(self, low: bytes, high: bytes, limit: int) -> list[bytes]:
        """Return the first ``limit`` items from a bound up to another."""
        number = bisect_right(self._firsts, low) - 1
        block = self._blocks[number]
        at = bisect_left(block, low)
        if at < len(block) and block[at] >= high:
            return []
        found = block[at : at + limit]
        while len(found) < limit and number + 1 < len(self._blocks):
            number += 1
            if self._firsts[number] >= high:
                break
            found += self._blocks[number][: limit - len(found)]
        if found and found[-1] >= high:
            del found[bisect_left(found, high) :]
        return found

    def each(self, low: bytes, high: bytes) -> Iterator[bytes]:
        """Yield the items from a bound up to another; none may change meanwhile."""
        number = bisect_right(self._firsts, low) - 1
        at = bisect_left(self._blocks[number], low)
        for block in self._blocks[number:]:
            for item in block[at:]:
                if item >= high:
                    return
                yield item
            at = 0

    def _find(self, head: bytes) -> tuple[list[bytes], int]:
        block = self._blocks[bisect_right(self._firsts, head) - 1]
        return block, bisect_left(block, head)
