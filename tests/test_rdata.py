"""Data of records as text: what is written is read back as the same data."""

import random
from collections.abc import Callable

import pytest

from musterd.registry import rdata
from musterd.registry.errors import Invalid

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
