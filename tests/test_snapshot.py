"""Snapshots of a catalog: saved, restored, damaged."""

import hashlib
import os
import random
from pathlib import Path

import pytest

from musterd.catalog import Catalog
from musterd.errors import StateError
from musterd.rr.names import name_from_text
from musterd.server.snapshot_files import DIGEST, SERIAL_AHEAD, SnapshotFiles, open_folder
from musterd.sources.changes import Begin, Change, Delete, Lost, Put, PutMany, Synced
from tests.catalogkit import (
    NOW,
    ManualClock,
    RecordingCore,
    new_catalog,
    records,
    rows,
    settings,
)

ZONE = "lab.internal"
LIST: list[Change] = [
    Begin(),
    Put("/k", 7, NOW - 5, records("a 5 A 10.0.0.1", "b A 10.0.0.2 ; sticky", "x.other. TXT x")),
    PutMany(8, NOW - 6, rows("C 5 A 10.0.0.1", "c 6 AAAA ::1", "d CNAME c")),
    Synced(8),
]


async def saved(folder: Path, *more: Change) -> tuple[Catalog, RecordingCore]:
    """Return a catalog that has saved the list."""
    catalog, core, clock = await new_catalog()
    catalog.apply("one", *LIST, *more)
    await SnapshotFiles(folder, catalog, clock.time).save({"one": "hash"})
    return catalog, core


async def restored(
    folder: Path, digest: str = "hash"
) -> tuple[Catalog, RecordingCore, SnapshotFiles, bool]:
    """Return a new catalog that has restored the snapshot."""
    catalog, core, clock = await new_catalog()
    snapshots = SnapshotFiles(folder, catalog, clock.time)
    return catalog, core, snapshots, await snapshots.restore("one", digest)


async def test_restored_catalog_equals_the_saved_one(tmp_path: Path) -> None:
    before, saved_core = await saved(tmp_path)
    after, core, snapshots, done = await restored(tmp_path)
    assert done
    assert core.rrsets == saved_core.rrsets
    for owner in "abcd":
        wire = name_from_text(f"{owner}.{ZONE}")
        assert after.explain(name_from_text(ZONE), wire) == before.explain(
            name_from_text(ZONE), wire
        )
    report = after.source_reports()[0]
    assert (report.state, report.restored, report.keys) == ("restored", NOW, 4)
    assert snapshots.bad_total == 0


async def test_list_replaces_the_snapshot(tmp_path: Path) -> None:
    await saved(tmp_path)
    catalog, core, _, _ = await restored(tmp_path)
    core.forget()
    catalog.apply("one", *LIST)
    assert core.batches == [], "equal records are not sent again"
    put = Put("/k", 9, NOW, records("a 5 A 10.0.0.9"))
    catalog.apply("one", Begin(), put, Synced(9))
    assert core.text(ZONE) == [f"a.{ZONE}. 5 A 10.0.0.9"]


async def test_snapshot_is_not_used_after_a_list(tmp_path: Path) -> None:
    await saved(tmp_path)
    catalog, core, clock = await new_catalog()
    catalog.apply("one", Begin(), Put("/k", 9, NOW, records("a 5 A 10.0.0.9")))
    snapshots = SnapshotFiles(tmp_path, catalog, clock.time)
    assert not await snapshots.restore("one", "hash")
    catalog.apply("one", Synced(9))
    assert not await snapshots.restore("one", "hash")
    assert core.text(ZONE) == [f"a.{ZONE}. 5 A 10.0.0.9"]


async def test_records_of_an_interrupted_list_override_the_snapshot(tmp_path: Path) -> None:
    await saved(tmp_path)
    catalog, core, clock = await new_catalog()
    put = Put("/k", 9, NOW, records("a 5 A 10.0.0.9"))
    catalog.apply("one", Begin(), put, Lost("gone"))
    assert await SnapshotFiles(tmp_path, catalog, clock.time).restore("one", "hash")
    assert core.text(ZONE)[0] == f"a.{ZONE}. 5 A 10.0.0.9"
    assert f"c.{ZONE}. 6 AAAA ::1" in core.text(ZONE)


async def test_only_changed_sources_are_saved(tmp_path: Path) -> None:
    catalog, _, clock = await new_catalog()
    snapshots = SnapshotFiles(tmp_path, catalog, clock.time)
    path = tmp_path / "one.snapshot"
    catalog.apply("one", *LIST[:-1])
    await snapshots.save({"one": "hash", "two": "hash", "gone": "hash"})
    assert os.listdir(tmp_path) == [], "incomplete lists are not saved"
    catalog.apply("one", LIST[-1])
    await snapshots.save({"one": "hash"})
    assert os.listdir(tmp_path) == [path.name]
    path.unlink()
    await snapshots.save({"one": "hash"})
    assert not path.exists()
    catalog.apply("one", Delete("/k", 9))
    await snapshots.save({"one": "hash"})
    assert path.exists()


async def test_failed_save_is_counted_and_retried(tmp_path: Path) -> None:
    catalog, _, clock = await new_catalog()
    snapshots = SnapshotFiles(tmp_path, catalog, clock.time)
    catalog.apply("one", *LIST)
    obstacle = tmp_path / "one.snapshot.new"
    obstacle.mkdir()
    await snapshots.save({"one": "hash"})
    assert snapshots.failed_total == 1
    obstacle.rmdir()
    await snapshots.save({"one": "hash"})
    assert (tmp_path / "one.snapshot").exists()


async def test_snapshot_with_other_settings_is_ignored(tmp_path: Path) -> None:
    await saved(tmp_path)
    _, core, snapshots, done = await restored(tmp_path, "other hash")
    assert (done, snapshots.bad_total, core.text(ZONE)) == (False, 0, [])


async def test_snapshot_of_another_source_is_ignored(tmp_path: Path) -> None:
    await saved(tmp_path)
    (tmp_path / "one.snapshot").rename(tmp_path / "two.snapshot")
    catalog, _, clock = await new_catalog()
    assert not await SnapshotFiles(tmp_path, catalog, clock.time).restore("two", "hash")


async def test_snapshot_of_another_version_is_ignored(tmp_path: Path) -> None:
    await saved(tmp_path)
    path = tmp_path / "one.snapshot"
    content = path.read_bytes()[:-DIGEST].replace(b'"version": 1', b'"version": 2', 1)
    path.write_bytes(content + hashlib.blake2b(content, digest_size=DIGEST).digest())
    _, _, snapshots, done = await restored(tmp_path)
    assert (done, snapshots.bad_total) == (False, 0)


async def test_missing_snapshot(tmp_path: Path) -> None:
    _, _, snapshots, done = await restored(tmp_path)
    assert (done, snapshots.bad_total) == (False, 0)


@pytest.mark.parametrize("size", [0, 1, 8, 40, 100, -1, -32, -33])
async def test_truncated_snapshot_is_ignored(tmp_path: Path, size: int) -> None:
    await saved(tmp_path)
    path = tmp_path / "one.snapshot"
    path.write_bytes(path.read_bytes()[:size])
    _, core, snapshots, done = await restored(tmp_path)
    assert (done, snapshots.bad_total, core.text(ZONE)) == (False, 1, [])


@pytest.mark.slow
async def test_snapshot_with_flipped_bit_is_ignored(tmp_path: Path) -> None:
    await saved(tmp_path)
    path = tmp_path / "one.snapshot"
    whole = path.read_bytes()
    for bit in random.Random(1).sample(range(8 * len(whole)), 50):  # noqa: S311
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        _, core, snapshots, done = await restored(tmp_path)
        assert (done, snapshots.bad_total, core.text(ZONE)) == (False, 1, []), bit


async def test_serials_are_saved_ahead_and_exactly_at_the_end(tmp_path: Path) -> None:
    catalog, _, clock = await new_catalog()
    snapshots = SnapshotFiles(tmp_path, catalog, clock.time)
    assert snapshots.read_serials() == {}
    await snapshots.save_serials()
    serial = catalog.serials()[f"{ZONE}."]
    assert SnapshotFiles(tmp_path, catalog, clock.time).read_serials() == {
        f"{ZONE}.": serial + SERIAL_AHEAD
    }
    (tmp_path / "serials.json").unlink()
    await snapshots.save_serials()
    assert not (tmp_path / "serials.json").exists(), "the saved serial is still ahead"
    await snapshots.save_serials(last=True)
    assert SnapshotFiles(tmp_path, catalog, clock.time).read_serials() == {f"{ZONE}.": serial}


async def test_serial_does_not_decrease_after_a_crash(tmp_path: Path) -> None:
    catalog, _, clock = await new_catalog()
    await SnapshotFiles(tmp_path, catalog, clock.time).save_serials()
    for number in range(60):
        clock.advance(1)
        catalog.apply("one", Put("k", 1, NOW, records(f"a A 10.0.0.{number}")))
    last = catalog.serials()[f"{ZONE}."]
    slow = ManualClock()
    slow.now = NOW - 1000
    again = Catalog(RecordingCore(), slow)
    again.known_serials(SnapshotFiles(tmp_path, again, slow.time).read_serials())
    await again.reconfigure(settings())
    assert again.serials()[f"{ZONE}."] > last


INVALID = [
    "", "[]", "{", "7", "NaN", "\0" * 100,
    '{"a.": "x"}', '{"a.": null}', '{"a.": 1e400}', '{"a.": -1}', '{"a.": true}',
    '{"a.": 99999999999999999999}', "[" * 100_000, '{"a.": ' * 1000, '{"checksum": 1}',
    '{"serials": {"a.": 7}, "checksum": ""}', '{"serials": {"a.": 7}}',
]  # fmt: skip


@pytest.mark.parametrize("content", INVALID)
async def test_invalid_serials_are_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / "serials.json").write_text(content)
    catalog, _, clock = await new_catalog()
    snapshots = SnapshotFiles(tmp_path, catalog, clock.time)
    assert snapshots.read_serials() == {}
    assert snapshots.bad_total == 1
    await snapshots.save_serials(last=True)
    again = SnapshotFiles(tmp_path, catalog, clock.time)
    assert again.read_serials() == catalog.serials()
    assert again.bad_total == 0


async def test_serials_with_flipped_bit_or_cut_off_are_ignored(tmp_path: Path) -> None:
    catalog, _, clock = await new_catalog()
    await SnapshotFiles(tmp_path, catalog, clock.time).save_serials()
    path = tmp_path / "serials.json"
    whole = path.read_bytes()
    wanted = SnapshotFiles(tmp_path, catalog, clock.time).read_serials()
    broken = [whole[:size] for size in range(len(whole))]
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        broken.append(bytes(flipped))
    ignored = 0
    for content in broken:
        path.write_bytes(content)
        snapshots = SnapshotFiles(tmp_path, catalog, clock.time)
        assert snapshots.read_serials() in ({}, wanted), content
        ignored += snapshots.bad_total
    # A few bits change one kind of white space into another.
    assert ignored > len(broken) * 0.9


async def test_serials_of_removed_zones_are_kept(tmp_path: Path) -> None:
    """Serials are read from a file without a checksum, as version 0.1 wrote it."""
    (tmp_path / "serials.json").write_text('{"gone.": 5}')
    catalog, _, clock = await new_catalog()
    snapshots = SnapshotFiles(tmp_path, catalog, clock.time)
    snapshots.read_serials()
    await snapshots.save_serials(last=True)
    assert snapshots.read_serials()["gone."] == 5


async def test_files_are_private_to_their_owner(tmp_path: Path) -> None:
    (tmp_path / "one.snapshot.new").touch(0o644)
    catalog, _ = await saved(tmp_path)
    await SnapshotFiles(tmp_path, catalog, lambda: NOW).save_serials()
    assert sorted(os.listdir(tmp_path)) == ["one.snapshot", "serials.json"]
    for name in os.listdir(tmp_path):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


async def test_snapshot_with_invalid_header_is_ignored(tmp_path: Path) -> None:
    """A file with a valid checksum was written by another version of musterd."""
    for header in (b"{}", b"[]", b"7", b"{", b'{"version": 1}', b'{"version": 1, "more": 2}', b""):
        content = b"musterd\1" + len(header).to_bytes(4) + header
        digest = hashlib.blake2b(content, digest_size=32).digest()
        (tmp_path / "one.snapshot").write_bytes(content + digest)
        _, core, snapshots, done = await restored(tmp_path)
        assert (done, snapshots.bad_total, core.text(ZONE)) == (False, 1, []), header
    content = b"musterd\1\0"
    digest = hashlib.blake2b(content, digest_size=32).digest()
    (tmp_path / "one.snapshot").write_bytes(content + digest)
    assert (await restored(tmp_path))[3] is False


def test_folder_is_created(tmp_path: Path) -> None:
    open_folder(tmp_path / "a" / "b")
    open_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"file/state: can't be created: .*; set \[state\] dir"):
        open_folder(tmp_path / "file" / "state")
