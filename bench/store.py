"""``python -m bench.store [FOLDER]``: speed and memory of the embedded store.

Prints writes a second of 50 tasks, the time until they are acknowledged and until a watch reports
them, the time of a read, and the memory for 100,000 entries.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from musterd.kv import PutOp, Store
from musterd.store.embedded import EmbeddedStore

TASKS = 50
WRITES = 1000
READS = 20_000
ENTRIES = 100_000
BATCH = 1000
"""Entries per transaction while the store is filled."""
VALUE = b'{"ttl":30,"rdata":"192.0.2.1","weight":1,"registrant":"a"}'.ljust(250)


def _key(task: int, number: int) -> bytes:
    return b"/musterd/v1/records/lab.internal/host%d.rack%d/A/%08x" % (number, task, number)


def _rss() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _spread(seconds: list[float]) -> str:
    """Return median, 99th percentile and maximum in ms."""
    ordered = sorted(seconds)
    picked = (ordered[int(part * (len(ordered) - 1))] * 1000 for part in (0.5, 0.99, 1))
    return "median {:.2f} ms, p99 {:.2f} ms, max {:.2f} ms".format(*picked)


async def _write(store: Store, started: dict[bytes, float], task: int) -> list[float]:
    """Write the keys of a task; return the seconds to each acknowledgement."""
    waited = []
    for number in range(WRITES):
        key = _key(task, number)
        started[key] = time.perf_counter()
        await store.put(key, VALUE)
        waited.append(time.perf_counter() - started[key])
    return waited


async def _watch(store: Store, started: dict[bytes, float], ready: asyncio.Event) -> list[float]:
    """Return the seconds until a watch reported each write."""
    waited: list[float] = []
    async with store.watch(b"") as watch:
        ready.set()
        while len(waited) < TASKS * WRITES:
            batch = await anext(watch)
            waited.append(time.perf_counter() - started[batch.events[0].key])
    return waited


async def _measure_writes(store: Store) -> None:
    started: dict[bytes, float] = {}
    ready = asyncio.Event()
    watching = asyncio.create_task(_watch(store, started, ready))
    await ready.wait()
    begin, used = time.perf_counter(), time.process_time()
    waited = await asyncio.gather(*(_write(store, started, task) for task in range(TASKS)))
    took, used = time.perf_counter() - begin, time.process_time() - used
    count = TASKS * WRITES
    print(f"{count / took:.0f} puts/s from {TASKS} tasks, {used / count * 1e6:.0f} µs CPU each")
    print("  acknowledged:", _spread([seconds for task in waited for seconds in task]))
    print("  in a watch:  ", _spread(await watching))


async def _measure_reads(store: Store) -> None:
    chance = random.Random(1)
    keys = [_key(chance.randrange(TASKS), chance.randrange(WRITES)) for _ in range(READS)]
    begin = time.perf_counter()
    for key in keys:
        await store.get(key)
    print(f"get: {(time.perf_counter() - begin) / len(keys) * 1e6:.1f} µs")


async def _measure_stalls(stalls: list[float]) -> None:
    """Record how long other tasks block the event loop."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0)
        stalls.append(time.perf_counter() - before)


async def _measure_memory(path: Path) -> None:
    stalls: list[float] = []
    before, begin = _rss(), time.perf_counter()
    async with await EmbeddedStore.open(path) as store:
        opened = time.perf_counter() - begin
        measuring = asyncio.create_task(_measure_stalls(stalls))
        begin, count = time.perf_counter(), 0
        async for page in store.scan(b""):
            count += len(page.entries)
        scanned = time.perf_counter() - begin
        measuring.cancel()
        grown = (_rss() - before) / 2**20
        print(f"{count} entries: opened in {opened:.2f} s, scanned in {scanned:.2f} s")
        print(f"  memory growth {grown:.1f} MiB; event loop blocked: {_spread(stalls)}")


async def _fill(store: Store) -> None:
    for start in range(0, ENTRIES, BATCH):
        numbers = range(start, start + BATCH)
        puts = [PutOp(_key(number // 100, number), VALUE) for number in numbers]
        await store.transaction((), puts)


async def _measure(folder: Path) -> None:
    filled = folder / "filled.db"
    async with await EmbeddedStore.open(filled) as store:
        await _fill(store)
    # In a new process, whose memory holds nothing else.
    argv = (sys.executable, "-m", "bench.store", "--memory", filled)
    process = await asyncio.create_subprocess_exec(*argv)
    await process.wait()
    async with await EmbeddedStore.open(folder / "written.db") as store:
        await _measure_writes(store)
        await _measure_reads(store)


def main() -> None:
    """Measure in a new folder, below FOLDER if given."""
    if sys.argv[1:2] == ["--memory"]:
        asyncio.run(_measure_memory(Path(sys.argv[2])))
        return
    with tempfile.TemporaryDirectory(dir=Path(*sys.argv[1:])) as folder:
        asyncio.run(_measure(Path(folder)))


if __name__ == "__main__":
    main()
