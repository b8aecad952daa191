"""Random operations from a seed, while etcd and its watcher restart: the registry's source must
agree with a small model.

The environment sets the number: ``FAULTS=1`` is 100,000.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from musterd.kv import Compare, DeleteOp, Is, LeaseNotFound, Operation, PutOp, StoreUncertain
from musterd.registry.applied import Applied
from musterd.registry.keys import RECORDS, RecordKey
from musterd.registry.record import record_spec
from musterd.registry.registry import Registry
from musterd.store.etcd import EtcdStore
from tests.catalogkit import NOW, until
from tests.cluster.cluster import LENGTH, lasting
from tests.cluster.watching import TTL, ZONES, FollowingCatalog
from tests.etcdkit import BINARIES, Etcd, running
from tests.store.kit import seeded

pytestmark = pytest.mark.slow
OPERATIONS = round(lasting(100_000, 2000))
CHECK = min(OPERATIONS // 2, 5000)
"""Operations between two checks."""
OWNERS = [f"n{number}" for number in range(20)] + ["a.n1", "*", "@"]
BRIEF = 1
"""TTL of a lease that expires by itself, seconds."""
BAD = (
    b"", b"{", b"[]", b"{}", b'{"data": 1}', b"\xff\xfe", b'{"data": "\\"10.0.0"}',
    b'{"data": "10.0.0.1", "ttl": -1}', b'{"data": "10.0.0.1", "weight": "x"}', bytes(5000),
)  # fmt: skip
BAD_KEYS = (
    b"/musterd/v1/records/short", b"/musterd/v1/records/lab.internal/n1/A/x/more",
    b"/musterd/v1/records/lab.internal/n1/NOPE/x", b"/musterd/v1/records/c.test/n1/A/x",
    b"/musterd/v1/records/\xff/n1/A/x", b"/musterd/v1/records/lab.internal/n..1/A/x",
)  # fmt: skip


class StoreWorld:
    """The store and its model."""

    def __init__(self, etcd: Etcd, chance: random.Random) -> None:
        self.etcd = etcd
        self.chance = chance
        self.store = EtcdStore(etcd.options())
        self.registry = Registry(self.store, Applied(), lambda: NOW)
        self.watcher = FollowingCatalog(etcd)
        self.model: dict[bytes, tuple[bytes, int]] = {}
        """Key -> value and lease."""
        self.lasting: list[int] = []
        self.ending: list[int] = []
        """Leases that expire."""
        self._marks = 0

    def key(self) -> bytes:
        if self.chance.random() < 0.03:
            return self.chance.choice(BAD_KEYS)
        zone, rtype = self.chance.choice(ZONES), self.chance.choice(("A", "A", "TXT"))
        return RecordKey(zone, self.chance.choice(OWNERS), rtype, self.chance.choice("xyz")).raw

    def value(self, key: bytes) -> bytes:
        if self.chance.random() < 0.1:
            return self.chance.choice(BAD)
        number = self.chance.randrange(5)
        fields: dict[str, Any] = {"data": f"10.0.0.{number}" if b"/A/" in key else f'"{number}"'}
        if self.chance.random() < 0.5:
            fields["ttl"] = self.chance.randrange(60)
        if self.chance.random() < 0.1:
            fields["lease_ttl"] = self.chance.randrange(1, 60)
        return json.dumps(fields).encode()

    def put(self) -> PutOp:
        key = self.key()
        lease = self.chance.choice((0, 0, 0, *self.lasting, *self.ending))
        return PutOp(key, self.value(key), lease)

    async def write(self, compares: list[Compare], steps: list[Operation]) -> None:
        """Run a transaction in the store and, if it succeeded, in the model."""
        try:
            done = (await self.store.transaction(compares, steps)).succeeded
        except LeaseNotFound:
            return
        except StoreUncertain:
            await self.learn(step.key for step in steps)
            return
        if done:
            for step in steps:
                self.model.pop(step.key, None)
                if isinstance(step, PutOp):
                    self.model[step.key] = step.value, step.lease

    async def learn(self, keys: Any) -> None:
        """Copy keys of the store to the model after an uncertain write."""
        for key in keys:
            entry = await self.store.get(key)
            self.model.pop(key, None)
            if entry is not None:
                self.model[key] = entry.value, entry.lease

    async def put_random(self) -> None:
        await self.write([], [self.put()])

    async def delete(self) -> None:
        keys = [*self.model] or [self.key()]
        await self.write([], [DeleteOp(self.chance.choice(keys))])

    async def several(self) -> None:
        steps: dict[bytes, Operation] = {}
        for _ in range(self.chance.randint(2, 8)):
            step = DeleteOp(self.key()) if self.chance.random() < 0.3 else self.put()
            steps[step.key] = step
        where = self.key()
        compares = [Compare(where, self.chance.choice((Is.ABSENT, Is.PRESENT)))]
        await self.write(compares if self.chance.random() < 0.5 else [], [*steps.values()])

    async def rrset(self) -> None:
        """Replace an RRset as the API does."""
        owner, zone = self.chance.choice(OWNERS), self.chance.choice(ZONES)
        data = {f"10.0.1.{self.chance.randrange(9)}" for _ in range(self.chance.randrange(5))}
        drafts = [record_spec(1, each) for each in sorted(data)]
        key = RecordKey(zone, owner, "A", "")
        prefix = key.raw
        with contextlib.suppress(StoreUncertain, LeaseNotFound):
            await self.registry.put_rrset(key, {each.id: each for each in drafts}, "me")
        there = {entry.key async for page in self.store.scan(prefix) for entry in page.entries}
        await self.learn(there | {known for known in self.model if known.startswith(prefix)})

    async def grant(self) -> None:
        if self.chance.random() < 0.5 and len(self.lasting) < 4:
            self.lasting.append((await self.store.lease_grant(600)).id)
        elif len(self.ending) < 4:
            self.ending.append((await self.store.lease_grant(BRIEF)).id)

    async def revoke(self) -> None:
        if self.lasting:
            lease = self.lasting.pop(self.chance.randrange(len(self.lasting)))
            await self.store.lease_revoke(lease)
            self.end(lease)

    def end(self, lease: int) -> None:
        self.model = {key: entry for key, entry in self.model.items() if entry[1] != lease}

    async def compact(self) -> None:
        page = await self.store.range(b"/", limit=1)
        # Nothing may have changed since the last time.
        with contextlib.suppress(Exception):
            await self.store.client.compact(page.revision)

    async def restart(self) -> None:
        await self.etcd.restart()
        await self.store.get(b"/")

    async def rewatch(self) -> None:
        await self.watcher.stop()
        # The watcher misses these writes, and the history may be compacted.
        for _ in range(self.chance.randrange(20)):
            await self.put_random()
        if self.chance.random() < 0.5:
            await self.compact()
        await self.watcher.start(new_catalog=self.chance.random() < 0.5)

    async def check(self) -> None:
        """Wait for leases to expire and a last write to arrive, then compare everything."""
        for lease in self.ending:
            # A lease may be reported as expired before its keys are deleted.
            while lease in {entry[1] for entry in (await self.entries()).values()}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            self.end(lease)
        self.ending.clear()
        self._marks += 1
        mark = f"10.9.{self._marks >> 8}.{self._marks & 255}"
        key = RecordKey(ZONES[0], "mark", "A", "x").raw
        await self.write([], [PutOp(key, json.dumps({"data": mark}).encode())])
        line = f"mark.{ZONES[0]}. {TTL} A {mark}"
        try:
            async with asyncio.timeout(30):
                await until(
                    lambda: self.watcher.settled and line in self.watcher.core.text(ZONES[0])
                )
        except TimeoutError:
            raise AssertionError(f"the watcher does not catch up: {self.etcd.tail()}") from None
        assert await self.entries() == self.model
        for zone in ZONES:
            assert self.watcher.core.text(zone) == answered(self.model, zone)

    async def entries(self) -> dict[bytes, tuple[bytes, int]]:
        """Return the entries of etcd in the form of the model."""
        return {
            entry.key: (entry.value, entry.lease)
            async for page in self.store.scan(RECORDS)
            for entry in page.entries
        }


def answered(model: Mapping[bytes, tuple[bytes, int]], zone: str) -> list[str]:
    """Return the lines that a zone should answer."""
    rrsets: dict[tuple[str, str], tuple[set[str], list[int]]] = {}
    for key, (value, _) in model.items():
        parts = key.split(b"/")[4:]
        if key in BAD_KEYS or value in BAD or len(parts) != 4 or parts[0] != zone.encode():
            continue
        fields = json.loads(value)
        ttl = fields.get("ttl", TTL)
        data, ttls = rrsets.setdefault((parts[1].decode(), parts[2].decode()), (set(), []))
        data.add(fields["data"])
        ttls.append(min(ttl, fields.get("lease_ttl", ttl)))
    return sorted(
        f"{zone if owner == '@' else f'{owner}.{zone}'}. {min(ttls)} {rtype} {address}"
        for (owner, rtype), (data, ttls) in rrsets.items()
        for address in data
    )


OPERATION: Mapping[Callable[[StoreWorld], Awaitable[None]], float] = {
    StoreWorld.put_random: 50,
    StoreWorld.delete: 20,
    StoreWorld.several: 15,
    StoreWorld.rrset: 8,
    StoreWorld.grant: 3,
    StoreWorld.revoke: 1.5,
    StoreWorld.compact: 0.5,
    StoreWorld.rewatch: 0.3,
    StoreWorld.restart: 0.1,
}


@pytest.mark.timeout(120 + 3600 * LENGTH)
@pytest.mark.parametrize("version", BINARIES)
async def test_registry_source_matches_model(tmp_path: Path, version: str) -> None:
    async with running(tmp_path, version) as etcd:
        world = StoreWorld(etcd, seeded())
        await world.watcher.start()
        try:
            kinds, weights = [*OPERATION], [*OPERATION.values()]
            for number in range(OPERATIONS):
                (kind,) = world.chance.choices(kinds, weights)
                await kind(world)
                if number % CHECK == CHECK - 1:
                    await world.check()
        finally:
            await world.watcher.stop()
            await world.store.close()
