"""Record data as text: parsing the text gives the same data."""

import random
import re
from collections.abc import Callable

import pytest

from musterd.registry import rdata
from musterd.registry.errors import Invalid
from musterd.rr.types import SOA

SPECIAL = b'ab.\\"();@$= *_-01'
MakeRdata = Callable[[], bytes]


def makers(pick: random.Random) -> dict[str, MakeRdata]:
    """Return functions that make data of a type from unusual bytes."""

    def junk(most: int) -> bytes:
        values = (pick.choice((pick.randrange(256), pick.choice(SPECIAL))) for _ in range(most))
        return bytes(values)

    def name() -> bytes:
        labels = [junk(pick.randint(1, 12)) for _ in range(pick.randint(0, 4))]
        return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"

    def string() -> bytes:
        text = junk(pick.choice((0, 1, 5, 255)))
        return bytes((len(text),)) + text

    def number() -> bytes:
        return pick.randbytes(2)

    return {
        "CNAME": name, "PTR": name, "MX": lambda: number() + name(),
        "SRV": lambda: number() + number() + number() + name(),
        "TXT": lambda: string() + string(), "HINFO": lambda: string() + string(),
        "CAA": lambda: b"\0\5issue" + string()[1:], "RP": lambda: name() + name(),
        "NAPTR": lambda: number() + number() + string() + string() + string() + name(),
        "SVCB": lambda: b"\0\1" + name() + b"\0\1\0\3\2h2", "MINFO": lambda: name() + name(),
        "URI": lambda: number() + number() + b"x" + junk(9), "ISDN": lambda: string() + string(),
        "TYPE65280": lambda: junk(9),
    }  # fmt: skip


@pytest.mark.parametrize("word", makers(random.Random(0)))  # noqa: S311
def test_text_of_data_is_read_as_the_same_data(word: str) -> None:
    make, rtype = makers(random.Random(word))[word], rdata.parse_type(word)  # noqa: S311
    for _ in range(100):
        wire = make()
        assert rdata.parse(rtype, rdata.text(rtype, wire)) == wire
        form = rdata.equal_form(rtype, wire)
        assert rdata.equal_form(rtype, form) == form
        assert form.lower() == wire.lower()


@pytest.mark.parametrize(
    "unit", ["\\", '"', '" ', "a=", 'a="" ', "a ;", '\\"', "(", "\\000", "\ud800", "\u202e", "\x01"]
)
@pytest.mark.parametrize("word", ["TXT", "CNAME", "MX", "CAA", "SVCB"])
def test_hostile_text_is_read_or_rejected_with_a_short_reason(word: str, unit: str) -> None:
    for text in (unit, f"1 {unit}.test", unit * (rdata.MAX_TEXT // len(unit))):
        reason = ""
        try:
            rdata.parse(rdata.parse_type(word), text, "lab.internal")
        except Invalid as error:
            reason = str(error)
        assert len(reason.encode()) < 2000


@pytest.mark.parametrize(
    ("rtype", "text", "reason"),
    [
        ("MX", "10", "it ends before field 2"),
        ("MX", "mail.x.y", 'field 1, "mail.x.y", must be a number'),
        ("MX", "70000 a.b.", 'field 1, "70000", must be a number from 0 to 65535'),
        ("MX", "10 a..b", 'field 2, "a..b", is not a name: it has an empty label'),
        ("MX", '10 "a.b."', 'field 2, "a.b.", must be a word without quotes'),
        ("MX", "10 a.b. c", '"c" follows the data'),
        ("A", "10.0.0", 'field 1, "10.0.0", is not valid'),
        ("CNAME", "", "it is empty"),
        ("CAA", "0 a-b x", "its tag must have letters and digits only"),
        ("SRV", "1 2 3", "it ends before field 4"),
        ("TLSA", "3 1 1 zz", "it needs hexadecimal data"),
        ("DNSKEY", "256 3 8 !!", "it needs data in base64"),
        ("MX", r"\# 1 01", "its bytes are not"),
        ("A", r"\# 3 010203", "its bytes are not valid"),
        ("A", r"\# 4 0a0000", "the length is 4, but"),
        ("HTTPS", "1 . x=1", 'field 3, "x=1", is not a known parameter: write keyNNN'),
        ("TXT", f'"{"a" * 256}"', "it has a string of more than 255 bytes: split it"),
        ("TYPE65280", "abc", "its type has no other form than bytes"),
        ("CSYNC", "1 1 X", "it has a word that is not a record type"),
    ],
)
def test_message_says_what_is_wrong_and_where(rtype: str, text: str, reason: str) -> None:
    with pytest.raises(Invalid) as error:
        rdata.parse(rdata.parse_type(rtype), text)
    assert f"is not valid {rtype} data: {reason}" in str(error.value)
    assert "; expected " in str(error.value)


JUNK = (
    "",
    "x",
    "1",
    "1 x",
    "x 1",
    '"x"',
    "1 1 1 1 1 1 1",
    "a..b",
    "99999999999",
    "1 2 3 !! zz",
    "-1",
    "10.0.0.1",
    "a.b. c.d. e",
    r"\# 2 00",
    r"\# 1 zz",
    r"\# x",
    "1 1 1 z",
    "\xff",
    "1:1/2",
)


def test_messages_are_not_those_of_the_parser() -> None:
    foreign = re.compile(
        r"expecting|malformed|Text input|EOL|octets long|unpack|literal|[Nn]on-hex|Odd-length"
        r"|object|field 0|RdataType"
    )
    kinds = [kind for kind in range(1, 300) if kind != SOA]
    found = [rejection(kind, text).partition("; expected")[0] for kind in kinds for text in JUNK]
    assert [message for message in found if foreign.search(message)] == []


def rejection(kind: int, text: str) -> str:
    """Return why data is rejected; empty if it is not."""
    try:
        rdata.parse(rdata.parse_type(f"TYPE{kind}"), text)
    except Invalid as error:
        return str(error)
    return ""
