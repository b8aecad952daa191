"""A state directory that can't be used: ``musterd serve`` reports why, and changes nothing."""

import asyncio
import hashlib
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from musterd.kv import PutOp
from musterd.registry.keys import RecordKey
from musterd.registry.record import encode, record_spec
from musterd.rr.types import A
from musterd.server.store import FILE, LIMITS
from musterd.store.embedded import EmbeddedOptions, EmbeddedStore
from tests.needs import needs
from tests.servers import MUSTERD, ServerFixture, ServerProcess
from tests.smalldisk import NOT_PERMITTED, run_driver, run_in_namespace

pytestmark = pytest.mark.slow
RECORDS = 2000


async def filled(fixture: ServerFixture) -> Path:
    """A store with records in it, closed."""
    fixture.state.mkdir()
    path = fixture.state / FILE
    async with await EmbeddedStore.open(path, EmbeddedOptions(limits=LIMITS)) as store:
        for start in range(0, RECORDS, 1000):
            numbers = range(start, start + 1000)
            await store.transaction((), [record(number) for number in numbers])
    return path


def record(number: int) -> PutOp:
    """The record of one host."""
    wanted = record_spec(A, f"10.0.{number >> 8}.{number & 255}")
    key = RecordKey("lab.internal", f"h{number}", "A", wanted.id)
    return PutOp(key.raw, encode(wanted, "first", 0.0, None))


def overwrite(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def newer(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


def of_another_program(path: Path) -> None:
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (a)")
    db.close()


CORRUPT = r"store\.db: damaged, or not a musterd store: .*from a backup"
DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("a text", lambda path: path.write_text("a file of someone else\n" * 1000), CORRUPT),
    ("a header", lambda path: overwrite(path, 0, bytes(100)), CORRUPT),
    ("pages", lambda path: overwrite(path, 4096 * 20, b"\xa5" * 4096 * 20), CORRUPT),
    ("cut off", lambda path: os.truncate(path, 100_000), CORRUPT),
    ("another program", of_another_program, CORRUPT),
    ("a newer layout", newer, r"store\.db: was written by a newer musterd .*not changed"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in DAMAGE],
                         ids=[case[0] for case in DAMAGE])  # fmt: skip
async def test_unreadable_store_stops_server(
    fixture: ServerFixture, damage: Callable[[Path], object], message: str
) -> None:
    path = await filled(fixture)
    damage(path)
    before = digest(path)
    async with fixture.process() as server:
        await refused(server, message)
    assert digest(path) == before


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def refused(server: ServerProcess, message: str) -> None:
    """The server ends, and describes the problem in one line."""
    assert await asyncio.wait_for(server.process.wait(), 30) == 1
    await server.kill()
    assert re.search(message, server.text), server.text
    assert server.text.count("\n") == 1
    assert "ready" not in [entry["event"] for entry in server.log]


async def test_second_server_in_same_directory_is_rejected(fixture: ServerFixture) -> None:
    async with fixture.process() as server:
        await server.ready()
        async with fixture.process() as other:
            await refused(
                other,
                rf"store\.db\.lock: process {server.process.pid} uses this store: stop it",
            )
        assert await server.answers("nope.lab.internal", "A") == []


async def test_damage_while_running_is_reported(fixture: ServerFixture) -> None:
    """Answers continue; unreadable data is an error, never an empty result."""
    path = await filled(fixture)
    async with fixture.process() as server:
        await server.ready()
        overwrite(path, 4096 * 2, b"\xa5" * (path.stat().st_size - 4096 * 2))
        async with server.client() as client:
            response = await client.get("/history?limit=1000")
            assert response.status_code == 503
            assert "damaged, or not" in response.json()["detail"]
        assert await server.answers(f"h{RECORDS - 1}.lab.internal", "A") == [(30, "10.0.7.207")]


async def test_store_that_is_removed_while_running_is_reported_and_saved(
    fixture: ServerFixture,
) -> None:
    fixture.set(('[metrics]\nlisten = ""', '[metrics]\nlisten = "127.0.0.1:0"'))
    path = fixture.state / FILE
    async with fixture.process() as server:
        await server.ready()
        async with server.client() as client, httpx.AsyncClient(trust_env=False) as plain:
            assert (await put_web(client, "10.0.0.1")).status_code == 201
            path.unlink()
            event = await server.logged("store can't be written")
            assert "store.db.saved in the place of store.db" in str(event["reason"])
            ready = (await plain.get(f"http://{server.metrics}/readyz")).json()
            assert "was removed or replaced" in ready["store"]["problem"]
            problems = (await client.get("/status")).json()["problems"]
            assert any("was removed or replaced" in problem for problem in problems)
            response = await put_web(client, "10.0.0.2")
            assert response.status_code == 503
            assert "was removed or replaced" in response.json()["detail"]
            assert (await client.get("/records/lab.internal/web/A/x")).status_code == 200
            assert (await client.get("/records")).status_code == 200
        assert await server.answers("web.lab.internal", "A") == [(30, "10.0.0.1")]
        await server.kill()
    async with fixture.process() as server:
        await refused(server, r"store\.db: acknowledged writes are missing: it is empty or was")
    path.with_name("store.db.saved").replace(path)
    async with fixture.process() as server:
        await server.ready()
        assert await server.answers("web.lab.internal", "A") == [(30, "10.0.0.1")]


async def put_web(client: httpx.AsyncClient, address: str) -> httpx.Response:
    return await client.put("/records/lab.internal/web/A/x", json={"data": address})


async def test_flipped_bit_in_the_log_stops_the_start(fixture: ServerFixture) -> None:
    """SQLite ends a damaged log early, and so loses acknowledged writes without an error."""
    path = fixture.state / f"{FILE}-wal"
    async with fixture.process() as server:
        await server.ready()
        async with server.client() as client:
            size = path.stat().st_size
            for address in ("10.0.0.1", "10.0.0.2"):
                assert (await put_web(client, address)).is_success
        await server.kill()
    content = bytearray(path.read_bytes())
    content[size + 100] ^= 1
    path.write_bytes(content)
    async with fixture.process() as server:
        await refused(server, r"store\.db: acknowledged writes are missing: it ends at revision ")


@needs("unshare", "mount")
def test_full_disk_loses_no_acknowledged_record(tmp_path: Path) -> None:
    run_driver(tmp_path, "2m", "tests.api.disk_full")


@needs("unshare", "mount", "mkfs.ext4")
def test_disk_that_becomes_read_only_loses_no_acknowledged_record(tmp_path: Path) -> None:
    run_driver(tmp_path, "100m", "tests.api.disk_errors")


READ_ONLY = f"""
mount -t tmpfs none "$1" || exit {NOT_PERMITTED}
mkdir "$1/state" && mount -o remount,ro "$1" || exit {NOT_PERMITTED}
shift
exec "$@"
"""


@needs("unshare", "mount")
def test_read_only_disk_is_reported(fixture: ServerFixture) -> None:
    fixture.set((f'dir = "{fixture.state}"', f'dir = "{fixture.state}/state"'))
    fixture.state.mkdir()
    command = [*MUSTERD, "serve", "-c", str(fixture.settings)]
    done = run_in_namespace(READ_ONLY, str(fixture.state), *command)
    assert done.returncode == 1
    assert "state: can't be written to; set [state] dir, or MUSTERD_STATE__DIR" in done.stderr
