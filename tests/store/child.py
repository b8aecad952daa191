"""A process that writes as fast as it can and prints each acknowledged write.

``python -m tests.store.child PATH ROUND`` runs fifty tasks. Each transaction of a task puts a
unique key and three keys that must always be equal; every third transaction deletes the three.
Each output line is ``TASK NUMBER REVISION``.
"""

import asyncio
import os
import sys
from pathlib import Path

from musterd.kv import DeleteOp, Operation, PutOp, Store
from musterd.store.embedded import EmbeddedOptions, EmbeddedStore

TASKS = 50
HISTORY = 2000


def unique(number: int, task: int, turn: int) -> bytes:
    """Return the unique key of a transaction."""
    return b"u/%d/%d/%d" % (number, task, turn)


def equal(task: int) -> list[bytes]:
    """Return the keys of a task that are always equal: all present with one value, or none."""
    return [b"e/%d/%d" % (task, place) for place in range(3)]


async def write(store: Store, number: int, task: int) -> None:
    turn = 0
    while True:
        steps: list[Operation] = [PutOp(unique(number, task, turn), bytes(200))]
        steps += [PutOp(key, b"%d.%d" % (number, turn)) for key in equal(task)]
        if not turn % 3:
            steps[1:] = [DeleteOp(key) for key in equal(task)]
        done = await store.transaction((), steps)
        os.write(sys.stdout.fileno(), b"%d %d %d\n" % (task, turn, done.revision))
        turn += 1


async def main(path: Path, number: int) -> None:
    store = await EmbeddedStore.open(path, EmbeddedOptions(history=HISTORY))
    async with asyncio.TaskGroup() as group:
        for task in range(TASKS):
            group.create_task(write(store, number, task))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
