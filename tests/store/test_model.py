"""The contract: random operations from a seed give the same result as a small model."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from musterd.kv import Compare, DeleteOp, Entry, Is, Operation, PutOp, Result, Store
from tests.store.backends import Backend
from tests.store.kit import everything, revision, seeded, until
from tests.store.test_watches import replay

OPERATIONS = 2000
KEYS = [b"%s%d" % (prefix, number) for prefix in (b"a/", b"a", b"\xff") for number in range(8)]


@dataclass
class KeyModel:
    """A model of a store: a dict and a revision."""

    revision: int
    entries: dict[bytes, Entry] = field(default_factory=dict)

    def transaction(self, compares: Sequence[Compare], steps: Sequence[Operation]) -> Result:
        found = tuple(map(self.found, compares))
        if not all(map(holds, compares, found)):
            return Result(False, self.revision, found)
        before = tuple(self.entries.get(step.key) for step in steps)
        self.apply([step for step in steps if isinstance(step, PutOp) or step.key in self.entries])
        return Result(True, self.revision, before)

    def found(self, compare: Compare) -> Entry | None:
        if compare.test is not Is.NONE_SINCE:
            return self.entries.get(compare.key)
        below = (key for key in sorted(self.entries) if key.startswith(compare.key))
        since = (
            e for e in map(self.entries.__getitem__, below) if e.mod_revision > compare.revision
        )
        return next(since, None)

    def expire(self, lease: int) -> None:
        self.apply([DeleteOp(key) for key, entry in self.entries.items() if entry.lease == lease])

    def apply(self, steps: Sequence[Operation]) -> None:
        self.revision += bool(steps)
        for step in steps:
            old = self.entries.pop(step.key, None)
            if isinstance(step, PutOp):
                created, version = (old.create_revision, old.version) if old else (self.revision, 0)
                self.entries[step.key] = Entry(
                    step.key, step.value, created, self.revision, version + 1, step.lease
                )


def holds(compare: Compare, entry: Entry | None) -> bool:
    if compare.test is Is.NONE_SINCE:
        return entry is None
    if entry is None or compare.test in {Is.ABSENT, Is.PRESENT}:
        return compare.test is (Is.PRESENT if entry else Is.ABSENT)
    at = entry.mod_revision if compare.test is Is.MODIFIED_AT else entry.create_revision
    return compare.revision == at


def random_operations(chance: random.Random, model: KeyModel, leases: list[int]) -> list[Operation]:
    steps: list[Operation] = []
    for key in chance.sample(KEYS, chance.choice((1, 1, 1, 2, 5))):
        if chance.random() < 0.3:
            steps.append(DeleteOp(key))
        else:
            lease = chance.choice((0, 0, *leases))
            steps.append(PutOp(key, b"%d" % chance.randrange(1000), lease))
    return steps


def conditions(chance: random.Random, model: KeyModel) -> list[Compare]:
    compares: list[Compare] = []
    for key in chance.sample(KEYS, chance.choice((0, 0, 1, 2))):
        entry = model.entries.get(key)
        near = chance.choice(entry[2:4]) if entry else 0
        compares.append(Compare(key, chance.choice(list(Is)), near + chance.choice((0, 0, 0, 1))))
    return compares


async def step(backend: Backend, model: KeyModel, chance: random.Random, leases: list[int]) -> None:
    store: Store = backend.store
    choice = chance.random()
    if choice < 0.01:
        await backend.restart()
    elif choice < 0.05 and len(leases) < 5:
        leases.append((await store.lease_grant(chance.randint(60, 100))).id)
    elif choice < 0.08 and leases:
        lease = leases.pop(chance.randrange(len(leases)))
        model.expire(lease)
        assert await store.lease_revoke(lease) == model.revision
    elif choice < 0.1:
        prefix = chance.choice((b"", b"a", b"a/", b"\xff"))
        found = await everything(store, prefix)
        assert found == {k: e for k, e in model.entries.items() if k.startswith(prefix)}
    else:
        compares, steps = conditions(chance, model), random_operations(chance, model, leases)
        assert await store.transaction(compares, steps) == model.transaction(compares, steps)


async def test_random_operations_match_model(backend: Backend) -> None:
    chance, leases = seeded(), list[int]()
    start = await revision(backend.store)
    model = KeyModel(start)
    for _ in range(round(OPERATIONS * backend.scale)):
        await step(backend, model, chance, leases)
    assert await everything(backend.store) == model.entries
    async with backend.store.watch(b"", start + 1) as watch:
        batches = await until(watch, model.revision)
    assert [batch.revision for batch in batches] == [*range(start + 1, model.revision + 1)]
    assert replay({}, batches) == model.entries
