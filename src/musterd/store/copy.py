"""Copy a store into another. Only differences are written, so a stopped copy can be resumed."""

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from musterd.kv.errors import LeaseNotFound, StoreError
from musterd.kv.protocol import Store
from musterd.kv.values import NO_LEASE, DeleteOp, Entry, Operation, PutOp, size_of

MAX_STEP_BYTES: Final = 500_000
"""Bytes of keys and values in a transaction."""
_PROBE: Final = b"copying"
"""Ends the key that is put into one store to see whether it appears in the other."""

Pair = tuple[Entry | None, Entry | None]
Progress = Callable[[int, int], None]
"""Receives the number of finished keys and of all keys."""


class NotEmpty(StoreError):  # noqa: N818 - an outcome that callers handle
    """The target has keys that the source lacks, or with other values."""


class Keys(NamedTuple):
    """Prefixes of the keys to copy, and of the records among them."""

    all: bytes
    records: bytes


@dataclass(slots=True)
class Counts:
    """Numbers of keys.

    same: present already; missing, different: to be written; extra: only in the target; ending:
    only in the target, on leases that ended in the source after an earlier copy; expired: not
    copied because their lease ended.
    """

    same: int = 0
    missing: int = 0
    different: int = 0
    extra: int = 0
    ending: int = 0
    expired: int = 0

    @property
    def total(self) -> int:
        """Number of all keys."""
        return self.same + self.missing + self.different + self.extra + self.ending

    @property
    def written(self) -> int:
        """Number of keys written."""
        return self.missing + self.different - self.expired


@dataclass(slots=True)
class Copied:
    """Result of a copy. records: keys of records; others: keys of tokens and leases."""

    prefix: bytes
    """Prefix of the keys of records."""
    records: Counts = field(default_factory=Counts)
    others: Counts = field(default_factory=Counts)
    leases: set[int] = field(default_factory=set)
    """Leases granted in the target, with the same IDs and TTLs."""

    def of(self, key: bytes) -> Counts:
        """Return the numbers that count a key."""
        return self.records if key.startswith(self.prefix) else self.others

    @property
    def all(self) -> tuple[Counts, Counts]:
        """All numbers."""
        return self.records, self.others


async def copy(
    source: Store,
    target: Store,
    progress: Progress,
    keys: Keys,
    *,
    overwrite: bool,
) -> Copied:
    """Make keys in a target equal to those in a source.

    Nobody may write to either meanwhile. Raises NotEmpty if the target has other keys or values
    and ``overwrite`` isn't set, and StoreError if the source is empty; then nothing is written.
    """
    await _check_distinct(source, target, keys.all + _PROBE)
    plan = await _plan(source, target, keys)
    if not sum(counts.missing + counts.same + counts.different for counts in plan.all):
        raise StoreError(
            "the source has no registry: nothing was written; check that it is the right store, and"
            " that an etcd prefix follows the hosts"
        )
    if overwrite:
        for counts in plan.all:
            counts.extra, counts.ending = counts.extra + counts.ending, 0
    elif any(counts.different or counts.extra for counts in plan.all):
        raise NotEmpty(
            f"the target has records that the source lacks ({_sum(plan, 'extra')}) or that differ"
            f" ({_sum(plan, 'different')}): nothing was written; --overwrite replaces and removes"
            " them"
        )
    total = sum(counts.total for counts in plan.all)
    done = size = 0
    steps: list[Operation] = []
    async with aclosing(_pairs(source, target, keys.all)) as pairs:
        async for here, there in pairs:
            step = await _step(source, target, plan, here, there)
            if there is not None and here is None and there.lease != NO_LEASE and not overwrite:
                # It expires by itself unless a client renews the lease in the target.
                step = None
            if step is not None:
                size += size_of((step,))
                if len(steps) >= target.limits.operations or size > MAX_STEP_BYTES:
                    await _write(source, target, plan, steps)
                    steps, size = [], size_of((step,))
                steps.append(step)
            done += 1
            progress(done, total)
    await _write(source, target, plan, steps)
    return plan


def _sum(plan: Copied, outcome: str) -> str:
    """Return the numbers of an outcome as text."""
    records, others = (getattr(counts, outcome) for counts in plan.all)
    return f"{records}, other keys {others}" if others else f"{records}"


async def _write(source: Store, target: Store, plan: Copied, steps: list[Operation]) -> None:
    """Write operations; grant leases again that ended meanwhile in the target only."""
    while steps:
        try:
            await target.transaction((), steps)
        except LeaseNotFound as error:
            try:
                await _grant(source, target, error.lease)
            except LeaseNotFound:
                lost = {s.key for s in steps if isinstance(s, PutOp) and s.lease == error.lease}
                for key in lost:
                    plan.of(key).expired += 1
                steps = [step for step in steps if step.key not in lost]
        else:
            return


async def _check_distinct(source: Store, target: Store, probe: bytes) -> None:
    nonce = secrets.token_bytes(16)
    await target.put(probe, nonce)
    try:
        found = await source.get(probe)
    finally:
        await target.delete(probe)
    if found is not None and found.value == nonce:
        raise StoreError("source and target are the same store: nothing was copied")


async def _plan(source: Store, target: Store, keys: Keys) -> Copied:
    plan = Copied(keys.records)
    ended: dict[int, bool] = {}
    async with aclosing(_pairs(source, target, keys.all)) as pairs:
        async for here, there in pairs:
            if here is None:
                lease = NO_LEASE if there is None else there.lease
                if lease not in ended:
                    ended[lease] = lease != NO_LEASE and await _ended(source, lease)
                counts = plan.of(b"" if there is None else there.key)
                counts.ending += ended[lease]
                counts.extra += not ended[lease]
            elif there is None:
                plan.of(here.key).missing += 1
            elif _same(here, there):
                plan.of(here.key).same += 1
            else:
                plan.of(here.key).different += 1
    return plan


async def _step(
    source: Store, target: Store, plan: Copied, here: Entry | None, there: Entry | None
) -> Operation | None:
    """Return the operation that makes a key of the target equal to the source's."""
    if here is None:
        return None if there is None else DeleteOp(there.key)
    if there is not None and _same(here, there):
        return None
    if here.lease != NO_LEASE and here.lease not in plan.leases:
        try:
            await _grant(source, target, here.lease)
        except LeaseNotFound:
            plan.of(here.key).expired += 1
            return None
        plan.leases.add(here.lease)
    return PutOp(here.key, here.value, here.lease)


async def _grant(source: Store, target: Store, lease: int) -> None:
    """Grant a lease of the source in the target. Raises LeaseNotFound."""
    ttl = (await source.lease_info(lease)).ttl
    try:
        await target.lease_info(lease)
    except LeaseNotFound:
        await target.lease_grant(ttl, lease)


async def _ended(source: Store, lease: int) -> bool:
    """Return whether a lease ended in the source, or never existed there."""
    try:
        await source.lease_info(lease)
    except LeaseNotFound:
        return True
    return False


def _same(here: Entry, there: Entry) -> bool:
    return here.value == there.value and here.lease == there.lease


async def _pairs(source: Store, target: Store, root: bytes) -> AsyncGenerator[Pair]:
    """Yield the entries of both stores in key order, None if a store lacks the key."""
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
