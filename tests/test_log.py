"""The log: format, level, file and hidden secrets."""

import json
import logging
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from musterd import log
from musterd.errors import MusterdError
from musterd.settings import Log


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    for handler in [h for h in root.handlers if h.name == "musterd"]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_text_format(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(Log())
    structlog.get_logger("musterd.zone").info("zone loaded", zone="lab.internal", records=3)
    (line,) = lines(capsys)
    assert "info" in line
    assert "zone loaded" in line
    assert "records=3" in line
    assert "\x1b" not in line


def test_json_format_has_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(Log(format="json"))
    structlog.get_logger().warning("a\nb", path=Path("/x"))
    try:
        int("why")
    except ValueError:
        structlog.get_logger().exception("failed")
    first, second = [json.loads(line) for line in lines(capsys)]
    assert (first["event"], first["level"], first["path"]) == ("a\nb", "warning", "/x")
    assert first["time"].endswith("Z")
    assert "ValueError: invalid literal" in second["exception"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_tracebacks_show_no_variables(capsys: pytest.CaptureFixture[str], form: str) -> None:
    log.setup(Log.model_validate({"format": form}))
    hidden = "".join(["s3", "cret"])
    try:
        int(str(len(hidden)) + "x")
    except ValueError:
        structlog.get_logger().exception("failed")
    text = capsys.readouterr().err
    assert "ValueError: " in text
    assert hidden not in text


def test_values_of_secret_keys_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(Log())
    structlog.get_logger().info("set", cookie_secrets=["s3cret"], api_token="s3cret")  # noqa: S106
    logging.getLogger("lib").warning("lib", extra={"password": "s3cret"})
    text = capsys.readouterr().err
    assert text.count("[hidden]") == 3
    assert "s3cret" not in text


def test_level_applies_to_libraries_and_can_change(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = structlog.get_logger(), logging.getLogger("some.library")
    log.setup(Log(level="warning"))
    ours.info("no 1")
    theirs.info("no 2")
    ours.error("yes 1")
    log.setup(Log(level="debug"))
    ours.debug("yes 2")
    theirs.debug("yes 3")
    logging.getLogger("uvicorn.error").info("no 3")
    logging.getLogger("uvicorn.error").warning("yes 4")
    assert ["yes" in line for line in lines(capsys)] == [True] * 4


def test_file_is_appended_to_and_reopened(tmp_path: Path) -> None:
    path = tmp_path / "musterd.log"
    path.write_text("before\n")
    log.setup(Log.model_validate({"file": str(path)}))
    structlog.get_logger().info("one")
    path.rename(tmp_path / "rotated.log")
    log.setup(Log.model_validate({"file": str(path)}))
    structlog.get_logger().info("two")
    assert path.read_text().count("\n") == 1
    assert (tmp_path / "rotated.log").read_text().count("\n") == 2


@pytest.mark.parametrize("form", ["text", "json"])
def test_events_go_to_standard_error_once_the_file_is_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    path = tmp_path / "musterd.log"
    settings = Log.model_validate({"file": str(path), "format": form})
    log.setup(settings)
    structlog.get_logger().info("first")
    path.unlink()
    structlog.get_logger().info("second")
    structlog.get_logger().info("third")
    notice, second, third = lines(capsys)
    assert "log file was deleted, using standard error" in notice
    assert "second" in second
    assert "third" in third
    log.setup(settings)
    structlog.get_logger().info("fourth")
    assert lines(capsys) == []
    assert "fourth" in path.read_text()


def test_failure_to_open_the_file_keeps_the_previous_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.setup(Log())
    with pytest.raises(MusterdError, match=r"can't be opened: .*; set \[log\] file"):
        log.setup(Log.model_validate({"file": str(tmp_path / "none" / "x.log")}))
    structlog.get_logger().info("still here")
    assert "still here" in lines(capsys)[0]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the kernel refuse to write beyond a size, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room", [0, 10])
@pytest.mark.parametrize("form", ["text", "json"])
def test_events_lost_on_a_full_disk_are_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], room: int, form: str
) -> None:
    path = tmp_path / "musterd.log"
    log.setup(Log.model_validate({"file": str(path), "format": form}))
    logger = structlog.get_logger()
    logger.info("before")
    with largest_file(path.stat().st_size + room):
        logger.info("lost")
        log.lines([("lost", {}), ("lost", {})])
    logger.info("after")
    logger.info("later")
    before, *torn, notice, after, later = path.read_text().splitlines()
    assert [len(line) for line in torn] == ([room] if room else [])
    assert "before" in before
    assert "log events lost" in notice
    assert "warning" in notice
    assert ('"events": 3' if form == "json" else "events=3") in notice
    assert ("after" in after, "later" in later) == (True, True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("file", ["/dev/full", None])
def test_log_that_can_not_be_written_harms_nothing(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: str | None
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        log.setup(Log.model_validate({"file": file or ""}))
        structlog.get_logger().info("lost")
        log.lines([("lost", {})])
    assert capfd.readouterr() == ("", "")
