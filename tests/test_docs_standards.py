"""docs/standards.md lists every expected RFC and names only existing tests."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONFORMANCE = ROOT / "tests" / "conformance"
TEXT = (ROOT / "docs" / "standards.md").read_text()
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)(?:\[([^`]+)\])?`", TEXT)))
RFCS = re.findall(
    r"\d+",
    """
1034 1035 2181 2308 8020 2782 3596 3597 4592 4343 5001 6891 8906 7766 7828 9210 7830 8467 7873 9018
8482 8767 8914 8945 2136 3007 5936 1995 1996 9267 9460 9567 6840 4035 9824
""",
)


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("file", "function", "case"), NAMED)
def test_named_test_exists(file: str, function: str, case: str) -> None:
    path = CONFORMANCE / file
    assert function in _functions(path)
    assert f'"{case}"' in path.read_text() or not case


def test_every_test_name_has_checked_format() -> None:
    assert len(NAMED) == len(set(re.findall(r"`(test_[^`]*)`", TEXT)))
    assert len(NAMED) > 50


@pytest.mark.parametrize("rfc", RFCS)
def test_rfc_is_listed(rfc: str) -> None:
    first = [line.split("|")[1] for line in TEXT.splitlines() if line.startswith("|")]
    assert any(rfc in re.findall(r"\d{4}", cell) for cell in first)


def test_every_test_file_is_listed() -> None:
    files = {path.name for path in CONFORMANCE.glob("test_*.py")} - {"test_harness.py"}
    assert files == {file for file, _, _ in NAMED}
