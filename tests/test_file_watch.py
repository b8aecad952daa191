"""Files that are replaced, moved and half written while they are watched."""
# ruff: noqa: ASYNC240 - short calls on local files

import asyncio
import os
import resource
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from musterd.file_state import is_written, trail
from musterd.file_watch import FileTiming, FileWatch, WatchedFiles

TIMING = FileTiming(quiet=0.6, poll=3600.0)
"""Changes are found by events only."""
POLLED = FileTiming(quiet=0.3, poll=0.02)
SOON = 0.45
"""Seconds, less than a file must be quiet."""


class Reader:
    """Collects the contents of files that are watched."""

    def __init__(self, hub: FileWatch, *files: Path) -> None:
        self.files = files
        self.watch: WatchedFiles = hub.watch()
        self.contents: asyncio.Queue[str] = asyncio.Queue()
        self.doubt = "doubtful"
        """Content that looks cut off."""

    async def run(self) -> None:
        await self.watch.follow(map(str, self.files))
        while True:
            self.contents.put_nowait(await self.watch.read(self._read, self._is_doubtful))
            await self.watch.changed()

    def _read(self) -> str:
        return "".join(
            path.read_text() if os.path.isfile(path) else f"no {path.name}" for path in self.files
        )

    def _is_doubtful(self, content: str) -> bool:
        return content == self.doubt

    async def soon(self) -> str:
        """Return the next content, without the wait for a quiet file."""
        async with asyncio.timeout(SOON):
            return await self.contents.get()

    async def late(self) -> str:
        """Return the next content, which needs that wait."""
        started = time.monotonic()
        content = await self.contents.get()
        assert time.monotonic() - started > SOON
        return content


Follow = Callable[..., Awaitable[Reader]]


@pytest.fixture
async def tasks() -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
def hub() -> FileWatch:
    return FileWatch(TIMING)


@pytest.fixture
async def follow(hub: FileWatch, tasks: list[asyncio.Task[None]]) -> Follow:
    tasks.append(asyncio.create_task(hub.run()))

    async def start(*files: Path) -> Reader:
        reader = Reader(hub, *files)
        tasks.append(asyncio.create_task(reader.run()))
        return reader

    return start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "dir" / "file"
    path.parent.mkdir()
    path.write_text("old")
    return path


async def test_file_is_read_when_its_writer_closes_it(path: Path, follow: Follow) -> None:
    reader = await follow(path)
    assert await reader.soon() == "old"
    with path.open("w") as file:
        file.write("ne")
        file.flush()
        await asyncio.sleep(SOON)
        assert reader.contents.empty()
        file.write("w")
    assert await reader.soon() == "new"


async def test_truncated_file_is_read_when_its_writer_closes_it(path: Path, follow: Follow) -> None:
    reader = await follow(path)
    await reader.soon()
    with path.open("w") as file:
        await asyncio.sleep(SOON)
        assert reader.contents.empty()
        file.write("new")
    assert await reader.soon() == "new"


async def test_file_whose_writer_never_closes_it_is_read_when_quiet(
    path: Path, follow: Follow
) -> None:
    reader = await follow(path)
    await reader.soon()
    with path.open("a") as file:
        for _ in range(3):
            file.write("+")
            file.flush()
            await asyncio.sleep(0.3)
        assert reader.contents.empty()
        assert await reader.contents.get() == "old+++"
        file.write("!")
    assert await reader.soon() == "old+++!"


async def test_second_writer_is_waited_for(path: Path, follow: Follow) -> None:
    reader = await follow(path)
    await reader.soon()
    with path.open("a") as second:
        second.write("+")
        second.flush()
        with path.open("a") as first:
            first.write("+")
        await asyncio.sleep(SOON)
        assert reader.contents.empty()
        second.write("+")
    assert await reader.soon() == "old+++"


async def test_file_that_is_open_at_the_start_is_waited_for(path: Path, follow: Follow) -> None:
    with path.open("w") as file:
        reader = await follow(path)
        await asyncio.sleep(SOON)
        assert reader.contents.empty()
        file.write("new")
    assert await reader.soon() == "new"


async def test_new_file_is_read_when_closed(path: Path, follow: Follow) -> None:
    path.unlink()
    reader = await follow(path)
    assert await reader.soon() == "no file"
    with path.open("x") as file:
        await asyncio.sleep(SOON)
        assert reader.contents.empty()
        file.write("new")
    assert await reader.soon() == "new"


async def test_renamed_file_that_is_still_written_is_waited_for(path: Path, follow: Follow) -> None:
    reader = await follow(path)
    await reader.soon()
    with path.with_name("beside").open("w") as file:
        file.write("ne")
        file.flush()
        path.with_name("beside").rename(path)
        await asyncio.sleep(SOON)
        assert reader.contents.empty()
        file.write("w")
    assert await reader.soon() == "new"


def rename(path: Path) -> None:
    path.with_name("beside").write_text("new")
    path.with_name("beside").rename(path)


def hard_link(path: Path) -> None:
    path.unlink()
    path.with_name("beside").write_text("new")
    os.link(path.with_name("beside"), path)


def symbolic_link(path: Path) -> None:
    path.with_name("beside").write_text("new")
    path.with_name("link").symlink_to("beside")
    path.with_name("link").rename(path)


def exchange_directory(path: Path) -> None:
    folder = path.parent.parent
    (folder / "new").mkdir()
    (folder / "new" / path.name).write_text("new")
    path.parent.rename(folder / "old")
    (folder / "new").rename(path.parent)


def recreate_directory(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    path.write_text("new")


@pytest.mark.parametrize(
    "change", [rename, hard_link, symbolic_link, exchange_directory, recreate_directory]
)
async def test_replaced_file_is_read(
    path: Path, follow: Follow, change: Callable[[Path], None]
) -> None:
    reader = await follow(path)
    await reader.soon()
    change(path)
    while (content := await reader.soon()) == "no file":
        pass
    assert content == "new"
    path.write_text("newer")
    assert await reader.soon() == "newer"


async def test_directory_far_above_is_replaced(tmp_path: Path, follow: Follow) -> None:
    path = tmp_path / "a" / "b" / "c" / "file"
    for top in ("a", "new"):
        (tmp_path / top / "b" / "c").mkdir(parents=True)
        (tmp_path / top / "b" / "c" / "file").write_text(top)
    reader = await follow(path)
    assert await reader.soon() == "a"
    (tmp_path / "a").rename(tmp_path / "old")
    await asyncio.sleep(0.2)
    (tmp_path / "new").rename(tmp_path / "a")
    assert await reader.soon() == "no file"
    assert await reader.soon() == "new"
    path.write_text("newer")
    assert await reader.soon() == "newer"
    (tmp_path / "old" / "b" / "c" / "file").write_text("elsewhere")
    await asyncio.sleep(0.2)
    assert reader.contents.empty()


async def test_doubtful_content_counts_when_quiet(path: Path, follow: Follow) -> None:
    reader = await follow(path)
    await reader.soon()
    path.write_text("doubtful")
    await asyncio.sleep(0.2)
    path.write_text("good")
    assert await reader.soon() == "good"
    path.write_text("doubtful")
    assert await reader.late() == "doubtful"


async def test_doubtful_content_of_a_closed_file_counts_at_the_start(
    path: Path, follow: Follow
) -> None:
    path.write_text("doubtful")
    reader = await follow(path)
    assert await reader.soon() == "doubtful"


async def test_hurry_ends_the_wait_for_a_quiet_file(
    path: Path, hub: FileWatch, follow: Follow
) -> None:
    reader = await follow(path)
    await reader.soon()
    path.write_text("doubtful")
    await asyncio.sleep(0.2)
    hub.hurry()
    assert await reader.soon() == "doubtful"
    path.write_text("good")
    await reader.soon()
    path.write_text("doubtful")
    assert await reader.late() == "doubtful", "it counts once"


async def test_hurry_does_not_read_an_open_file(path: Path, hub: FileWatch, follow: Follow) -> None:
    reader = await follow(path)
    await reader.soon()
    with path.open("w") as file:
        file.write("ne")
        file.flush()
        await asyncio.sleep(0.1)
        hub.hurry()
        await asyncio.sleep(0.3)
        assert reader.contents.empty()
        file.write("w")
    assert await reader.soon() == "new"


async def test_change_of_one_of_many_files(tmp_path: Path, follow: Follow) -> None:
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text(path.name)
    both, single = await follow(*paths), await follow(paths[0])
    assert (await both.soon(), await single.soon()) == ("ab", "a")
    paths[1].write_text("c")
    assert await both.soon() == "ac"
    both.watch.close()
    paths[0].write_text("d")
    assert await single.soon() == "d"
    assert both.contents.empty()


async def test_file_that_keeps_being_replaced_is_read(
    path: Path, tasks: list[asyncio.Task[None]]
) -> None:
    hub = FileWatch(FileTiming(quiet=0.5, poll=3600, report=0.2))
    reader = Reader(hub, path)
    tasks += [asyncio.create_task(hub.run()), asyncio.create_task(reader.run())]
    await reader.soon()
    for _ in range(60):
        rename(path)
        await asyncio.sleep(0.01)
        if not reader.contents.empty():
            break
    assert await reader.soon() == "new"


@contextmanager
def no_files() -> Iterator[None]:
    """Let the kernel refuse to open more files."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
async def polling(tasks: list[asyncio.Task[None]]) -> FileWatch:
    with no_files():
        hub = FileWatch(POLLED)
    assert hub.problem == "Too many open files"
    tasks.append(asyncio.create_task(hub.run()))
    return hub


async def test_without_inotify_a_quiet_change_is_found(
    path: Path, polling: FileWatch, tasks: list[asyncio.Task[None]]
) -> None:
    reader = Reader(polling, path)
    tasks.append(asyncio.create_task(reader.run()))
    assert await reader.soon() == "old"
    for text in ("n", "ne", "new"):
        path.write_text(text)
        await asyncio.sleep(0.15)
    assert reader.contents.empty()
    assert await reader.soon() == "new"


async def test_without_inotify_hurry_reads_at_once(
    path: Path, polling: FileWatch, tasks: list[asyncio.Task[None]]
) -> None:
    reader = Reader(polling, path)
    tasks.append(asyncio.create_task(reader.run()))
    await reader.soon()
    path.write_text("new")
    await asyncio.sleep(0.1)
    polling.hurry()
    async with asyncio.timeout(0.1):
        assert await reader.contents.get() == "new"


async def test_names_that_no_file_can_have_are_missing(tmp_path: Path, follow: Follow) -> None:
    reader = await follow(tmp_path / ("x" * 300), Path("a\0b"))
    assert await reader.soon() == f"no {'x' * 300}no a\0b"


def test_kernel_reports_writers(path: Path) -> None:
    assert is_written(str(path)) is False
    with path.open("r+"), path.open():
        assert is_written(str(path)) is True
    assert is_written(str(path)) is False
    assert is_written(str(path.parent)) is None
    os.mkfifo(path.with_name("pipe"))
    assert is_written(str(path.with_name("pipe"))) is None
    assert is_written(str(path.with_name("none"))) is None


def test_trail_has_every_link_and_directory_of_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / "a").write_text("")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "b").symlink_to("link/../real/a")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "abs").symlink_to(folder / "a")
    base = str(tmp_path)

    def names(path: str) -> set[str]:
        return {name.removeprefix(f"{base}/") for name in trail(f"{base}/{path}").names}

    assert names("real/a") == {"real/a"}
    assert names("link/a") == {"link", "real/a"}
    assert names("b") == {"b", "link", "real/a"}
    assert names("abs") == {"abs", "real/a"}
    assert names("none/x") == {"none"}
    assert names("real/a/x") == {"real/a"}
    assert names("loop") == {"loop"}
    above = {str(path) for path in tmp_path.parents}
    assert trail(f"{base}/link/a").folders == {*above, base, f"{base}/real"}
    assert trail(f"{base}/none/x").folders == {*above, base}
