"""RFC 9267 and RFC 1035: packets that are designed to break a parser."""

import struct

import pytest
from dns.rcode import FORMERR, NOERROR, NOTIMP

from musterd._core import Core
from tests.conformance.questions import Edns, Question
from tests.dnskit import core_with_zone

ZONE = "@ 60 IN SOA ns h 1 1 1 1 1\nwww 60 IN A 192.0.2.1\n"
WWW = Question((b"www", b"example"), 1).wire(1)
TAIL = b"\0\x01\0\x01"
LONG = b"\x3f" + b"l" * 63


def message(body: bytes, *counts: int, flags: int = 0) -> bytes:
    """Return a header with these counts, followed by the body."""
    four = (*counts, 0, 0, 0, 0)[:4] if counts else (1, 0, 0, 0)
    return struct.pack("!HHHHHH", 1, flags, *four) + body


RECORD = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + b"\x0a\0\0\x01"
QUESTION = WWW[12:]

MALFORMED = {
    # RFC 9267 section 2: compression pointers
    "pointer to itself": message(b"\xc0\x0c" + TAIL),
    "pointer forward": message(b"\xc0\x10" + TAIL + b"\x03www\0"),
    "pointer beyond the end": message(b"\xff\xff" + TAIL),
    "pointer into the header": message(b"\xc0\x00" + TAIL),
    "pointer loop": message(b"\x01a\xc0\x0c" + TAIL),
    "pointer cut": message(b"\x01a\xc0"),
    "pointer at the end": message(b"\xc0"),
    "record's pointer to itself": message(QUESTION + b"\xc0\x1d" + RECORD[2:], 1, 1),
    "record's pointer forward": message(QUESTION + b"\xc0\xff" + RECORD[2:], 1, 1),
    "record's pointer into the header": message(QUESTION + b"\xc0\x00" + RECORD[2:], 1, 1),
    # RFC 9267 section 3: label and name lengths
    "label of 64": message(b"\x40" + b"a" * 64 + b"\0" + TAIL),
    "label of 128": message(b"\x80" + b"a" * 128 + b"\0" + TAIL),
    "name of 256": message(LONG * 3 + b"\x3e" + b"m" * 62 + b"\0" + TAIL),
    "name without end": message(b"\x01a" * 300),
    "label longer than the message": message(b"\x3fabc"),
    "record's name of 256": message(QUESTION + LONG * 4 + b"\0" + RECORD[2:], 1, 1),
    # RFC 9267 section 4: terminator
    "no terminator": message(b"\x03www\x07example"),
    "no type and class": message(b"\x03www\x07example\0"),
    "half a class": message(b"\x03www\x07example\0\0\x01\0"),
    # RFC 9267 section 5: RDLENGTH
    "rdata longer than the message": message(QUESTION + RECORD[:-5] + b"\x05" + RECORD[-4:], 1, 1),
    "rdlength 65535": message(QUESTION + RECORD[:10] + b"\xff\xff" + RECORD[-4:], 1, 0, 0, 1),
    "no rdlength": message(QUESTION + RECORD[:9], 1, 0, 0, 1),
    # RFC 9267 section 6: counts
    "missing question": message(b"", 0, 0, 0, 0) + b"",
    "question counted, but missing": message(b"", 1),
    "two questions": message(QUESTION * 2, 2),
    "two questions counted, one present": message(QUESTION, 2),
    "65535 answers": message(QUESTION, 1, 65535),
    "65535 of each": message(QUESTION, 65535, 65535, 65535, 65535),
    "OPT counted, but missing": message(QUESTION, 1, 0, 0, 1),
    "OPT present, but not counted": message(QUESTION + Edns().wire(), 1),
    "trailing byte": message(QUESTION + b"\0", 1),
}


@pytest.fixture(scope="module")
def core() -> Core:
    """A core with a zone."""
    return core_with_zone(ZONE)


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("packet", MALFORMED.values(), ids=MALFORMED)
def test_malformed_packet_gets_formerr(core: Core, packet: bytes, tcp: bool) -> None:
    """The reply is a header with FORMERR, id and opcode of the query."""
    reply = core.answer(packet, "127.0.0.1", tcp)
    assert reply == struct.pack("!HHHHHH", 1, 0x8000 | FORMERR, 0, 0, 0, 0)


@pytest.mark.parametrize("size", range(12))
def test_incomplete_header_gets_no_reply(core: Core, size: int) -> None:
    assert core.answer(WWW[:size]) is None


@pytest.mark.parametrize("flags", [0x8000, 0x8180, 0xF800, 0xFFFF])
def test_reply_gets_no_reply(core: Core, flags: int) -> None:
    """RFC 1035 section 4.1.1: two servers would exchange replies forever."""
    assert core.answer(message(QUESTION, 1, flags=flags)) is None
    assert core.answer(message(b"junk", 1, flags=flags)) is None


@pytest.mark.parametrize("opcode", range(1, 16))
def test_unsupported_opcode_gets_notimp(core: Core, opcode: int) -> None:
    """RFC 8906 section 3.1.4: for any body."""
    for body in (b"", b"\xff" * 40, QUESTION):
        reply = core.answer(message(body, 1, flags=opcode << 11))
        assert reply == struct.pack("!HHHHHH", 1, 0x8000 | opcode << 11 | NOTIMP, 0, 0, 0, 0)


def test_truncated_query_gets_formerr(core: Core) -> None:
    """From a header alone to all but the last byte."""
    whole = Question((b"www", b"example"), 1, edns=Edns(options=((3, b""),))).wire(1)
    for size in range(12, len(whole)):
        reply = core.answer(whole[:size])
        assert reply is not None
        assert (len(reply), reply[3] & 15) == (12, FORMERR)
    reply = core.answer(whole)
    assert reply is not None
    assert reply[3] & 15 == NOERROR


@pytest.mark.parametrize("section", [1, 2, 3])
def test_records_in_query_are_ignored(core: Core, section: int) -> None:
    counts = [1, 0, 0, 0]
    counts[section] = 2
    reply = core.answer(message(QUESTION + RECORD * 2, *counts))
    assert reply is not None
    assert reply[3] & 15 == NOERROR
    assert reply[6:8] == b"\0\x01"
