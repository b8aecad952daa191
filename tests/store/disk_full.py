"""Checks of an embedded store on a full disk; ``test_full.py`` runs it on a small one.

``python -m tests.store.disk_full FOLDER while_open|at_restart``: the folder is a file system of its
own that can be enlarged.
"""

import asyncio
import sys
from pathlib import Path

from musterd.kv import Entry, EventKind, LeaseNotFound, PutOp, Store, StoreFull
from musterd.store.embedded import EmbeddedOptions, EmbeddedStore
from tests.smalldisk import PASSED, enlarge, fill_up
from tests.store.backends import MovableClock
from tests.store.kit import everything, revision, take

VALUE = bytes(2000)


async def pair(store: Store, number: int) -> int:
    """Put two keys in a transaction; return its revision."""
    steps = [PutOp(b"%s/%d" % (name, number), VALUE) for name in (b"one", b"other")]
    return (await store.transaction((), steps)).revision


async def fill(store: Store, number: int = 0) -> dict[int, int]:
    """Write until no pair has room; return the revision of each acknowledged pair."""
    kept: dict[int, int] = {}
    for at_once in (50, 1):
        refused = 0
        while refused < 10:
            numbers = range(number, number + at_once)
            asked = [pair(store, each) for each in numbers]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            for each, outcome in zip(numbers, outcomes, strict=True):
                if isinstance(outcome, int):
                    kept[each] = outcome
                else:
                    assert isinstance(outcome, StoreFull), outcome
                    assert "the disk is full" in str(outcome)
                    refused += 1
            number += at_once
    return kept


def as_acknowledged(entries: dict[bytes, Entry], kept: dict[int, int]) -> bool:
    """Return whether the entries are exactly the acknowledged pairs, each complete."""
    found = {(key.split(b"/")[0], int(key.split(b"/")[1])): e for key, e in entries.items()}
    expected = {(name, number) for number in kept for name in (b"one", b"other")}
    return found.keys() == expected and all(
        found[name, number].mod_revision == kept[number] for name, number in expected
    )


async def while_open(folder: Path) -> None:
    """Check that an open store survives a full disk and resumes when there is space."""
    clock, path = MovableClock(), folder / "s.db"
    options = EmbeddedOptions(history=500)
    store = await EmbeddedStore.open(path, options, clock)
    lease = await store.lease_grant(5)
    leased = await store.put(b"leased", b"", lease=lease.id)
    kept = await fill(store)
    assert len(kept) >= 50
    # Every acknowledged write can be read, and watches go on.
    assert as_acknowledged(await everything(store, b"o"), kept)
    assert await revision(store) == leased + len(kept)
    async with store.watch(b"", leased + len(kept)) as watch:
        assert (await take(watch, 1))[0].events[0].key.startswith(b"one/")
        clock.advance(6)
        # The expiry of the lease can't be written yet, but the lease can't be used.
        await asyncio.gather(store.transaction((), ()), return_exceptions=True)
        for ask in (store.lease_keepalive(lease.id), store.put(b"x", b"", lease=lease.id)):
            try:
                await ask
            except LeaseNotFound:
                continue
            raise AssertionError("an expired lease was used")
        try:
            await EmbeddedStore.open(folder / "second.db")
        except StoreFull:
            pass
        else:
            raise AssertionError("a store was created on a full disk")
        await enlarge(folder)
        clock.advance(2)
        (gone,) = await take(watch, 1)
        assert gone.events[0][:3] == (EventKind.EXPIRED, b"leased", None)
    number = max(kept) + 100_000
    kept[number] = await pair(store, number)
    assert kept[number] == gone.revision + 1
    await store.close()
    async with await EmbeddedStore.open(path, options) as store:
        assert as_acknowledged(await everything(store), kept)
        assert await revision(store) == kept[number]
    async with await EmbeddedStore.open(folder / "second.db") as store:
        await store.put(b"a", b"")


async def at_restart(folder: Path) -> None:
    """Check that a store opens complete on a full disk, or refuses and changes nothing."""
    path, rest = folder / "s.db", folder / "rest"
    async with await EmbeddedStore.open(path) as store:
        kept = {number: await pair(store, number) for number in range(20)}
    fill_up(rest)
    assert not await opens(path, kept)
    rest.unlink()
    async with await EmbeddedStore.open(path) as store:
        kept |= await fill(store, 20)
    fill_up(rest)
    await opens(path, kept)
    await enlarge(folder)
    assert await opens(path, kept)


async def opens(path: Path, kept: dict[int, int]) -> bool:
    """Return whether a store opens; if so, check that it has the acknowledged writes."""
    try:
        async with await EmbeddedStore.open(path) as store:
            assert as_acknowledged(await everything(store), kept)
    except StoreFull:
        return False
    return True


if __name__ == "__main__":
    asyncio.run(
        {"while_open": while_open, "at_restart": at_restart}[sys.argv[2]](Path(sys.argv[1]))
    )
    print(PASSED)
