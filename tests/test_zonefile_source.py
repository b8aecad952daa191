"""Zone files that change while a server runs."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.types import EventDict

from musterd._core import read_zone
from musterd.catalog import Catalog
from musterd.file_watch import FileTiming, FileWatch
from musterd.rr.names import name_from_text
from musterd.sources import zonefile
from musterd.sources.changes import Begin, Change, Fault, Lost, PutMany, Synced
from musterd.sources.zonefile import ZoneFileSource
from tests.catalogkit import lines_of, new_catalog

ZONE = "lab.internal"
TIMING = FileTiming(quiet=0.5, poll=3600.0)
"""Changes are found by events only."""


class SourceReader:
    """Follows a source, list by list."""

    def __init__(self, source: ZoneFileSource) -> None:
        self.source = source
        self.changes: asyncio.Queue[Change] = asyncio.Queue()

    async def run(self) -> None:
        async with aclosing(self.source.changes()) as changes:
            async for change in changes:
                self.changes.put_nowait(change)

    async def next(self) -> list[str]:
        """Return the next list as lines, then faults, then a loss."""
        found: list[str] = []
        faults: list[str] = []
        while True:
            match await self.changes.get():
                case Begin():
                    found, faults = [], []
                case PutMany(_, _, rows):
                    found += [line for row in rows for line in lines_of(*row)]
                case Fault(where, reason):
                    faults.append(f"{Path(where).name}: {reason}")
                case Synced():
                    return [*sorted(found), *sorted(faults)]
                case Lost(reason):
                    return [*sorted(faults), f"lost: {reason}"]


Follow = Callable[[Path], Awaitable[SourceReader]]


@pytest.fixture
async def follow() -> AsyncIterator[Follow]:
    files = FileWatch(TIMING)
    tasks = [asyncio.create_task(files.run())]

    async def start(path: Path) -> SourceReader:
        reader = SourceReader(
            ZoneFileSource("one", str(path), name_from_text(ZONE), 77, read_zone, files)
        )
        tasks.append(asyncio.create_task(reader.run()))
        return reader

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def line(text: str) -> str:
    owner, rest = text.split(" ", 1)
    return f"{owner}.{ZONE}. {rest}"


async def test_records_of_a_file(tmp_path: Path, follow: Follow) -> None:
    path = tmp_path / "a.zone"
    path.write_text("a A 10.0.0.1\nb 5 TXT x\nB 5 TXT y\n")
    reader = await follow(path)
    assert await reader.next() == [
        line("a 77 A 10.0.0.1"),
        line('b 5 TXT "x"'),
        line('b 5 TXT "y"'),
    ]


@pytest.mark.parametrize(
    ("text", "revision"), [("@ SOA ns x 42 1 2 3 4\na A 10.0.0.1\n", 42), ("a A 10.0.0.1\n", 5)]
)
async def test_revision_is_the_serial_or_the_time(
    tmp_path: Path, follow: Follow, text: str, revision: int
) -> None:
    path = tmp_path / "a.zone"
    path.write_text(text)
    os.utime(path, (5, 5.5))
    reader = await follow(path)
    changes = [await reader.changes.get() for _ in range(3)]
    assert isinstance(changes[0], Begin)
    assert isinstance(changes[1], PutMany)
    assert (changes[1].revision, changes[1].time) == (revision, 5.5)
    assert changes[2] == Synced(revision)


async def test_large_file_is_reported_in_parts(tmp_path: Path, follow: Follow) -> None:
    path = tmp_path / "a.zone"
    count = 2 * zonefile.CHUNK + 1
    path.write_text("".join(f"n{n} A 10.0.0.1\n" for n in range(count)))
    reader = await follow(path)
    changes = [await reader.changes.get() for _ in range(5)]
    sizes = [len(change.rows) for change in changes if isinstance(change, PutMany)]
    assert (max(sizes), sum(sizes)) == (zonefile.CHUNK, count)


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def by_rename(path: Path, text: str) -> None:
    beside = path.with_name("beside")
    beside.write_text(text)
    beside.rename(path)


def by_link(path: Path, text: str) -> None:
    path.with_name("other").write_text(text)
    path.with_name("link").symlink_to("other")
    path.with_name("link").rename(path)


@pytest.mark.parametrize("change", [in_place, by_rename, by_link])
async def test_changed_file_is_reread(
    tmp_path: Path, follow: Follow, change: Callable[[Path, str], None]
) -> None:
    path = tmp_path / "a.zone"
    path.write_text("a A 10.0.0.1\n")
    reader = await follow(path)
    assert await reader.next() == [line("a 77 A 10.0.0.1")]
    change(path, "a A 10.0.0.2\n")
    assert await reader.next() == [line("a 77 A 10.0.0.2")]
    in_place(path, "a A 10.0.0.3\n")
    assert await reader.next() == [line("a 77 A 10.0.0.3")]


async def test_updated_configmap_is_reread(tmp_path: Path, follow: Follow) -> None:
    for number in (1, 2):
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        (folder / "a.zone").write_text(f"a A 10.0.0.{number}\n$INCLUDE b.zone\n")
        (folder / "b.zone").write_text(f"b A 10.0.0.{number}\n")
    (tmp_path / "..data").symlink_to("..1")
    for name in ("a.zone", "b.zone"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    reader = await follow(tmp_path / "a.zone")
    assert await reader.next() == [line("a 77 A 10.0.0.1"), line("b 77 A 10.0.0.1")]
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    while (found := await reader.next()) == [line("a 77 A 10.0.0.1"), line("b 77 A 10.0.0.1")]:
        pass
    assert found == [line("a 77 A 10.0.0.2"), line("b 77 A 10.0.0.2")]


async def test_changed_include_is_reread(tmp_path: Path, follow: Follow) -> None:
    path = tmp_path / "a.zone"
    included = tmp_path / "sub" / "b.zone"
    included.parent.mkdir()
    path.write_text("a A 10.0.0.1\n$INCLUDE sub/b.zone\n")
    included.write_text("b A 10.0.0.1\n")
    reader = await follow(path)
    first = await reader.next()
    assert first == [line("a 77 A 10.0.0.1"), line("b 77 A 10.0.0.1")]
    included.write_text("b A 10.0.0.2\n")
    assert await reader.next() == [line("a 77 A 10.0.0.1"), line("b 77 A 10.0.0.2")]


async def test_missing_file_is_read_when_created(tmp_path: Path, follow: Follow) -> None:
    path = tmp_path / "new" / "a.zone"
    reader = await follow(path)
    (loss,) = await reader.next()
    assert loss.startswith(f"lost: {path}: can't be read: No such file or directory")
    path.parent.mkdir()
    by_rename(path, "a A 10.0.0.1\n")
    assert await reader.next() == [line("a 77 A 10.0.0.1")]


async def test_deleted_file_is_reread_when_it_is_back(tmp_path: Path, follow: Follow) -> None:
    path = tmp_path / "a.zone"
    path.write_text("a A 10.0.0.1\n")
    reader = await follow(path)
    await reader.next()
    path.unlink()
    assert (await reader.next())[0].startswith("lost: ")
    path.write_text("a A 10.0.0.2\n")
    assert await reader.next() == [line("a 77 A 10.0.0.2")]


async def test_invalid_record_does_not_affect_others(tmp_path: Path, follow: Follow) -> None:
    path = tmp_path / "a.zone"
    path.write_text("a A 10.0.0.1\nb A 10.0.0\n")
    reader = await follow(path)
    good, fault = await reader.next()
    assert good == line("a 77 A 10.0.0.1")
    assert fault.startswith("a.zone:2: ")


async def test_file_with_only_invalid_records_keeps_the_previous(
    tmp_path: Path, follow: Follow
) -> None:
    path = tmp_path / "a.zone"
    path.write_text("a A 10.0.0.1\n")
    reader = await follow(path)
    await reader.next()
    path.write_text("<html>\n")
    fault, loss = await reader.next()
    assert fault.startswith("a.zone:1: ")
    assert loss.startswith(f"lost: {path}: nothing in it can be served: {path}:1: ")
    path.write_text("")
    assert await reader.next() == [], "an empty file may be meant so"


FOREIGN = [
    ("a LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m", "a 77 LOC "),
    ("a HIP ( 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cI b )",
     "a 77 HIP 2 200100107b1a74df365639cc39f1d578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cI "
     "b.lab.internal."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "answered"), FOREIGN)
async def test_types_parsed_by_dnspython(
    tmp_path: Path, follow: Follow, text: str, answered: str
) -> None:
    path = tmp_path / "a.zone"
    path.write_text(f"{text}\n{text}\n")
    reader = await follow(path)
    (found,) = await reader.next()
    assert found.startswith(line(answered))


async def test_problems_of_these_types_name_their_line(tmp_path: Path, follow: Follow) -> None:
    path = tmp_path / "a.zone"
    path.write_text("a A 10.0.0.1\nb LOC 99\n$INCLUDE b.zone\n")
    path.with_name("b.zone").write_text("\nc LOC x\n")
    reader = await follow(path)
    found = await reader.next()
    assert found[0] == line("a 77 A 10.0.0.1")
    assert [text.partition(": LOC:")[0] for text in found[1:]] == ["a.zone:2", "b.zone:2"]


async def test_records_reach_the_catalog(tmp_path: Path, follow: Follow) -> None:
    path = tmp_path / "a.zone"
    path.write_text("a A 10.0.0.1\nb A 10.0.0.1\nx A bad\n")
    reader = await follow(path)
    catalog, core, _ = await new_catalog()
    await feed(reader, catalog)
    path.write_text("a A 10.0.0.2\n")
    await feed(reader, catalog)
    assert core.text(ZONE) == [line("a 77 A 10.0.0.2")]
    assert catalog.source_reports()[0].problems_total == 1


@pytest.mark.parametrize(("kept", "logged"), [(1, True), (2, False), (3, False)])
async def test_loss_of_most_records_is_logged(
    tmp_path: Path, follow: Follow, kept: int, logged: bool
) -> None:
    path = tmp_path / "a.zone"
    lines = [f"n{number} A 10.0.0.1\n" for number in range(4)]
    path.write_text("".join(lines))
    reader = await follow(path)
    catalog, _, _ = await new_catalog()
    await feed(reader, catalog)
    path.write_text("".join(lines[:kept]) + "new A 10.0.0.1\n")
    with capture_logs() as logs:
        await feed(reader, catalog)
    event = "reload removes most RRsets of a source"
    fields = {"source": "one", "removed": 4 - kept, "before": 4}
    assert logs == ([{"event": event, "log_level": "warning", **fields}] if logged else [])


async def feed(reader: SourceReader, catalog: Catalog) -> None:
    while True:
        change = await reader.changes.get()
        await catalog.feed("one", change)
        if isinstance(change, Synced):
            return


SOON = 0.35
"""Seconds, less than a doubtful file must be quiet."""


async def test_half_written_line_is_not_read(tmp_path: Path, follow: Follow) -> None:
    path = tmp_path / "a.zone"
    path.write_text("a A 10.0.0.1\n")
    reader = await follow(path)
    await reader.next()
    with path.open("w") as file:
        for part in ("web A 10.0.0.1", "23\n"):
            await asyncio.sleep(SOON)
            assert reader.changes.empty()
            file.write(part)
            file.flush()
    assert await reader.next() == [line("web 77 A 10.0.0.123")]


LOSSES = {
    "SOA": "a A 10.0.0.1\n",
    "all records": "; nothing yet\n",
    "last line end": "@ SOA ns x 2 2 3 4 5\na A 10.0.0.1\nb A 10.0.0.2",
}


@pytest.mark.parametrize("text", LOSSES.values(), ids=LOSSES)
async def test_file_that_looks_cut_off_is_read_when_quiet(
    tmp_path: Path, follow: Follow, text: str
) -> None:
    path = tmp_path / "a.zone"
    whole = "@ SOA ns x 1 2 3 4 5\na A 10.0.0.1\nb A 10.0.0.2\n"
    path.write_text(whole)
    reader = await follow(path)
    first = await reader.next()
    path.write_text(text)
    await asyncio.sleep(SOON)
    assert reader.changes.empty()
    path.write_text(whole + "c A 10.0.0.3\n")
    assert await reader.next() == sorted([*first, line("c 5 A 10.0.0.3")])
    path.write_text(text)
    assert await reader.next() != first, "it may be meant so"


async def test_included_file_that_looks_cut_off_is_read_when_quiet(
    tmp_path: Path, follow: Follow
) -> None:
    path, included = tmp_path / "a.zone", tmp_path / "i"
    path.write_text("$INCLUDE i\n")
    included.write_text("i A 10.0.0.1\n")
    reader = await follow(path)
    first = await reader.next()
    included.write_text("i A 10.0.0.1")
    await asyncio.sleep(SOON)
    assert reader.changes.empty()
    included.write_text("i A 10.0.0.123\n")
    assert await reader.next() == [line("i 77 A 10.0.0.123")] != first


def cut_files(logs: list[EventDict]) -> list[str]:
    event = "zone file read although its last line has no end"
    return [Path(log["file"]).name for log in logs if log["event"] == event]


@pytest.mark.parametrize("end", ["", "\n", "\r", "\r\n", "\n; end"])
async def test_file_without_a_last_line_end_is_logged_at_the_start(
    tmp_path: Path, follow: Follow, end: str
) -> None:
    path = tmp_path / "a.zone"
    path.write_bytes(f"a A 10.0.0.1{end}".encode())
    with capture_logs() as logs:
        reader = await follow(path)
        assert await reader.next() == [line("a 77 A 10.0.0.1")]
    assert cut_files(logs) == ([] if end.endswith(("\r", "\n")) else ["a.zone"])


async def test_file_that_loses_its_last_line_end_is_logged(tmp_path: Path, follow: Follow) -> None:
    path, included = tmp_path / "a.zone", tmp_path / "i"
    path.write_text("$INCLUDE i\na A 10.0.0.123\n")
    included.write_text("i A 10.0.0.123\n")
    with capture_logs() as logs:
        reader = await follow(path)
        await reader.next()
        assert cut_files(logs) == []
        path.write_text("$INCLUDE i\na A 10.0.0.1")
        assert line("a 77 A 10.0.0.1") in await reader.next()
        assert cut_files(logs) == ["a.zone"]
        included.write_text("i A 10.0.0.1")
        assert line("i 77 A 10.0.0.1") in await reader.next()
        assert cut_files(logs) == ["a.zone", "i"]
        included.write_text("i A 10.0.0.2")
        assert line("i 77 A 10.0.0.2") in await reader.next()
        assert cut_files(logs) == ["a.zone", "i"], "it has none, as before"
        included.write_text("i A 10.0.0.2\n")
        await reader.next()
        included.write_text("i A 10.0.0.")
        while line("i 77 A 10.0.0.2") in await reader.next():
            pass
        assert cut_files(logs) == ["a.zone", "i", "i"], "it had one again"


async def test_last_line_end_is_missed_beside_a_missing_include(
    tmp_path: Path, follow: Follow
) -> None:
    path = tmp_path / "a.zone"
    path.write_text("$INCLUDE i\na A 10.0.0.1")
    with capture_logs() as logs:
        reader = await follow(path)
        while not isinstance(await reader.changes.get(), Lost):
            pass
    assert cut_files(logs) == ["a.zone"]


def remove(path: Path) -> None:
    path.unlink()


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def break_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("lose", [remove, make_directory, break_link, make_pipe])
async def test_unreadable_include_keeps_the_previous_records(
    tmp_path: Path, follow: Follow, lose: Callable[[Path], None]
) -> None:
    path, included = tmp_path / "a.zone", tmp_path / "i"
    path.write_text("a A 10.0.0.1\n$INCLUDE i\n")
    included.write_text("i A 10.0.0.1\n")
    reader = await follow(path)
    await reader.next()
    lose(included)
    fault, loss = await reader.next()
    assert fault.startswith(f"a.zone:2: $INCLUDE {included}: ")
    assert loss == f"lost: {path}: included file {included} can't be read"
    # A change of the first file is not read either: it would lose the names of the other.
    path.write_text("a A 10.0.0.2\n$INCLUDE i\n")
    await asyncio.sleep(SOON)
    assert reader.changes.empty()
    beside = tmp_path / "beside"
    beside.write_text("i A 10.0.0.2\n")
    if included.is_dir():
        included.rmdir()
    beside.rename(included)
    assert await reader.next() == [line("a 77 A 10.0.0.2"), line("i 77 A 10.0.0.2")]


async def test_nested_include_comes_back_with_its_directory(tmp_path: Path, follow: Follow) -> None:
    path, folder = tmp_path / "a.zone", tmp_path / "d"
    folder.mkdir()
    path.write_text("$INCLUDE d/one\n")
    (folder / "one").write_text("one A 10.0.0.1\n$INCLUDE two\n")
    (folder / "two").write_text("two A 10.0.0.1\n")
    reader = await follow(path)
    first = await reader.next()
    folder.rename(tmp_path / "old")
    assert (await reader.next())[-1].startswith("lost: ")
    (tmp_path / "old").rename(folder)
    assert await reader.next() == first
    (folder / "two").write_text("two A 10.0.0.2\n")
    assert await reader.next() == [line("one 77 A 10.0.0.1"), line("two 77 A 10.0.0.2")]


async def test_records_beside_a_missing_include_are_known_but_not_all(
    tmp_path: Path, follow: Follow
) -> None:
    path = tmp_path / "a.zone"
    path.write_text("a A 10.0.0.1\n$INCLUDE i\n")
    reader = await follow(path)
    changes = [await reader.changes.get() for _ in range(4)]
    assert [type(change) for change in changes] == [Begin, Fault, PutMany, Lost]
    path.write_text("a A 10.0.0.2\n$INCLUDE i\n")
    changes = [await reader.changes.get() for _ in range(4)]
    assert [type(change) for change in changes] == [Begin, Fault, PutMany, Lost]
    (tmp_path / "i").write_text("i A 10.0.0.1\n")
    assert await reader.next() == [line("a 77 A 10.0.0.2"), line("i 77 A 10.0.0.1")]


async def test_moved_directory_is_followed(tmp_path: Path, follow: Follow) -> None:
    for name in ("d", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.zone").write_text(f"{name} A 10.0.0.1\n")
    reader = await follow(tmp_path / "d" / "a.zone")
    assert await reader.next() == [line("d 77 A 10.0.0.1")]
    (tmp_path / "d").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "d")
    while (found := await reader.next())[0].startswith("lost: "):
        pass
    assert found == [line("new 77 A 10.0.0.1")]
    (tmp_path / "d" / "a.zone").write_text("newer A 10.0.0.1\n")
    assert await reader.next() == [line("newer 77 A 10.0.0.1")]


async def test_pipe_is_not_a_zone_file(tmp_path: Path, follow: Follow) -> None:
    path = tmp_path / "a.zone"
    os.mkfifo(path)
    reader = await follow(path)
    assert await reader.next() == [f"lost: {path}: can't be read: not a regular file"]
