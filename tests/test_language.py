"""Docstrings and names follow the style in CONTRIBUTING.md."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "bench")
FRAGMENTS = {
    "as",
    "how",
    "none",
    "of",
    "that",
    "those",
    "what",
    "when",
    "where",
    "whether",
    "which",
}
"""First words of docstrings that are neither a verb nor a name of the thing."""


def trees(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_bytes())


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring, those of constants and fields included."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, text


def test_docstring_starts_with_verb_or_name() -> None:
    wrong = [
        f"{path}:{line}: {text.strip().splitlines()[0]}"
        for path, tree in trees(*FOLDERS)
        for line, text in docstrings(tree)
        if (word := re.match(r"\W*(\w+)", text)) and word[1].lower() in FRAGMENTS
    ]
    assert not wrong


def rust_comments() -> Iterator[str]:
    """Yield place and text of the first line of each documentation comment of the core."""
    for path in sorted((ROOT / "core").rglob("*.rs")):
        before = ""
        for number, line in enumerate(path.read_text().splitlines(), 1):
            mark = line.strip()[:3]
            if mark in {"///", "//!"} and before != mark:
                yield f"{path.relative_to(ROOT)}:{number}: {line.strip()[3:].strip()}"
            before = mark


def test_documentation_comment_of_the_core_starts_with_verb_or_name() -> None:
    comments = [place for place in rust_comments() if "/target/" not in place]
    assert len(comments) > 500
    assert not [
        place
        for place in comments
        if (word := re.match(r"\W*(\w+)", place.split(": ", 1)[1])) and word[1].lower() in FRAGMENTS
    ]


def test_class_name_has_one_meaning() -> None:
    names = Counter(
        node.name
        for _, tree in trees("src")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert not [name for name, count in names.items() if count > 1]
