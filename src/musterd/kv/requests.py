"""Checks of requests, shared by all stores."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from musterd.display import printable
from musterd.kv.errors import Conflict, StoreLimit
from musterd.kv.values import ABSENT, Compare, Is, Limits, Operation, PutOp, Result, size_of

MAX_LEASE: Final = 2**63 - 1
"""Largest lease ID."""

Transaction = Callable[[Sequence[Compare], Sequence[Operation]], Awaitable[Result]]


async def apply_single(transaction: Transaction, step: Operation, expect: int | None) -> Result:
    """Do one operation if its key is at the expected revision. Raises Conflict."""
    if expect is None:
        return await transaction((), (step,))
    test = Is.MODIFIED_AT if expect != ABSENT else Is.ABSENT
    result = await transaction((Compare(step.key, test, expect),), (step,))
    if not result.succeeded:
        raise Conflict(step.key, expect, result.entries[0])
    return result


def check_page(limits: Limits, limit: int) -> None:
    """Raise StoreLimit if a page size is out of range."""
    if not 0 < limit <= limits.page:
        raise StoreLimit(f"a page of {limit} entries: expected 1 to {limits.page}")


def check_ttl(limits: Limits, ttl: int) -> None:
    """Raise StoreLimit if a TTL is out of range."""
    if not 0 < ttl <= limits.ttl:
        raise StoreLimit(f"a lease of {ttl} s: expected 1 to {limits.ttl}")


def check_new_lease(lease: int) -> None:
    """Raise StoreLimit if a lease ID is out of range; 0 lets the store choose one."""
    if not 0 <= lease <= MAX_LEASE:
        raise StoreLimit(f"lease ID {lease}: expected 1 to {MAX_LEASE}")


def lease_exists(lease: int) -> StoreLimit:
    """Return the error for a lease ID that is in use."""
    return StoreLimit(f"lease {lease:016x} already exists: choose another ID")


def check_transaction(
    limits: Limits, compares: Sequence[Compare], operations: Sequence[Operation]
) -> int:
    """Check a transaction and return its size in bytes. Raises StoreLimit."""
    if max(len(compares), len(operations)) > limits.operations:
        raise StoreLimit(
            f"{len(compares)} comparisons and {len(operations)} operations in a transaction:"
            f" at most {limits.operations} each"
        )
    if len(operations) > 1 and len({step.key for step in operations}) != len(operations):
        raise StoreLimit("two operations of a transaction have the same key")
    for compare in compares:
        if not 0 < len(compare.key) <= limits.key:
            raise _key_limit(limits, compare.key)
    for step in operations:
        if not 0 < len(step.key) <= limits.key:
            raise _key_limit(limits, step.key)
        if isinstance(step, PutOp) and len(step.value) > limits.value:
            raise StoreLimit(
                f"{printable(step.key)}: a value of {len(step.value)} bytes: at most {limits.value}"
            )
    size = size_of(operations)
    if size > limits.size:
        raise StoreLimit(f"a transaction of {size} bytes: at most {limits.size}")
    return size


def _key_limit(limits: Limits, key: bytes) -> StoreLimit:
    return StoreLimit(f"a key of {len(key)} bytes: expected 1 to {limits.key}")
