"""RFC 8906 section 8, each test by its number, over UDP and TCP, for musterd and its peers.

The peers validate the tests themselves. Section 3.2.7 requires EDNS over TCP.
"""

import struct
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from dns.rcode import BADVERS, NOERROR, NOTIMP

from tests.conformance.questions import COOKIE, DO, ECS, EXPIRE, NSID, RD, Edns, Question
from tests.conformance.transport import Address, tcp, udp
from tests.needs import CI

CD, AD, Z = 0x10, 0x20, 0x40
UNKNOWN_FLAG, UNKNOWN_OPTION = 0x40, 100
SOA, DNSKEY, TXT = 6, 48, 16
APEX = (b"example",)
SERVERS = ("musterd", "nsd", "knot", "bind")


@dataclass(frozen=True)
class Rfc8906Case:
    """A test: the query and the expected reply (None: any value)."""

    section: str
    question: Question
    rcode: dns.rcode.Rcode = NOERROR
    soa: bool = True
    aa: bool = True
    truncated: bool = False
    options: frozenset[int] = field(default_factory=frozenset)
    """Options that an answer may have."""


def _soa(flags: int = 0, edns: Edns | None = None) -> Question:
    return Question(APEX, SOA, flags=flags, edns=edns)


MULTIPLE = (
    (COOKIE, bytes(range(8))),
    (NSID, b""),
    (EXPIRE, b""),
    (ECS, b"\0\x01\0\0"),
)
BASIC = [
    Rfc8906Case("8.1.1 configured for the zone", _soa()),
    Rfc8906Case("8.1.2 unknown type", Question(APEX, 1000), soa=False),
    Rfc8906Case("8.1.3.1 CD=1", _soa(CD)),
    Rfc8906Case("8.1.3.2 AD=1", _soa(AD)),
    Rfc8906Case("8.1.3.3 reserved bit", _soa(Z)),
    Rfc8906Case("8.1.3.4 recursive query", _soa(RD)),
]
EXTENDED = [
    Rfc8906Case("8.2.1 minimal EDNS", _soa(edns=Edns())),
    Rfc8906Case(
        "8.2.2 version negotiation", _soa(edns=Edns(version=1)), BADVERS, soa=False, aa=False
    ),
    Rfc8906Case("8.2.3 unknown option", _soa(edns=Edns(options=((UNKNOWN_OPTION, b""),)))),
    Rfc8906Case("8.2.4 unknown flag", _soa(edns=Edns(flags=UNKNOWN_FLAG))),
    Rfc8906Case(
        "8.2.5 version negotiation with unknown flag",
        _soa(edns=Edns(version=1, flags=UNKNOWN_FLAG)),
        BADVERS,
        soa=False,
        aa=False,
    ),
    Rfc8906Case(
        "8.2.6 version negotiation with unknown option",
        _soa(edns=Edns(version=1, options=((UNKNOWN_OPTION, b""),))),
        BADVERS,
        soa=False,
        aa=False,
    ),
    Rfc8906Case(
        "8.2.7 truncated response",
        Question((b"many", b"example"), TXT, edns=Edns(size=512, flags=DO)),
        soa=False,
        truncated=True,
    ),
    Rfc8906Case("8.2.8 DO=1", _soa(edns=Edns(flags=DO))),
    Rfc8906Case(
        "8.2.9 version negotiation with DO=1",
        _soa(edns=Edns(version=1, flags=DO)),
        BADVERS,
        soa=False,
        aa=False,
    ),
    Rfc8906Case(
        "8.2.10 multiple defined options",
        _soa(edns=Edns(options=MULTIPLE)),
        options=frozenset({COOKIE, NSID, EXPIRE, ECS}),
    ),
]
KNOWN_OPTIONS = [
    Rfc8906Case(
        f"3.2.3 option {code}", _soa(edns=Edns(options=((code, text),))), options=frozenset({code})
    )
    for code, text in MULTIPLE
]


def _exchange(address: Address, query: bytes, *, over_tcp: bool) -> dns.message.Message:
    reply = tcp(address, query) if over_tcp else udp(address, query)
    assert reply is not None, "no reply"
    message = dns.message.from_wire(reply)
    assert message.id == 0xABCD
    assert message.flags & dns.flags.QR
    return message


def _address(servers: dict[str, Address], name: str) -> Address:
    if name not in servers:
        assert not CI, f"{name} is not installed"
        pytest.skip(f"{name} is not installed")
    return servers[name]


def _check(reply: dns.message.Message, case: Rfc8906Case) -> None:
    assert reply.rcode() == case.rcode
    assert bool(reply.flags & dns.flags.AA) == case.aa
    assert any(rrset.rdtype == SOA for rrset in reply.answer) == case.soa
    assert bool(reply.flags & dns.flags.TC) == case.truncated
    asked = case.question.flags
    assert bool(reply.flags & dns.flags.RD) == bool(asked & RD)
    assert not reply.flags & Z, "reserved bit copied"
    assert not reply.flags & dns.flags.RA


@pytest.mark.parametrize("over_tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("case", BASIC, ids=lambda case: case.section)
def test_basic_dns(
    servers: dict[str, Address], name: str, case: Rfc8906Case, over_tcp: bool
) -> None:
    """Section 8.1; 8.1.5 repeats each test over TCP."""
    query = case.question.wire(0xABCD)
    reply = _exchange(_address(servers, name), query, over_tcp=over_tcp)
    _check(reply, case)
    assert reply.edns < 0, "OPT without being asked"


# NSD closes a TCP connection that brings less than a question, so there is nothing to compare.
BARE = [(name, tcp) for name in SERVERS for tcp in (False, True) if (name, tcp) != ("nsd", True)]


@pytest.mark.parametrize(("name", "over_tcp"), BARE)
@pytest.mark.parametrize("opcode", [1, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
def test_unknown_opcode_gets_notimp(
    servers: dict[str, Address], name: str, opcode: int, over_tcp: bool
) -> None:
    """Section 8.1.4: a header alone gets NOTIMP with AA clear."""
    query = struct.pack("!HHHHHH", 0xABCD, opcode << 11, 0, 0, 0, 0)
    reply = _exchange(_address(servers, name), query, over_tcp=over_tcp)
    assert reply.rcode() == NOTIMP
    assert reply.opcode() == opcode
    assert not reply.flags & dns.flags.AA
    assert not reply.answer


@pytest.mark.parametrize("over_tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("case", [*EXTENDED, *KNOWN_OPTIONS], ids=lambda case: case.section)
def test_extended_dns(
    servers: dict[str, Address], name: str, case: Rfc8906Case, over_tcp: bool
) -> None:
    """Sections 8.2 and 3.2: OPT of version 0 in every answer, without unknown flags and options."""
    query = case.question.wire(0xABCD)
    reply = _exchange(_address(servers, name), query, over_tcp=over_tcp)
    assert reply.edns == 0
    assert not reply.ednsflags & 0x7FFF, "MBZ flags set"
    assert {option.otype for option in reply.options} <= case.options
    if case.truncated and over_tcp:
        assert not reply.flags & dns.flags.TC
        assert len(reply.answer[0]) == 10
    else:
        _check(reply, case)


@pytest.mark.parametrize("opcode", [2, 4, 5])
def test_unsupported_opcode_gets_notimp(servers: dict[str, Address], opcode: int) -> None:
    """STATUS, NOTIFY and UPDATE are not supported (section 3.1.4)."""
    question = Question(APEX, SOA, flags=opcode << 11)
    reply = _exchange(servers["musterd"], question.wire(0xABCD), over_tcp=False)
    assert reply.rcode() == NOTIMP
    assert reply.opcode() == opcode
