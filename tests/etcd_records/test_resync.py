"""A resync leaves an index as if the keys had been listed for the first time."""

import random

import pytest

from musterd.kv.values import Entry
from musterd.sources.etcd.lease_ttl import LeaseTtls
from musterd.sources.etcd.resync import Resync
from tests.etcd_records.kit import IndexModel

LABELS = ("a", "b", "B", "x.y", "c d", "bf9cf968", "dns")
VALUES = (b'{"host":"10.0.0.1"}', b'{"host":"foobar"}', b"{")
"""The FNV-1a hash of foobar is bf9cf968."""
STATUSES = (b'{"status":"DOWN"}', b'{"status":"UP"}', b"{")
Held = dict[bytes, tuple[bytes, int]]


async def granted(_: int) -> int:
    return 60


def resync(model: IndexModel, held: Held, revision: int, page: int) -> list[int]:
    """List all keys, and return the revisions of those that were read."""
    listing = Resync(model.index, LeaseTtls(granted, lambda: 0.0))
    entries = [Entry(key, value, 1, at, 1, 0) for key, (value, at) in sorted(held.items())]
    read = []
    for start in range(0, len(entries), page):
        changed = listing.compare(entries[start : start + page])
        read += [entry.mod_revision for entry in changed]
        model.note(listing.take(changed, revision, 0.0))
        model.note(model.index.take(0.0))
    listing.end(revision)
    model.take()
    return read


def random_key(pick: random.Random, layout: str) -> tuple[bytes, bytes]:
    if layout != "skydns" and pick.random() < 0.15:
        status = f"/{layout}/monitor/status/10.0.0.{pick.randrange(3)}"
        return status.encode(), pick.choice(STATUSES)
    labels = [pick.choice(LABELS) for _ in range(pick.randrange(1, 4))]
    key = "/".join([f"/{layout}/internal/lab", *labels]) + pick.choice(("", "/"))
    return key.encode(), pick.choice(VALUES)


@pytest.mark.parametrize("layout", ["skydns", "hades", "containerdns"])
@pytest.mark.parametrize("subtree", [True, False])
def test_resync_equals_a_first_list(layout: str, subtree: bool) -> None:
    for seed in range(60):
        pick = random.Random(f"{layout} {subtree} {seed}")  # noqa: S311
        model = IndexModel(layout, subtree=subtree)
        held: Held = {}
        revision = 1
        for _ in range(5):
            for _ in range(pick.randrange(25)):
                revision += 1
                if held and pick.random() < 0.4:
                    del held[pick.choice(sorted(held))]
                else:
                    key, value = random_key(pick, layout)
                    held[key] = value, revision
            resync(model, held, revision, pick.choice((1, 3, 500)))
            fresh = IndexModel(layout, subtree=subtree)
            resync(fresh, held, revision, 500)
            assert model.rows == fresh.rows, f"seed {seed}"
            assert model.problems == fresh.problems, f"seed {seed}"


def test_resync_reads_changed_keys_only() -> None:
    model = IndexModel()
    base = b"/skydns/internal/lab/"
    held: Held = {base + b"a": (VALUES[0], 2), base + b"B": (VALUES[0], 3), base + b"c": (b"{", 4)}
    assert resync(model, held, 4, 500) == [3, 2, 4]
    assert resync(model, held, 5, 500) == []
    held[base + b"d"] = VALUES[0], 6
    assert resync(model, held, 6, 500) == [6]


def test_irregular_hashed_key_is_deleted() -> None:
    model = IndexModel("hades", subtree=False)
    model.put("web/bf9cf968/", {"host": "foobar"})
    assert model.text()
    model.delete("web/bf9cf968/")
    assert model.text() == []
