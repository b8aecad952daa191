"""RFC 6891, 5001, 7828, 7830, 7871, 8914, 4892: the OPT record, its options, the server's id."""

import struct

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
from dns.rcode import BADVERS, FORMERR, NOERROR, REFUSED

from musterd._core import STATE_LOADING, STATE_RESTORING, STATE_STALE, Core
from tests.conformance.questions import DO, ECS, KEEPALIVE, NSID, PADDING, Edns, Question
from tests.dnskit import core_with_zone, new_core, wire

ZONE = "@ 60 IN SOA ns h 1 1 1 1 1\nwww 60 IN A 192.0.2.1\n"
WWW = (b"www", b"example")
EDE = 15
STALE, NOT_READY, PROHIBITED, NOT_AUTHORITATIVE = 3, 14, 18, 20
CH = 3
TXT = 16


@pytest.fixture(scope="module")
def core() -> Core:
    """A core with a zone and a server id."""
    return core_with_zone(ZONE, server_id="ns1.test", version="musterd test", tcp_idle=7.5)


def exchange(
    core: Core, question: Question, *, tcp: bool = False, client: str = "127.0.0.1"
) -> dns.message.Message:
    """Return the core's reply to a question."""
    reply = core.answer(question.wire(), client, tcp)
    assert reply is not None
    return dns.message.from_wire(reply)


def www(*options: tuple[int, bytes], **edns: int) -> Question:
    """Return the question ``www A`` with an OPT record."""
    return Question(WWW, 1, edns=Edns(options=options, **edns))


def options(reply: dns.message.Message) -> dict[int, bytes]:
    """Return the options of a reply by code."""
    found = {int(option.otype): option.to_wire() or b"" for option in reply.options}
    assert len(found) == len(reply.options), "an option twice"
    return found


def extended_error(reply: dns.message.Message) -> int | None:
    """Return the EDE code of a reply."""
    data = options(reply).get(EDE)
    return None if data is None else int(struct.unpack("!H", data[:2])[0])


def test_query_without_opt_gets_none(core: Core) -> None:
    """RFC 6891 section 6.1.1."""
    assert exchange(core, Question(WWW, 1)).edns < 0


@pytest.mark.parametrize("size", [512, 1232, 4096])
def test_opt_has_servers_payload_size(size: int) -> None:
    """RFC 6891 section 6.2.3: the size of UDP messages that the server accepts."""
    reply = exchange(core_with_zone(ZONE, udp_size=size), www())
    assert (reply.edns, reply.payload) == (0, size)


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("version", [1, 2, 255])
def test_unknown_version_gets_badvers(core: Core, version: int, tcp: bool) -> None:
    """RFC 6891 section 6.1.3: BADVERS with our version, 0, and without an answer."""
    reply = exchange(core, www((NSID, b""), version=version), tcp=tcp)
    assert (reply.rcode(), reply.edns) == (BADVERS, 0)
    assert not reply.answer
    assert not reply.flags & dns.flags.AA


def test_options_of_unknown_version_are_not_read(core: Core) -> None:
    """RFC 6891 section 6.1.3: their framing may differ."""
    opt = struct.pack("!BHHBBHH", 0, 41, 1232, 0, 1, 0, 3) + b"\xff\xff\xff"
    query = Question(WWW, 1).wire()[:10] + b"\0\1" + Question(WWW, 1).wire()[12:] + opt
    reply = core.answer(query)
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == BADVERS


def test_unknown_flags_and_options_are_ignored(core: Core) -> None:
    """RFC 6891 sections 6.1.2 and 6.1.4: neither copied nor rejected."""
    reply = exchange(core, www((65001, b"?"), (100, b""), flags=0x7FFF))
    assert (reply.rcode(), reply.ednsflags & 0xFFFF, options(reply)) == (NOERROR, 0, {})


@pytest.mark.parametrize("flags", [0, 0x0100, 0x0010, 0x0020, 0x0040, 0x0080, 0x0400, 0x0200])
@pytest.mark.parametrize("labels", [WWW, (b"nowhere", b"example"), (b"elsewhere",)])
def test_only_rd_is_copied_to_header(core: Core, flags: int, labels: tuple[bytes, ...]) -> None:
    """RFC 1035 section 4.1.1, RFC 4035 section 3.1.6: the other bits are clear."""
    reply = exchange(core, Question(labels, 1, flags=flags))
    assert reply.flags & 0xFBF0 == dns.flags.QR | (flags & dns.flags.RD)


def test_do_is_copied(core: Core) -> None:
    """RFC 3225 section 3: even though nothing is signed."""
    assert exchange(core, www(flags=DO)).ednsflags & DO
    assert not exchange(core, www()).ednsflags & DO


@pytest.mark.parametrize(
    ("records", "counts"),
    [
        (Edns().wire() * 2, (0, 0, 2)),
        (b"\x01a" + Edns().wire(), (0, 0, 1)),
        (Edns().wire(), (1, 0, 0)),
        (Edns().wire(), (0, 1, 0)),
        (Edns(options=((NSID, b""),)).wire()[:-1], (0, 0, 1)),
        (Edns().wire()[:-2] + b"\0\3\0\3\0", (0, 0, 1)),
        (Edns().wire()[:-2] + b"\0\5\0\3\0\2\0", (0, 0, 1)),
    ],
    ids=["two", "not-root", "answer", "authority", "cut", "short-option-head", "option-too-long"],
)
def test_malformed_opt_gets_formerr(
    core: Core, records: bytes, counts: tuple[int, int, int]
) -> None:
    """RFC 6891 sections 6.1.1 and 7."""
    query = Question(WWW, 1).wire()
    query = query[:6] + struct.pack("!HHH", *counts) + query[12:] + records
    reply = core.answer(query)
    assert reply is not None
    assert reply[3] & 15 == FORMERR


def test_nsid_is_sent_on_request_only(core: Core) -> None:
    """RFC 5001 section 2.1."""
    assert options(exchange(core, www((NSID, b"")))) == {NSID: b"ns1.test"}
    assert options(exchange(core, www())) == {}
    assert options(exchange(core_with_zone(ZONE), www((NSID, b"")))) == {}


def test_keepalive_is_sent_over_tcp_only(core: Core) -> None:
    """RFC 7828 section 3.2.1: in units of 100 ms; over UDP the option is ignored."""
    asked = www((KEEPALIVE, b""))
    assert options(exchange(core, asked, tcp=True)) == {KEEPALIVE: struct.pack("!H", 75)}
    assert options(exchange(core, asked)) == {}
    assert options(exchange(core, www(), tcp=True)) == {}


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_unencrypted_reply_has_no_padding(core: Core, tcp: bool) -> None:
    """RFC 7830 section 6: padding is for encrypted transports."""
    assert options(exchange(core, www((PADDING, bytes(32))), tcp=tcp)) == {}


def test_untrusted_client_subnet_is_ignored(core: Core) -> None:
    """RFC 7871 section 7.1.3 applies to trusted clients; for others the option is unknown."""
    assert options(exchange(core, www((ECS, b"\0\x01\x18\0\xc0\0\x02")))) == {}
    assert exchange(core, www((ECS, b"junk!"))).rcode() == NOERROR


def test_extended_errors() -> None:
    """RFC 8914: 20 outside our zones, 18 to forbidden clients, 14 while loading, 3 when stale."""
    core = core_with_zone(ZONE, allow=["127.0.0.0/8"])
    elsewhere = Question((b"www", b"elsewhere"), 1, edns=Edns())
    reply = exchange(core, elsewhere)
    assert (reply.rcode(), extended_error(reply)) == (REFUSED, NOT_AUTHORITATIVE)
    reply = exchange(core, www(), client="192.0.2.9")
    assert (reply.rcode(), extended_error(reply)) == (REFUSED, PROHIBITED)
    core.set_state(wire("example."), STATE_LOADING)
    reply = exchange(core, Question((b"new", b"example"), 1, edns=Edns()))
    assert (reply.rcode(), extended_error(reply)) == (dns.rcode.SERVFAIL, NOT_READY)
    core.set_state(wire("example."), STATE_STALE)
    reply = exchange(core, www())
    assert (reply.rcode(), extended_error(reply)) == (NOERROR, STALE)
    core.set_state(wire("example."), STATE_RESTORING)
    assert extended_error(exchange(core, www())) == STALE
    reply = exchange(core, Question((b"new", b"example"), 1, edns=Edns()))
    assert (reply.rcode(), extended_error(reply)) == (dns.rcode.SERVFAIL, NOT_READY)
    assert extended_error(exchange(core_with_zone(ZONE), www())) is None


def test_version_and_id_are_answered(core: Core) -> None:
    """RFC 4892 section 3: CH TXT ``version.bind`` and ``id.server``, in any case."""
    for name, text in ((b"version", b"musterd test"), (b"Version", b"musterd test")):
        reply = exchange(core, Question((name, b"bind"), TXT, CH))
        assert [item.strings for rrset in reply.answer for item in rrset] == [(text,)]
        assert reply.answer[0].ttl == 0
    reply = exchange(core, Question((b"id", b"server"), TXT, CH))
    assert [item.strings for rrset in reply.answer for item in rrset] == [(b"ns1.test",)]


@pytest.mark.parametrize(
    "name", [(b"version", b"bind"), (b"id", b"server"), (b"hostname", b"bind")]
)
def test_unset_version_and_id_are_refused(name: tuple[bytes, ...]) -> None:
    reply = exchange(new_core(), Question(name, TXT, CH))
    assert (reply.rcode(), reply.answer) == (REFUSED, [])


@pytest.mark.parametrize("rclass", [0, 2, 3, 4, 254, 255, 65535])
def test_other_classes_are_refused(core: Core, rclass: int) -> None:
    assert exchange(core, Question(WWW, 1, rclass)).rcode() == REFUSED


def test_small_payload_sizes_are_512(core: Core) -> None:
    """RFC 6891 section 6.2.3: values lower than 512 are treated as 512."""
    lines = [f"big 60 IN A 192.0.2.{number}" for number in range(1, 28)]
    core = core_with_zone(ZONE + "\n".join(lines) + "\n")
    for size in (0, 511, 512):
        question = Question((b"big", b"example"), 1, edns=Edns(size=size))
        assert not exchange(core, question).flags & dns.flags.TC
