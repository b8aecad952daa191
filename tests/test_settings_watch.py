"""A settings file that changes while the server runs."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from musterd.errors import SettingsError
from musterd.file_watch import FileTiming, FileWatch
from musterd.settings import Settings
from musterd.settings.watch import Watcher, refused
from tests.conftest import Write

Follow = Callable[..., Awaitable["Follower"]]
Outcome = Settings | SettingsError
TIMING = FileTiming(quiet=0.5, poll=3600.0)
"""Changes are found by events only."""


class Follower:
    """Collects the outcomes of a watcher."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.outcomes: asyncio.Queue[Outcome] = asyncio.Queue()

    async def run(self) -> None:
        async for outcome in self.watcher.changes():
            self.outcomes.put_nowait(outcome)

    async def workers_after(self, change: Callable[[], object]) -> int:
        change()
        outcome = await self.outcomes.get()
        assert isinstance(outcome, Settings), outcome
        assert outcome is self.watcher.settings
        return outcome.dns.workers

    async def problem_after(self, change: Callable[[], object]) -> str:
        change()
        outcome = await self.outcomes.get()
        assert isinstance(outcome, SettingsError), outcome
        return outcome.problems[0]


@pytest.fixture
async def follow() -> AsyncIterator[Follow]:
    tasks: list[asyncio.Task[None]] = []

    async def start(path: Path) -> Follower:
        follower = Follower(Watcher(path, {}, FileWatch(TIMING)))
        tasks.append(asyncio.create_task(follower.watcher.files.run()))
        tasks.append(asyncio.create_task(follower.run()))
        follower.watcher.poke()
        await follower.outcomes.get()
        return follower

    yield start
    for task in tasks:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def text(workers: int) -> str:
    return f"dns.workers = {workers}\n"


def config_map(root: Path, version: str, workers: int) -> None:
    """Replace a file as the kubelet does, by swapping the link ``..data``."""
    folder = root / f"..{version}"
    folder.mkdir()
    (folder / "musterd.toml").write_text(text(workers))
    link = root / "..data_tmp"
    link.symlink_to(folder.name)
    link.replace(root / "..data")
    if not (root / "musterd.toml").is_symlink():
        (root / "musterd.toml").symlink_to("..data/musterd.toml")


async def test_write_in_place_is_noticed(write: Write, follow: Follow) -> None:
    path = write(text(1))
    follower = await follow(path)
    assert await follower.workers_after(lambda: path.write_text(text(2))) == 2
    assert await follower.workers_after(lambda: path.write_text(text(3))) == 3


async def test_rename_over_the_file_is_noticed(
    write: Write, follow: Follow, tmp_path: Path
) -> None:
    path = write(text(1))
    follower = await follow(path)
    for workers in (2, 3):
        fresh = tmp_path / "fresh"
        fresh.write_text(text(workers))
        assert await follower.workers_after(lambda: fresh.replace(path)) == workers  # noqa: B023


async def test_config_map_update_is_noticed(tmp_path: Path, follow: Follow) -> None:
    config_map(tmp_path, "1", 1)
    follower = await follow(tmp_path / "musterd.toml")
    for workers in (2, 3, 4):
        swap = (tmp_path, str(workers), workers)
        assert await follower.workers_after(lambda: config_map(*swap)) == workers  # noqa: B023


async def test_swap_of_a_link_far_above_the_file_is_noticed(tmp_path: Path, follow: Follow) -> None:
    for workers in (1, 2):
        folder = tmp_path / f"v{workers}" / "etc"
        folder.mkdir(parents=True)
        (folder / "musterd.toml").write_text(text(workers))
    link, fresh = tmp_path / "now", tmp_path / "fresh"
    link.symlink_to(tmp_path / "v1")
    fresh.symlink_to(tmp_path / "v2")
    follower = await follow(link / "etc" / "musterd.toml")
    assert await follower.workers_after(lambda: fresh.replace(link)) == 2


async def test_target_of_a_link_is_watched(tmp_path: Path, follow: Follow) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "real.toml", tmp_path / "musterd.toml"
    target.write_text(text(1))
    link.symlink_to("there/../there/real.toml")
    follower = await follow(link)
    assert await follower.workers_after(lambda: target.write_text(text(2))) == 2


async def test_removed_file_is_reported_and_the_settings_stay(write: Write, follow: Follow) -> None:
    path = write(text(1))
    follower = await follow(path)
    problem = await follower.problem_after(path.unlink)
    assert problem == f"{path}: can't be read: No such file or directory"
    assert follower.watcher.settings.dns.workers == 1
    assert await follower.workers_after(lambda: path.write_text(text(2))) == 2


async def test_directory_that_is_removed_and_recreated(tmp_path: Path, follow: Follow) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    path = folder / "musterd.toml"
    path.write_text(text(1))
    follower = await follow(path)
    await follower.problem_after(lambda: shutil.rmtree(folder))

    def recreate() -> None:
        folder.mkdir()
        path.write_text(text(2))

    assert await follower.workers_after(recreate) == 2


async def test_invalid_file_is_reported_and_the_settings_stay(write: Write, follow: Follow) -> None:
    path = write(text(1))
    follower = await follow(path)
    problem = await follower.problem_after(lambda: path.write_text("dns.workers = 'x'\n"))
    assert problem.startswith(f"{path}:1: dns.workers: ")
    assert follower.watcher.settings.dns.workers == 1
    assert await follower.workers_after(lambda: path.write_text(text(2))) == 2


async def test_unchanged_content_is_reported_only_on_poke(write: Write, follow: Follow) -> None:
    path = write(text(1))
    follower = await follow(path)
    path.write_text(text(1))
    os.utime(path)
    assert await follower.workers_after(follower.watcher.poke) == 1
    assert await follower.workers_after(lambda: path.write_text(text(2))) == 2
    assert follower.outcomes.empty()


async def test_change_before_the_watch_begins_is_reported(write: Write) -> None:
    path = write(text(1))
    watcher = Watcher(path, {})
    path.write_text(text(2))
    changes = watcher.changes()
    outcome = await anext(changes)
    await changes.aclose()
    assert isinstance(outcome, Settings)
    assert outcome.dns.workers == 2


SOON = 0.35
"""Seconds, less than a doubtful file must be quiet."""


async def test_half_written_file_is_not_used(write: Write, follow: Follow) -> None:
    path = write(text(1))
    follower = await follow(path)
    with path.open("w") as file:
        for part in (text(2), "[log]\n"):
            file.write(part)
            file.flush()
            await asyncio.sleep(SOON)
            assert follower.outcomes.empty()
    assert await follower.workers_after(lambda: None) == 2


async def test_poke_does_not_read_half_a_file(write: Write, follow: Follow) -> None:
    path = write(text(1))
    follower = await follow(path)
    with path.open("w") as file:
        file.write("dns.workers = ")
        file.flush()
        await asyncio.sleep(0.1)
        follower.watcher.poke()
        await asyncio.sleep(SOON)
        assert follower.outcomes.empty()
        file.write("2\n")
    assert await follower.workers_after(lambda: None) == 2


WHOLE = """log.level = "debug"
[dns]
workers = 2
[[zones]]
name = "a"
[[zones]]
name = "b"
[[sources.zonefile]]
name = "f"
zone = "a"
path = "f"
"""
CUTS = {
    "line end": WHOLE.rstrip("\n"),
    "source": WHOLE[: WHOLE.index("[[sources")],
    "zone": WHOLE.replace('[[zones]]\nname = "b"\n', ""),
    "table": WHOLE.replace("[dns]\nworkers = 2\n", ""),
    "everything": "",
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("poked", [False, True])
async def test_file_that_looks_cut_off_is_used_when_quiet(
    write: Write, follow: Follow, cut: str, poked: bool
) -> None:
    path = write(WHOLE)
    follower = await follow(path)
    path.write_text(cut)
    if not poked:
        await asyncio.sleep(SOON)
        assert follower.outcomes.empty()
        path.write_text(WHOLE + "# whole\n")
        await follower.outcomes.get()
        path.write_text(cut)
        await follower.outcomes.get()
    else:
        follower.watcher.poke()
        async with asyncio.timeout(SOON):
            await follower.outcomes.get()


async def test_file_without_a_last_line_end_is_logged(write: Write, follow: Follow) -> None:
    path = write("[dns]\nworkers = 12\n")
    follower = await follow(path)
    with capture_logs() as logs:
        assert await follower.workers_after(lambda: path.write_text("[dns]\nworkers = 1")) == 1
        assert await follower.workers_after(lambda: path.write_text("[dns]\nworkers = 2")) == 2
        assert await follower.workers_after(follower.watcher.poke) == 2
    event = "configuration read although its last line has no end"
    assert logs == [{"event": event, "log_level": "warning", "file": str(path)}]


async def test_file_without_a_last_line_end_is_logged_at_the_start(
    write: Write, follow: Follow
) -> None:
    with capture_logs() as logs:
        follower = await follow(write("[dns]\nworkers = 1"))
        assert await follower.workers_after(follower.watcher.poke) == 1
    event = "configuration read although its last line has no end"
    assert [log["event"] for log in logs] == [event]


async def test_pipe_is_read_once(write: Write, follow: Follow) -> None:
    path = write(text(1)).with_name("pipe")
    os.mkfifo(path)
    writer = asyncio.create_task(asyncio.to_thread(path.write_text, text(1)))
    await asyncio.sleep(0.1)
    follower = await follow(path)
    await writer
    assert await follower.workers_after(follower.watcher.poke) == 1
    assert follower.outcomes.empty()


async def test_start_waits_for_the_writer(write: Write) -> None:
    path = write(text(1))
    with path.open("w") as file:
        starting = asyncio.create_task(Watcher.start(path, {}))
        await asyncio.sleep(SOON)
        assert not starting.done()
        file.write(text(2))
    assert (await starting).settings.dns.workers == 2


def test_invalid_file_at_the_start_is_refused(write: Write) -> None:
    with pytest.raises(SettingsError, match=r"musterd\.toml:1: dns\.workers"):
        Watcher(write("dns.workers = 'x'"), {})


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        ("", "", []),
        ("", "dns.workers = 2", ["dns.workers"]),
        ("dns.workers = 2", "state.dir = ''", ["dns.workers", "state.dir"]),
        ("", "dns.udp_size = 4096\nlog.level = 'debug'\n[[zones]]\nname = 'x'", []),
    ],
)
def test_keys_that_need_a_restart_are_named(
    write: Write, old: str, new: str, keys: list[str]
) -> None:
    before = Watcher(write(old), {}).settings
    after = Watcher(write(new), {}).settings
    assert refused(before, after) == keys


@pytest.mark.parametrize("content", ["", "\n", " \n\t\n"])
async def test_emptied_file_keeps_the_settings(write: Write, follow: Follow, content: str) -> None:
    path = write(WHOLE)
    follower = await follow(path)
    before = follower.watcher.settings
    path.write_text(content)
    for _ in range(2):
        # SIGHUP reports it again.
        follower.watcher.poke()
        error = await follower.outcomes.get()
        assert isinstance(error, SettingsError)
        assert str(error).startswith(f"{path}: is empty, so the settings stay as they were; ")
        assert follower.watcher.settings is before
    path.write_text("# nothing\n")
    follower.watcher.poke()
    assert isinstance(await follower.outcomes.get(), Settings)
    assert follower.watcher.settings.zones == ()


async def test_file_that_was_empty_from_the_start_is_no_error(write: Write, follow: Follow) -> None:
    follower = await follow(write(""))
    follower.watcher.poke()
    assert isinstance(await follower.outcomes.get(), Settings)
