import random

import dns.name
import pytest

from musterd._core import name_from_text, name_to_text

LABEL = "a" * 63
LONGEST = (b"?" + LABEL.encode()) * 3 + b"=" + b"a" * 61 + b"\0"


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        (".", b"\0"),
        ("lab.internal", b"\x03lab\x08internal\0"),
        ("Lab.Internal.", b"\x03Lab\x08Internal\0"),
        ("@", b"\x01@\0"),
        ("a b", b"\x03a b\0"),
        (r"a\.b.c", b"\x03a.b\x01c\0"),
        (r"a\\b", b"\x03a\\b\0"),
        (r"a\.", b"\x02a.\0"),
        (r"\046\000\255", b"\x03.\x00\xff\0"),
        (r"\a", b"\x01a\0"),
        ("*.x", b"\x01*\x01x\0"),
        ("_http._tcp.x", b"\x05_http\x04_tcp\x01x\0"),
        (LABEL, b"\x3f" + LABEL.encode() + b"\0"),
        (".".join([LABEL] * 3 + ["a" * 61]), LONGEST),
    ],
)  # fmt: skip
def test_name_from_text(text: str, wire: bytes) -> None:
    assert name_from_text(text) == wire
    assert name_from_text(name_to_text(wire)) == wire


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty label"),
        ("a..b", '"a..b" is not a valid name: it has an empty label'),
        (".a", "empty label"),
        ("..", "empty label"),
        ("a..", "empty label"),
        (LABEL + "a", "label of 64 bytes, expected at most 63"),
        (".".join([LABEL] * 4), "257 bytes, expected at most 255"),
        (".".join([LABEL] * 3 + ["a" * 62]), "256 bytes"),
        (".".join(["a"] * 10000), "longer than 255 bytes"),
        ("a\\", "escapes nothing"),
        (r"\25", "three digits"),
        (r"\256", r"256 is not an escape"),
        ("müster", "non-ASCII"),
        ("m\udcff", "non-ASCII"),
    ],
)
def test_invalid_text_is_rejected(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        name_from_text(text)


@pytest.mark.parametrize(
    "wire", [b"", b"\x01", b"\x01a", b"\x01a\0\0", b"\x40" + b"a" * 64 + b"\0", b"\xc0\x0c",
             b"\x01a" * 127 + b"\x01a\0"],
)  # fmt: skip
def test_invalid_wire_name_is_rejected(wire: bytes) -> None:
    with pytest.raises(ValueError, match="is not a valid wire name"):
        name_to_text(wire)


@pytest.mark.parametrize(
    "wire", [b"\0", b"\x01.\0", b"\x05a b@\\\x02\x00\x7f\0", bytes([4, 34, 59, 40, 36, 0])]
)
def test_text_is_escaped_as_in_dnspython(wire: bytes) -> None:
    assert name_to_text(wire) == dns.name.from_wire(wire, 0)[0].to_text()


def test_random_names_survive_a_round_trip() -> None:
    rng = random.Random(7)  # noqa: S311
    for _ in range(2000):
        labels = [rng.randbytes(rng.randrange(1, 20)) for _ in range(rng.randrange(5))]
        wire = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
        text = name_to_text(wire)
        assert name_from_text(text) == wire
        assert name_from_text(text.removesuffix(".") or ".") == wire
