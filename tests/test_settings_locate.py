"""Finds lines in TOML texts. In these texts, every value is its own line number."""

import tomllib
from collections.abc import Iterator

import pytest

from musterd.settings.locate import Loc, Locator

TEXTS = {
    "tables": "a = 1\n[b]\nc = 3\n\n[b.d]  # 9\ne = 6\n",
    "dotted": "a.b.c = 1\na . \"b\" . d = 2\n[x.y]\nz.'q.r' = 4\n",
    "quoted keys": '"a\\"]=b" = 1\n\'c"#\' = 2\n["[d]"]\n"\\u00e9\\U0001F600" = 4\n'
    '"\\\\U0001F600" = 5\n',
    "array": "a = [ 1, 1,\n2, # ]\n\n4,\n]\nb = 6\n",
    "nested arrays": "a = [[1], [\n2, [\n3]]]\n",
    "inline table": "a = { b = 1, c.d = 1, e = [1, { f = 1 }] }\ng = 2\n",
    "array of inline tables": "a = [\n { b = 2 },\n { b = 3 } ]\n",
    "array of tables": "[[a]]\nb = 2\n[[a.c]]\nd = 4\n[[a.c]]\nd = 6\n[[a]]\nb = 8\n[a.e]\nf = 10\n"
    "[[a.c]]\nd = 12\n",
    "table under array under table": "[a]\n[[a.b]]\nc = 3\n[[a.b]]\n[a.b.d]\ne = 6\n",
    "crlf": "a = 1\r\n[b]\r\nc = [\r\n4,\r\n]\r\n",
    "no last newline": "a = 1\nb = 2",
}
SPANNING = '''a = """
x = 9 ""\\"
[b]"""""
c = \'\'\'
[[d]] # \'\' \'\'\'\'
e = "# [x]" # y
f = \'"""\'
g = 2020-01-01 10:00:00
h = [""""""]
i = 10
'''


def leaves(value: object, loc: Loc = ()) -> Iterator[tuple[Loc, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*loc, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*loc, index))
    else:
        yield loc, value


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_line_of_every_value(text: str) -> None:
    locator = Locator(text)
    found = list(leaves(tomllib.loads(text.replace("\r\n", "\n"))))
    assert found
    assert [(loc, locator.line(loc)) for loc, _ in found] == found


def test_multiline_strings_are_skipped() -> None:
    tomllib.loads(SPANNING)
    lines = {name: Locator(SPANNING).line((name,)) for name in "acefghi"}
    assert lines == {"a": 1, "c": 4, "e": 6, "f": 7, "g": 8, "h": 9, "i": 10}


@pytest.mark.parametrize(
    ("loc", "line"),
    [
        (("zones", 1, "name"), 3),  # missing: the header of its table
        (("zones", 0, "soa", "mname"), 2),  # made from another: the table that holds it
        (("zones",), 1),
        (("dns", "listen"), 5),
        (("nowhere", "x"), 1),
    ],
)
def test_missing_value_has_the_line_of_its_table(loc: Loc, line: int) -> None:
    text = "[[zones]]\nsoa = {}\n[[zones]]\n\n[dns]\n"
    assert Locator(text).line(loc) == line


@pytest.mark.parametrize("text", ["=", "]", "a", "a = [", "a = {", '"', "[[", "a = [=", "\0", "[a"])
def test_invalid_toml_is_tolerated(text: str) -> None:
    assert Locator(text).line(("x",)) == 1
