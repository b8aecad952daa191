"""``--json`` on every command: one JSON document, or one object a line for a list."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from cyclopts import App

from musterd.cli import app
from tests.apikit import RunningApi, http, responding
from tests.test_cli_store import fill

pytest_plugins = ["tests.apifixture"]

DOCUMENTS: Final = {
    ("completion",),
    ("config", "example"),
    ("man",),
    ("serve",),
    ("zone", "export"),
}
"""Commands without ``--json``: they print a document in a format of its own, or the log."""
LISTS: Final = {
    ("record", "history"),
    ("record", "list"),
    ("record", "set"),
    ("record", "show"),
    ("import", "hades-etcd"),
    ("token", "list"),
    ("zone", "list"),
}
"""Commands that print an object a line."""
NAME: Final = "web.lab.internal"
LINES: Final = {
    # Each with a line that succeeds and a line that fails.
    ("config", "check"): ("{settings}", "{missing}"),
    ("config", "init"): ("{new}", "{settings}"),
    ("explain",): (NAME, "web.other.test"),
    ("import", "hades-etcd"): ("{etcd}", "http://127.0.0.1:1"),
    ("lease", "renew"): ("{lease}", "0123456789abcdef"),
    ("lease", "revoke"): ("{lease}", "0123456789abcdef"),
    ("record", "delete"): (f"{NAME} A", f"{NAME} TXT"),
    ("record", "history"): (NAME, "none.lab.internal"),
    ("record", "list"): ("lab.internal", "other.test"),
    ("record", "set"): (f"{NAME} A 10.0.0.1 10.0.0.2", f"{NAME} A 10.0.0.999"),
    ("record", "show"): (NAME, "none.lab.internal"),
    ("status",): ("", "--server http://127.0.0.1:1"),
    ("store", "copy"): ("{store} {new}.db", "{missing} {new}.db"),
    ("token", "create"): ("ci --scope read", "first --scope read"),
    ("token", "list"): ("", "--server http://127.0.0.1:1"),
    ("token", "revoke"): ("ready", "00000000"),
    ("zone", "check"): ("{zone} --zone lab.internal", "{missing} --zone lab.internal"),
    ("zone", "import"): ("lab.internal {zone}", "lab.internal {bad}"),
    ("zone", "list"): ("", "--server http://127.0.0.1:1"),
}  # fmt: skip


def commands(at: App = app, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Return all commands that have no commands below them."""
    below = [name for name in at if not name.startswith("-")]
    for name in below:
        yield from commands(at[name], (*path, name))
    if not below:
        yield path, at


def test_every_command_prints_json_or_a_document() -> None:
    with_json = {
        path
        for path, command in commands()
        if any("--json" in found.names for found in command.assemble_argument_collection())
    }
    assert with_json == {path for path, _ in commands()} - DOCUMENTS
    assert with_json == set(LINES)
    assert with_json > LISTS


@pytest.fixture
def words(api: RunningApi, tmp_path: Path) -> dict[str, str]:
    """Return the values of the words in braces."""
    paths = {
        name: tmp_path / name for name in ("settings", "missing", "new", "store.db", "zone", "bad")
    }
    paths["settings"].write_text("[[zones]]\nname = 'lab.internal'\n")
    paths["zone"].write_text("a 60 A 10.0.0.2\n")
    paths["bad"].write_text("a 60 A 10.0.0.999\n")
    asyncio.run(fill(paths["store.db"]))
    (record,) = api.objects("record", "set", NAME, "A", "10.0.0.1", "--lease", "60s")
    api("token", "create", "ready", "--scope", "read")
    words = {name.removesuffix(".db"): str(path) for name, path in paths.items()}
    return {**words, "lease": str(record["lease"])}


@pytest.fixture
def etcd_v2() -> Iterator[str]:
    """Serve one key by etcd's API v2, and give the URL."""
    node = {"key": "/hades/internal/lab/web", "value": '{"host":"10.0.0.1","type":"A"}'}
    with responding(http("200 OK", json.dumps({"node": {"dir": True, "nodes": [node]}}))) as url:
        yield url


@pytest.mark.parametrize("path", LINES, ids=" ".join)
def test_success_is_json(
    path: tuple[str, ...], api: RunningApi, words: dict[str, str], request: pytest.FixtureRequest
) -> None:
    if path[0] == "import":
        words["etcd"] = request.getfixturevalue("etcd_v2")
    out, error = api.both(*path, *LINES[path][0].format(**words).split(), "--json")
    if path in LISTS:
        objects = [json.loads(text) for text in out.splitlines()]
        assert objects
    else:
        objects = [json.loads(out)]
    assert all(isinstance(found, dict) for found in objects)
    # The keys themselves are on standard output.
    assert json.loads(error)["found"] == 1 if path[0] == "import" else error == ""


@pytest.mark.parametrize("path", LINES, ids=" ".join)
def test_failure_is_json(path: tuple[str, ...], api: RunningApi, words: dict[str, str]) -> None:
    error = api.fails(*path, *LINES[path][1].format(**words).split(), "--json")
    assert is_problem(error, 1)


@pytest.mark.parametrize("path", [*LINES, (), ("record",)], ids=" ".join)
@pytest.mark.parametrize("option", ["--json", "--json=true"])
def test_wrong_command_line_is_json(path: tuple[str, ...], option: str, api: RunningApi) -> None:
    assert is_problem(api.fails(*path, "--nonsense", option, code=2), 2)


@pytest.mark.parametrize("path", sorted(DOCUMENTS), ids=" ".join)
def test_document_refuses_json(path: tuple[str, ...], api: RunningApi) -> None:
    assert is_problem(api.fails(*path, "--json", code=2), 2)


def is_problem(text: str, code: int) -> bool:
    """Tell if a text is the JSON object of an error with an exit code."""
    found = json.loads(text)
    return found["exit_code"] == code and all(found["problems"]) and "\n" not in text.strip()


def test_data_named_json_does_not_change_the_output(api: RunningApi) -> None:
    error = api.fails("record", "set", "none.other.test", "TXT", "--", "--json")
    assert error.startswith("none.other.test is not in a declared zone")


def test_report_of_a_file_with_problems_is_json(api: RunningApi, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("a 60 A 10.0.0.999\nb 60 A 10.0.0.1\n")
    for words in ("zone check", "zone import lab.internal --dry-run"):
        more = ["--zone", "lab.internal"] if "check" in words else []
        out, error = api.both(*words.split(), str(bad), *more, "--json", code=1)
        assert len(json.loads(out)["problems"]) == 1
        assert error == ""


def test_deleted_records_are_named(api: RunningApi) -> None:
    api("record", "set", NAME, "A", "10.0.0.1", "10.0.0.2", "10.0.0.3")
    ids = {record["data"]: record["id"] for record in api.objects("record", "show", NAME)}
    where = {"zone": "lab.internal", "owner": "web", "type": "A"}
    first = api("record", "delete", NAME, "A", "10.0.0.1", "--json")
    assert json.loads(first) == {**where, "ids": [ids["10.0.0.1"]]}
    second = api("record", "delete", NAME, "A", "--id", str(ids["10.0.0.2"]), "--json")
    assert json.loads(second) == {**where, "ids": [ids["10.0.0.2"]]}
    assert json.loads(api("record", "delete", NAME, "A", "--json")) == {**where, "ids": None}
