"""The pinned environment is the one that pyproject.toml asks for."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_dependency_is_pinned() -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line]
    pins = [line for line in lines if not line.startswith("#")]
    assert [
        line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)
    ] == []
    wanted = runpy.run_path(str(ROOT / "scripts" / "dependencies.py"))["dependencies"]()
    names = {normal(pin.split("==")[0]) for pin in pins}
    assert {normal(re.split("[<>=!~ ;[]", one)[0]) for one in wanted} <= names


def normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
