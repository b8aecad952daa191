"""The embedded store: ``kill -9`` under load loses no acknowledged write.

The environment sets the number of kills: ``KILLS=200 make test PYTEST=tests/store/test_kill.py``.
"""

import asyncio
import contextlib
import os
import random
import sys
from pathlib import Path

import pytest

from musterd.kv import Compacted, Store
from musterd.store.embedded import EmbeddedOptions, EmbeddedStore
from tests.store.child import HISTORY, TASKS, equal, unique
from tests.store.kit import everything, revision, until

KILLS = int(os.environ.get("KILLS", "20"))
ROUNDS = 20
"""Kills of a store before the next one is created."""
ROOT = Path(__file__).parents[2]
LONGEST = 0.4
"""Seconds from the first acknowledged write to the kill, at most."""

Acks = list[tuple[int, int, int]]
"""Task, number of its transaction, revision."""


@pytest.mark.timeout(60 + 5 * KILLS)
async def test_no_acknowledged_write_is_lost(tmp_path: Path) -> None:
    chance = random.Random()  # noqa: S311
    acknowledged = revisions = 0
    for number in range(KILLS):
        if not number % ROUNDS:
            revisions = 0
        path = tmp_path / f"{number // ROUNDS}.db"
        # Every fifth is killed while it opens the store and recovers it.
        early = not number % 5
        acks = await write_and_kill(path, number, chance.uniform(0, LONGEST), early=early)
        async with await EmbeddedStore.open(path, EmbeddedOptions(history=HISTORY)) as store:
            await check(store, number, acks)
            revisions = await check_log(store, revisions)
        acknowledged += len(acks)
    assert acknowledged > KILLS


async def write_and_kill(path: Path, number: int, after: float, *, early: bool) -> Acks:
    """Kill a process some seconds after its start or first write; return its acknowledgements."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.store.child", path, str(number)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert child.stdout
    output = b"" if early else await child.stdout.readuntil()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(after):
            while more := await child.stdout.read(65_536):
                output += more
    assert child.returncode is None
    child.kill()
    output += await child.stdout.read()
    await child.wait()
    # The last line may be cut off; its write doesn't count as acknowledged.
    lines = output.decode().split("\n")[:-1]
    return [tuple(map(int, line.split())) for line in lines]  # type: ignore[misc]


async def check(store: Store, number: int, acks: Acks) -> None:
    """Check that every acknowledged write is present and no transaction is partial."""
    entries = await everything(store)
    last: dict[int, int] = {}
    for task, turn, at in acks:
        assert entries[unique(number, task, turn)].mod_revision == at
        last[task] = turn
    for task in range(TASKS):
        keys = [key for key in equal(task) if key in entries]
        assert len(keys) in {0, 3}
        assert len({(entries[key].value, entries[key].mod_revision) for key in keys}) <= 1
        # All turns up to a last one were written, at most one after the last acknowledged.
        turns = last.get(task, -1) + 1
        turns += unique(number, task, turns) in entries
        assert unique(number, task, turns) not in entries
        if turns:
            expected = [] if not (turns - 1) % 3 else [b"%d.%d" % (number, turns - 1)] * 3
            assert [entries[key].value for key in keys] == expected


async def check_log(store: Store, before: int) -> int:
    """Check that the history has no gap up to the store's revision; return that revision."""
    last = await revision(store)
    assert last >= before
    oldest = await _oldest(store)
    if oldest <= last:
        async with store.watch(b"", oldest) as watch:
            batches = await until(watch, last)
        assert [batch.revision for batch in batches] == [*range(oldest, last + 1)]
    return last


async def _oldest(store: Store) -> int:
    try:
        async with store.watch(b"", 1):
            return 2
    except Compacted as error:
        return error.revision
