"""A catalog after random changes has the same answers as a new one with the same records."""

import random
from typing import Any

import pytest

from musterd.catalog import Catalog
from musterd.rr.names import name_to_text
from musterd.rr.rrset import Record
from musterd.sources.changes import Batch, Begin, Change, Delete, Lost, Put, PutMany, Synced
from tests.catalogkit import NOW, ManualClock, RecordingCore, records, rows, settings

SEEDS = 24
STEPS = 40
NAMES = ("one", "two", "three")
OWNERS = ("@", "a", "b", "A", "*", "a.sub", "b.sub", "sub", "x.elsewhere.")
RDATA = (
    "A 10.0.0.1", "A 10.0.0.2", "A 10.1.0.1", "AAAA fd00::1", "TXT x", "CNAME b", "CNAME a.sub",
    "MX 5 A", "SRV 0 5 80 a", "NS ns", "A 10.0.0.1 ; sticky", "AAAA fd00::2 ; all",
)  # fmt: skip
PLAIN = tuple(rdata for rdata in RDATA if ";" not in rdata)
Key = str | tuple[bytes, int]


class CatalogModel:
    """The present records of each source, in plain dicts."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        # The first own policy of a source makes the catalog take another path.
        self.rdata = RDATA if seed % 2 else PLAIN
        self.known: dict[str, dict[Key, tuple[Record, ...]]] = {name: {} for name in NAMES}

    def zones(self) -> list[dict[str, Any]]:
        choose = self.random.choice
        forward = {
            "name": "lab.internal", "merge": choose(["first", "union"]), "ttl": choose([30, 40]),
            "policy": choose(["all", "one"]), "ptr": choose([True, False]),
            "sources": choose([["one", "two", "three"], ["three", "one"], ["two"]]),
        }  # fmt: skip
        names = ("10.in-addr.arpa", "0.10.in-addr.arpa", "ip6.arpa", "other")
        more = [{"name": name, "merge": choose(["first", "union"])} for name in names]
        return [forward, *(zone for zone in more if self.random.random() < 0.7)]

    def sources(self) -> list[dict[str, Any]]:
        choose = self.random.choice
        return [
            {"name": name, "zone": "lab.internal", "ttl": choose([None, 7]),
             "policy": choose([None, "rotate"])}
            for name in NAMES
        ]  # fmt: skip

    def lines(self, most: int) -> list[str]:
        count = self.random.randint(0, most)
        ttls = ("", "", "5 ", "9 ")
        choose = self.random.choice
        return [f"{choose(OWNERS)} {choose(ttls)}{choose(self.rdata)}" for _ in range(count)]

    def changes(self, source: str) -> list[Change]:
        """Make one step: changes by key, in bulk, or a full list."""
        kind = self.random.choice(["put", "put", "several", "delete", "many", "list"])
        if kind == "put":
            return [self.put(source)]
        if kind == "several":
            return [self.several(source)]
        if kind == "many":
            return [self.many(source)]
        if kind == "delete":
            return [self.delete(source)]
        broken = [*self.full(source)[:-1], Lost("gone")] if self.random.random() < 0.3 else []
        return [*broken, *self.full(source)]

    def full(self, source: str) -> list[Change]:
        """Return all records of a source, in bulk and by key, or in parts by owner name."""
        self.known[source].clear()
        changes: list[Change]
        if self.random.random() < 0.5:
            changes = [self.put(source), self.many(source)]
        else:
            last = {put.key: put for put in (self.put(source, 1) for _ in range(4))}
            owners: dict[bytes, list[Put | Delete]] = {}
            for put in last.values():
                owner = put.records[0].owner.lower() if put.records else b""
                owners.setdefault(owner, []).append(put)
            changes = [Batch(puts, whole=True) for puts in owners.values()]
        self.random.shuffle(changes)
        return [Begin(), *changes, Synced(1)]

    def put(self, source: str, most: int = 4) -> Put:
        key = self.random.choice(["k0", "k1", "k2"])
        given = records(*self.lines(most))
        self.known[source][key] = given
        return Put(key, 1, NOW, given)

    def delete(self, source: str) -> Delete:
        key = self.random.choice(["k0", "k1", "k2"])
        self.known[source].pop(key, None)
        return Delete(key, 1)

    def several(self, source: str) -> Batch:
        """Return a batch of changes, in which a key may be put and deleted."""
        count = self.random.randint(2, 20)
        deleted = self.random.choices([True, False], k=count)
        return Batch([self.delete(source) if each else self.put(source, 1) for each in deleted])

    def many(self, source: str) -> PutMany:
        given = {(owner.lower(), rtype): packed for owner, rtype, packed in rows(*self.lines(5))}
        for (owner, rtype), packed in given.items():
            self.known[source][owner, rtype] = (Record(owner, rtype, packed),)
        return PutMany(1, NOW, [(*key, packed) for key, packed in given.items()])


async def afresh(model: CatalogModel, now: dict[str, Any]) -> dict[str, list[str]]:
    """Return the answers of a new catalog that gets all present records, one key at a time."""
    core = RecordingCore()
    catalog = Catalog(core, ManualClock())
    await catalog.reconfigure(settings(*now["zones"], sources=now["sources"]))
    for source in catalog.tables:
        for key, given in model.known[source].items():
            if isinstance(key, str):
                catalog.apply(source, Put(key, 1, NOW, given))
            else:
                catalog.apply(source, PutMany(1, NOW, [(*key, given[0].packed)]))
    return answers(core)


def answers(core: RecordingCore) -> dict[str, list[str]]:
    return {
        zone: [line for line in core.text(zone, own=True) if " SOA " not in line]
        for zone in (name_to_text(apex).removesuffix(".") for apex in core.rrsets)
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_order_of_changes_does_not_affect_answers(seed: int) -> None:
    model = CatalogModel(seed)
    core = RecordingCore()
    catalog = Catalog(core, ManualClock())
    now = {"zones": model.zones(), "sources": model.sources()}
    await catalog.reconfigure(settings(*now["zones"], sources=now["sources"]))
    for _ in range(STEPS):
        if model.random.random() < 0.15:
            now = {"zones": model.zones(), "sources": model.sources()}
            await catalog.reconfigure(settings(*now["zones"], sources=now["sources"]))
            listed = catalog.tables.keys()
            model.known = {name: model.known[name] if name in listed else {} for name in NAMES}
        source = model.random.choice(sorted(catalog.tables))
        for change in model.changes(source):
            await catalog.feed(source, change)
        assert answers(core) == await afresh(model, now)
        check_index(catalog)


def check_index(catalog: Catalog) -> None:
    """Every key in the index of a zone belongs to an existing row."""
    for zone in catalog.zones.values():
        for keys in zone.names.values():
            for key in {keys} if isinstance(keys, bytes) else keys:
                assert key in zone.sources[key[:4]].data
