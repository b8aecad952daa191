"""Names and data as typed by people."""

import re

import pytest

from musterd.client import names
from musterd.client.text import moment, span
from musterd.display import printable
from musterd.errors import UsageError
from musterd.registry.names import parse_name


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("web.lab.internal", "web.lab.internal"),
        ("WEB.lab.internal.", "WEB.lab.internal"),
        (r"a\.b.c", r"a\046b.c"),
        ("a/b.@", r"a\047b.\064"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER。例え.example", "xn--bcher-kva.xn--r8jz45g.example"),
        ("straße.GROẞ", "xn--strae-oqa.xn--gro-7ka"),
        ("\uff57eb.ﬀ.x", "web.ff.x"),
        ("*._a.É.e\u0301", "*._a.xn--9ca.xn--9ca"),
        (r"a\.b.c\\.ü", r"a\046b.c\092.xn--tda"),
        (".", "."),
    ],
)
def test_path_of_a_name(text: str, path: str) -> None:
    assert names.path_name(names.wire_name(text)) == path
    # The API reads a name as the command line does.
    assert parse_name(text) == names.wire_name(text).lower()
    assert names.wire_name(path) == names.wire_name(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a..b", "is not a valid name"),
        ("x" * 64, "64 bytes"),
        ("ü" * 64, "can't be encoded"),
        ("\u2192\ue000.test", "can't be encoded"),
        ("ü\\.x.test", "escape"),
        ("☃.test", "U+2603"),
        ("ü\\", "escape"),
        ("ü.x\\", "backslash"),
        ("_ü.test", "U+005F"),
        ("℀.test", "U+002F"),
        ("\u00ad.test", "can't be encoded"),
        ("ü..test", "empty label"),
        ("", "is not a valid name"),
    ],
)
def test_invalid_name_is_rejected(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        names.wire_name(text)
    assert expected in str(caught.value)
    with pytest.raises(ValueError, match=re.escape(expected)):
        parse_name(text)


@pytest.mark.parametrize(
    ("name", "zone", "owner"),
    [
        ("web.a.test", "a.test", "web"),
        ("A.Test", "a.test", "@"),
        ("x.b.a.test", "b.a.test", "x"),
        ("xb.a.test", "a.test", "xb"),
        ("web.a.test.a.test", "a.test", "web.a.test.a.test."),
        ("A.Test.a.Test", "a.test", "A.Test.a.Test."),
        ("xa.test.a.test", "a.test", "xa.test"),
        ("other", ".", "other"),
        (".", ".", "@"),
        (r"x\.a.test", ".", r"x\046a.test"),
    ],
)
def test_name_is_split_at_its_zone(name: str, zone: str, owner: str) -> None:
    wire = names.wire_name(name)
    assert names.within(wire, zone)
    assert names.owner_part(wire, zone) == owner
    assert names.wire_name(names.absolute(owner, zone)).lower() == wire.lower()


def test_name_outside_a_zone() -> None:
    for zone in ("b.test", "x.a.test", "est"):
        assert not names.within(names.wire_name("a.test"), zone)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("a b.test", r"\032"),
        ("a\tb", r"\009"),
        (r"a\b", r"\b is not an escape"),
        ("a\x7f", r"\127"),
    ],
)
def test_ambiguous_name_is_rejected(typed: str, reason: str) -> None:
    with pytest.raises(UsageError) as error:
        names.wire_name(typed)
    assert reason in str(error.value)


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[31m\n\x9bü") == "a\\x1b[31m\\n\\x9bü"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (0, "0s"), (59.6, "1min"), (3700, "1h 1min"), (90061, "1d 1h"), (86401, "1d 1s")],
)
def test_span_has_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_moment_is_local_time() -> None:
    assert moment(None) == ""
    assert len(moment(0)) == len("1970-01-01 00:00:00")
