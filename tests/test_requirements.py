"""The pinned environment contains every package that pyproject.toml requires."""

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
    wanted = runpy.run_path(str(ROOT / "scripts" / "dependencies.py"))["dependencies"](
        development=True
    )
    names = {normal(pin.split("==")[0]) for pin in pins}
    assert {normal(re.split("[<>=!~ ;[]", text)[0]) for text in wanted} <= names


def normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
