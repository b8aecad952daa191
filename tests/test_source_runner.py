"""A source, its failures and its snapshot."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from musterd.backoff import Backoff
from musterd.catalog import Catalog
from musterd.rr.names import name_from_text
from musterd.rr.types import TXT, A
from musterd.server.snapshot_files import SnapshotFiles
from musterd.server.source_runner import RunnerTiming, SourceRunner
from musterd.sources.changes import Begin, Change, Lost, Put, Synced, Withheld, WithheldRecord
from tests.catalogkit import NOW, new_catalog, records, until

ZONE = "lab.internal"
OLD: list[Change] = [Begin(), Put("k", 1, NOW, records("a A 10.0.0.1")), Synced(1)]
NEW: list[Change] = [Begin(), Put("k", 2, NOW, records("a A 10.0.0.2")), Synced(2)]
FAR = 3600.0


class Script:
    """A source that yields the given steps, and raises those that are errors."""

    name = "one"

    def __init__(self) -> None:
        self.steps: asyncio.Queue[Change | Exception | None] = asyncio.Queue()

    def then(self, *steps: Change | Exception | None) -> None:
        for step in steps:
            self.steps.put_nowait(step)

    async def changes(self) -> AsyncGenerator[Change]:
        while (step := await self.steps.get()) is not None:
            if isinstance(step, Exception):
                raise step
            yield step


Run = Callable[..., Script]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    tasks: list[asyncio.Task[None]] = []

    def start(
        catalog: Catalog, snapshots: SnapshotFiles | None = None, late: float = FAR
    ) -> Script:
        timing = RunnerTiming(restore_after=late, retry=Backoff(0.0, 0.0))
        script = Script()
        snapshot = (snapshots, "hash") if snapshots else None
        runner = SourceRunner(script, catalog, snapshot, lambda name: None, timing)
        tasks.append(asyncio.create_task(runner.run()))
        return script

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.fixture
async def snapshots(tmp_path: Path) -> SnapshotFiles:
    """Save a snapshot to a directory."""
    catalog, _, clock = await new_catalog()
    catalog.apply("one", *OLD)
    saved = SnapshotFiles(tmp_path, catalog, clock.time)
    await saved.save({"one": "hash"})
    return saved


def state(catalog: Catalog) -> str:
    return catalog.source_reports()[0].state


async def test_each_reason_is_logged_once_per_outage(run: Run) -> None:
    catalog, core, _ = await new_catalog()
    with capture_logs() as logs:
        script = run(catalog)
        script.then(*[Lost(f"cause {number}") for number in (1, 2, 1, 2, 1)], *OLD, Lost("cause 1"))
        script.then(*NEW)
        await until(lambda: core.text(ZONE) == [f"a.{ZONE}. 30 A 10.0.0.2"])
    logged = [entry["reason"] for entry in logs if entry["event"] == "source lost"]
    assert logged == ["cause 1", "cause 2", "cause 1"]


async def test_changes_reach_the_core(run: Run) -> None:
    catalog, core, _ = await new_catalog()
    run(catalog).then(*OLD, *NEW)
    await until(lambda: core.text(ZONE) == [f"a.{ZONE}. 30 A 10.0.0.2"])


async def test_withheld_records_are_explained_while_the_source_withholds_them() -> None:
    catalog, _, _ = await new_catalog()
    zone, owner = name_from_text(ZONE), name_from_text(f"a.{ZONE}")
    withheld = Withheld(
        owner,
        (
            WithheldRecord(A, 5, bytes((10, 0, 0, 9)), "because"),
            WithheldRecord(TXT, 1, b"\1x", "no"),
        ),
    )
    script = Script()
    task = asyncio.create_task(SourceRunner(script, catalog, None, lambda name: None).run())
    script.then(*NEW, withheld)
    await until(lambda: len(catalog.explain(zone, owner)) > 1)
    given, hidden, alone = catalog.explain(zone, owner)
    assert (hidden.rrset.records, hidden.hidden) == (((5, bytes((10, 0, 0, 9))),), "because")
    assert (hidden.key, hidden.revision) == (given.key, given.revision)
    # The source gives no other TXT record, so this one has no key.
    assert (alone.rtype, alone.hidden, alone.key) == (TXT, "no", "")
    script.then(Withheld(owner, ()))
    await until(lambda: len(catalog.explain(zone, owner)) == 1)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("fault", [ValueError("oh"), None])
async def test_failed_source_is_lost_and_restarted(run: Run, fault: Exception | None) -> None:
    catalog, core, _ = await new_catalog()
    script = run(catalog)
    script.then(*OLD, fault)
    await until(lambda: state(catalog) == "lost")
    assert catalog.source_reports()[0].reason == (
        "it failed: ValueError: oh" if fault else "it ended"
    )
    assert core.text(ZONE) == [f"a.{ZONE}. 30 A 10.0.0.1"]
    script.then(*NEW)
    await until(lambda: state(catalog) == "synced")
    assert core.text(ZONE) == [f"a.{ZONE}. 30 A 10.0.0.2"]


async def test_snapshot_is_restored_if_the_source_is_lost_at_first(
    run: Run, snapshots: SnapshotFiles, tmp_path: Path
) -> None:
    catalog, core, clock = await new_catalog()
    script = run(catalog, SnapshotFiles(tmp_path, catalog, clock.time))
    script.then(Lost("gone"))
    await until(lambda: bool(core.text(ZONE)))
    assert core.text(ZONE) == [f"a.{ZONE}. 30 A 10.0.0.1"]
    script.then(*NEW)
    await until(lambda: state(catalog) == "synced")
    assert core.text(ZONE) == [f"a.{ZONE}. 30 A 10.0.0.2"]


async def test_snapshot_is_restored_if_the_source_is_slow(
    run: Run, snapshots: SnapshotFiles, tmp_path: Path
) -> None:
    catalog, core, clock = await new_catalog()
    run(catalog, SnapshotFiles(tmp_path, catalog, clock.time), late=0.0)
    await until(lambda: state(catalog) == "restored")
    assert core.text(ZONE) == [f"a.{ZONE}. 30 A 10.0.0.1"]


async def test_snapshot_is_not_restored_after_a_list(
    run: Run, snapshots: SnapshotFiles, tmp_path: Path
) -> None:
    catalog, core, clock = await new_catalog()
    restored = SnapshotFiles(tmp_path, catalog, clock.time)
    run(catalog, restored).then(*NEW, Lost("gone"))
    await until(lambda: state(catalog) == "lost")
    assert core.text(ZONE) == [f"a.{ZONE}. 30 A 10.0.0.2"]
