"""What every store makes of a request before it does it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from musterd.kv.errors import Conflict, StoreLimit
from musterd.kv.values import ABSENT, Compare, Is, Limits, Operation, PutOp, Result, octets, shown

MAX_LEASE: Final = 2**63 - 1
"""The greatest ID of a lease."""

Transaction = Callable[[Sequence[Compare], Sequence[Operation]], Awaitable[Result]]


async def one(transaction: Transaction, step: Operation, expect: int | None) -> Result:
    """Do one operation, if its key is as expected. Raises Conflict."""
    if expect is None:
        return await transaction((), (step,))
    test = Is.MODIFIED_AT if expect != ABSENT else Is.ABSENT
    result = await transaction((Compare(step.key, test, expect),), (step,))
    if not result.succeeded:
        raise Conflict(step.key, expect, result.entries[0])
    return result


def check_page(limits: Limits, limit: int) -> None:
    """Raise StoreLimit where a page is too large, or none."""
    if not 0 < limit <= limits.page:
        raise StoreLimit(f"a page of {limit} entries: expected 1 to {limits.page}")


def check_ttl(limits: Limits, ttl: int) -> None:
    """Raise StoreLimit where a lease is too long, or none."""
    if not 0 < ttl <= limits.ttl:
        raise StoreLimit(f"a lease of {ttl} s: expected 1 to {limits.ttl}")


def check_new_lease(lease: int) -> None:
    """Raise StoreLimit where an ID is none that a lease can have; 0 is for any."""
    if not 0 <= lease <= MAX_LEASE:
        raise StoreLimit(f"a lease of the ID {lease}: expected 1 to {MAX_LEASE}")


def taken(lease: int) -> StoreLimit:
    """There is such a lease already."""
    return StoreLimit(f"there is a lease of the ID {lease:016x} already: take another")


def check_transaction(
    limits: Limits, compares: Sequence[Compare], operations: Sequence[Operation]
) -> int:
    """The octets of a transaction. Raises StoreLimit."""
    if max(len(compares), len(operations)) > limits.operations:
        raise StoreLimit(
            f"{len(compares)} comparisons and {len(operations)} operations in a transaction:"
            f" at most {limits.operations} each"
        )
    keys = [step.key for step in operations]
    if len(set(keys)) != len(keys):
        raise StoreLimit("two operations of a transaction are on the same key")
    for key in (*keys, *(compare.key for compare in compares)):
        if not 0 < len(key) <= limits.key:
            raise StoreLimit(f"a key of {len(key)} octets: expected 1 to {limits.key}")
    for step in operations:
        if isinstance(step, PutOp) and len(step.value) > limits.value:
            raise StoreLimit(
                f"{shown(step.key)}: a value of {len(step.value)} octets: at most {limits.value}"
            )
    size = octets(operations)
    if size > limits.octets:
        raise StoreLimit(f"a transaction of {size} octets: at most {limits.octets}")
    return size
