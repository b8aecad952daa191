"""``musterd zone list``, ``export`` and ``import``."""

import json
from pathlib import Path

import pytest

from tests.apikit import RunningApi

pytest_plugins = ["tests.apifixture"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a zone file with two records."""
    path = tmp_path / "some.zone"
    path.write_text("web A 10.0.0.1\ndb A 10.0.0.2\n")
    return path


def test_list_shows_zones(api: RunningApi) -> None:
    assert [row[:2] for row in api.rows("zone", "list")] == [
        ["lab.internal", "live"],
        ["deep.lab.internal", "live"],
    ]
    assert [zone["name"] for zone in api.objects("zone", "list")] == [
        "lab.internal",
        "deep.lab.internal",
    ]


def test_export_of_an_import_is_equal(api: RunningApi, file: Path) -> None:
    output = api("zone", "import", "lab.internal.", str(file))
    assert output == f"{file}: 2 added, 0 changed, 0 removed; 0 unchanged\n"
    lines = [line.split() for line in api("zone", "export", "lab.internal").splitlines()]
    assert [line for line in lines if "A" in line] == [
        ["db.lab.internal.", "30", "IN", "A", "10.0.0.2"],
        ["web.lab.internal.", "30", "IN", "A", "10.0.0.1"],
    ]


def test_dry_run_changes_nothing(api: RunningApi, file: Path) -> None:
    output = api("zone", "import", "lab.internal", str(file), "--dry-run")
    assert output == f"{file}: would be 2 added, 0 changed, 0 removed; 0 unchanged\n"
    assert api("record", "list") == ""


def test_problems_name_their_line(api: RunningApi, file: Path) -> None:
    file.write_text("web A 10.0.0.1\ndb A bad\n")
    lines = api("zone", "import", "lab.internal", str(file), "--dry-run", code=1).splitlines()
    assert lines[0].startswith(f"{file}:2: ")
    assert "bad" in lines[0]
    done = json.loads(
        api("zone", "import", "lab.internal", str(file), "--dry-run", "--json", code=1)
    )
    assert [problem["line"] for problem in done["problems"]] == [2]


def test_undeclared_zone_is_rejected(api: RunningApi, file: Path) -> None:
    assert "deep.lab.internal" in api.fails("zone", "export", "other.test")
    assert "deep.lab.internal" in api.fails("zone", "import", "other.test", str(file))


def test_missing_file_is_reported(api: RunningApi, tmp_path: Path) -> None:
    output = api.fails("zone", "import", "lab.internal", str(tmp_path / "none"))
    assert output.endswith("none: can't be read: No such file or directory\n")
