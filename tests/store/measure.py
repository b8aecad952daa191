"""What the embedded store reaches; run by hand.

``python -m tests.store.measure [FOLDER]`` prints acknowledged writes a second of 50 tasks, how long
they wait, how long a watch waits for them, reads, and the memory for 100,000 entries.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from musterd.store import Put, Store
from musterd.store.embedded import Embedded

TASKS = 50
WRITES = 1000
ENTRIES = 100_000
VALUE = b'{"ttl":30,"rdata":"192.0.2.1","weight":1,"registrant":"a"}'.ljust(250)


def key(task: int, number: int) -> bytes:
    return b"/musterd/v1/records/muster.local/host%d.rack%d/A/%08x" % (number, task, number)


def rss() -> int:
    """Octets of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def spread(seconds: list[float]) -> str:
    """Median, 99th of a hundred and longest, in ms."""
    ordered = sorted(seconds)
    picked = (ordered[int(part * (len(ordered) - 1))] * 1000 for part in (0.5, 0.99, 1))
    return "median {:.2f} ms, p99 {:.2f} ms, longest {:.2f} ms".format(*picked)


async def write(store: Store, started: dict[bytes, float], task: int) -> list[float]:
    waited = []
    for number in range(WRITES):
        name = key(task, number)
        started[name] = time.perf_counter()
        await store.put(name, VALUE)
        waited.append(time.perf_counter() - started[name])
    return waited


async def follow(store: Store, started: dict[bytes, float], ready: asyncio.Event) -> list[float]:
    waited: list[float] = []
    async with store.watch(b"") as watch:
        ready.set()
        while len(waited) < TASKS * WRITES:
            batch = await anext(watch)
            waited.append(time.perf_counter() - started[batch.events[0].key])
    return waited


async def blocked(worst: list[float]) -> None:
    """How long the loop was held by others."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0)
        worst.append(time.perf_counter() - before)


async def writes(store: Store) -> None:
    started: dict[bytes, float] = {}
    ready = asyncio.Event()
    watching = asyncio.create_task(follow(store, started, ready))
    await ready.wait()
    begin, used = time.perf_counter(), time.process_time()
    waited = await asyncio.gather(*(write(store, started, task) for task in range(TASKS)))
    took, used = time.perf_counter() - begin, time.process_time() - used
    count = TASKS * WRITES
    print(f"{count / took:.0f} puts/s from {TASKS} tasks, {used / count * 1e6:.0f} µs CPU each")
    print("  acknowledged:", spread([each for one in waited for each in one]))
    print("  in a watch:  ", spread(await watching))


async def reads(store: Store) -> None:
    chance = random.Random(1)  # noqa: S311
    keys = [key(chance.randrange(TASKS), chance.randrange(WRITES)) for _ in range(20_000)]
    begin = time.perf_counter()
    for name in keys:
        await store.get(name)
    print(f"get: {(time.perf_counter() - begin) / len(keys) * 1e6:.1f} µs")


async def memory(path: Path) -> None:
    held: list[float] = []
    before, begin = rss(), time.perf_counter()
    async with await Embedded.open(path) as store:
        opened = time.perf_counter() - begin
        looking = asyncio.create_task(blocked(held))
        begin, count = time.perf_counter(), 0
        async for page in store.scan(b""):
            count += len(page.entries)
        scanned = time.perf_counter() - begin
        looking.cancel()
        grown = (rss() - before) / 2**20
        print(f"{count} entries: opened in {opened:.2f} s, scanned in {scanned:.2f} s")
        print(f"  memory {grown:.1f} MiB more than before; loop held: {spread(held)}")


async def fill(store: Store) -> None:
    for start in range(0, ENTRIES, 1000):
        numbers = range(start, start + 1000)
        await store.transaction((), [Put(key(number // 100, number), VALUE) for number in numbers])


async def main(folder: Path) -> None:
    async with await Embedded.open(folder / "filled.db") as store:
        await fill(store)
    # In a process that has not done anything else yet.
    here = ("-m", "tests.store.measure", folder, "memory")
    again = await asyncio.create_subprocess_exec(sys.executable, *here)
    await again.wait()
    async with await Embedded.open(folder / "written.db") as store:
        await writes(store)
        await reads(store)


if __name__ == "__main__":
    if sys.argv[2:] == ["memory"]:
        asyncio.run(memory(Path(sys.argv[1]) / "filled.db"))
    else:
        with tempfile.TemporaryDirectory(dir=Path(*sys.argv[1:])) as made:
            asyncio.run(main(Path(made)))
