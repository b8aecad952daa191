"""Tables in narrow terminals: no name is broken, and the least important columns go first."""

import pytest

from musterd.cli import run
from tests.apikit import RunningApi
from tests.test_cli_output import lines, on_terminal

pytest_plugins = ["tests.apifixture"]

LONG = "canary.deep.lab.internal"
SHORT = "web.lab.internal"
TARGET = "backend-primary.lab.internal"
WIDTHS = (40, 60, 80)
PIPELINE = "deployment-pipeline-of-team-9"
NAMES = {
    "status": ["lab.internal", "deep.lab.internal", "registry"],
    "zone list": ["lab.internal", "deep.lab.internal"],
    "record list": [LONG, SHORT, TARGET, "10.0.0.1"],
    f"record show {SHORT}": ["10.0.0.1", "10.0.0.2"],
    f"record history {LONG}": [TARGET, "created"],
    f"explain {LONG} CNAME": [TARGET, LONG],
    f"explain {SHORT}": ["10.0.0.1", "registry"],
    "token list": ["first", PIPELINE, "write:deep.lab.internal"],
}
"""Names that each command must show whole."""
FIRST_DROPPED = {
    "status": "serial",
    "zone list": "merge",
    "record list": "labels",
    f"record show {SHORT}": "modified",
    f"record history {LONG}": "revision",
    f"explain {LONG} CNAME": "revision",
    f"explain {SHORT}": "revision",
    "token list": "created",
}
"""The first column that each command drops."""


def fill(api: RunningApi) -> None:
    more = ("--ttl", "30", "--label", "rack=r1", "--label", "team=nine", "--policy", "rotate")
    api("record", "set", SHORT, "A", "10.0.0.1", "10.0.0.2", "--weight", "3", *more)
    api("record", "set", LONG, "CNAME", TARGET, "--ttl", "30", "--label", "rack=r1")
    api("token", "create", PIPELINE, "--scope", "write:deep.lab.internal", "--scope", "read")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("line", NAMES)
def test_narrow_terminal_shows_names_whole(
    line: str, width: int, api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(api)
    text = on_terminal(monkeypatch, width, lambda: run(line.split()))
    shown = [found.rstrip() for found in lines(text)]
    # The answer is a line of a zone file.
    table = [found for found in shown if " IN " not in found]
    assert [found for found in table if len(found) > width] == []
    words = {word.strip(",").rstrip(".") for found in shown for word in found.split()}
    assert set(NAMES[line]) <= words
    if width == min(WIDTHS):
        assert FIRST_DROPPED[line] not in words
