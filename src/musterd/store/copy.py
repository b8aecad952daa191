"""One store into another: what differs is written, so that it can go on where it was stopped."""

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from musterd.kv.errors import LeaseNotFound, StoreError
from musterd.kv.protocol import Store
from musterd.kv.values import NO_LEASE, DeleteOp, Entry, Operation, PutOp, octets

OCTETS: Final = 500_000
"""Of the keys and values of a transaction."""
_PROBE: Final = b"copying"
"""Ends the key that is put into one store to see whether it appears in the other."""

Pair = tuple[Entry | None, Entry | None]
Tell = Callable[[int, int], None]
"""Hears how many keys are done, and of how many."""


class NotEmpty(StoreError):  # noqa: N818 - the outcome that is asked about
    """The target has keys that the source doesn't have so."""


@dataclass(slots=True)
class Copied:
    """What a copy does, or did, in keys.

    same: were there already; missing, different: are to be written; extra: are in the target
    alone; ending: too, on leases that ended in the source after an earlier copy; expired: their
    lease ended before they were copied.
    """

    same: int = 0
    missing: int = 0
    different: int = 0
    extra: int = 0
    ending: int = 0
    expired: int = 0
    leases: set[int] = field(default_factory=set)
    """Granted in the target, of the same IDs and times."""

    @property
    def total(self) -> int:
        """All keys that are looked at."""
        return self.same + self.missing + self.different + self.extra + self.ending


async def copy(source: Store, target: Store, tell: Tell, *, root: bytes, overwrite: bool) -> Copied:
    """Make all keys of a target those of a source; nobody may write to either meanwhile.

    Raises NotEmpty where the target has other keys or values, and ``overwrite`` isn't set; then
    it is as it was, too where the source has nothing. Raises StoreError.
    """
    await _see_that_they_differ(source, target, root + _PROBE)
    plan = await _plan(source, target, root)
    if not plan.missing + plan.same + plan.different:
        raise StoreError(
            "the source holds no registry: nothing was written; see that it is the right one, and"
            " that the prefix of an etcd stands behind its hosts"
        )
    if overwrite:
        plan.extra, plan.ending = plan.extra + plan.ending, 0
    if (plan.different or plan.extra) and not overwrite:
        raise NotEmpty(
            f"the target has {plan.extra} keys that the source has not, and {plan.different} that"
            " differ: nothing was written; --overwrite replaces and removes them"
        )
    done = size = 0
    steps: list[Operation] = []
    async with aclosing(_pairs(source, target, root)) as pairs:
        async for here, there in pairs:
            step = await _step(source, target, plan, here, there)
            if there is not None and here is None and there.lease != NO_LEASE and not overwrite:
                # It ends by itself, unless someone renews it in the target.
                step = None
            if step is not None:
                size += octets((step,))
                if len(steps) >= target.limits.operations or size > OCTETS:
                    await _write(source, target, plan, steps)
                    steps, size = [], octets((step,))
                steps.append(step)
            done += 1
            tell(done, plan.total)
    await _write(source, target, plan, steps)
    return plan


async def _write(source: Store, target: Store, plan: Copied, steps: list[Operation]) -> None:
    """Write, what hangs on leases too if these ended meanwhile in the target alone."""
    while steps:
        try:
            await target.transaction((), steps)
        except LeaseNotFound as error:
            try:
                await _grant(source, target, error.lease)
            except LeaseNotFound:
                kept = [s for s in steps if not isinstance(s, PutOp) or s.lease != error.lease]
                plan.expired += len(steps) - len(kept)
                steps = kept
        else:
            return


async def _see_that_they_differ(source: Store, target: Store, probe: bytes) -> None:
    nonce = secrets.token_bytes(16)
    await target.put(probe, nonce)
    try:
        found = await source.get(probe)
    finally:
        await target.delete(probe)
    if found is not None and found.value == nonce:
        raise StoreError("source and target are the same store: nothing was copied")


async def _plan(source: Store, target: Store, root: bytes) -> Copied:
    plan = Copied()
    ended: dict[int, bool] = {}
    async with aclosing(_pairs(source, target, root)) as pairs:
        async for here, there in pairs:
            if here is None:
                lease = NO_LEASE if there is None else there.lease
                if lease not in ended:
                    ended[lease] = lease != NO_LEASE and await _ended(source, lease)
                plan.ending += ended[lease]
                plan.extra += not ended[lease]
            elif there is None:
                plan.missing += 1
            elif _same(here, there):
                plan.same += 1
            else:
                plan.different += 1
    return plan


async def _step(
    source: Store, target: Store, plan: Copied, here: Entry | None, there: Entry | None
) -> Operation | None:
    """What makes a key of the target that of the source."""
    if here is None:
        return None if there is None else DeleteOp(there.key)
    if there is not None and _same(here, there):
        return None
    if here.lease != NO_LEASE and here.lease not in plan.leases:
        try:
            await _grant(source, target, here.lease)
        except LeaseNotFound:
            plan.expired += 1
            return None
        plan.leases.add(here.lease)
    return PutOp(here.key, here.value, here.lease)


async def _grant(source: Store, target: Store, lease: int) -> None:
    """Have a lease in the target as it is in the source. Raises LeaseNotFound."""
    ttl = (await source.lease_info(lease)).ttl
    try:
        await target.lease_info(lease)
    except LeaseNotFound:
        await target.lease_grant(ttl, lease)


async def _ended(source: Store, lease: int) -> bool:
    """Whether a lease ended in the source, or never was there."""
    try:
        await source.lease_info(lease)
    except LeaseNotFound:
        return True
    return False


def _same(here: Entry, there: Entry) -> bool:
    return here.value == there.value and here.lease == there.lease


async def _pairs(source: Store, target: Store, root: bytes) -> AsyncGenerator[Pair]:
    """The keys of both stores in order: as each has them, None where it has not."""
    async with aclosing(_entries(source, root)) as ours, aclosing(_entries(target, root)) as theirs:
        here, there = await anext(ours, None), await anext(theirs, None)
        while here is not None or there is not None:
            if there is None or (here is not None and here.key < there.key):
                yield here, None
                here = await anext(ours, None)
            elif here is None or there.key < here.key:
                yield None, there
                there = await anext(theirs, None)
            else:
                yield here, there
                here, there = await anext(ours, None), await anext(theirs, None)


async def _entries(store: Store, root: bytes) -> AsyncGenerator[Entry]:
    async with aclosing(store.scan(root)) as pages:
        async for page in pages:
            for entry in page.entries:
                yield entry
