"""RFC 1035, 2782, 3596, 3597, 8482, 9460: each type of record in an answer."""

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from musterd._core import Core
from tests.conformance.questions import Edns, Question
from tests.conformance.table import Case, check
from tests.dnskit import ask, core_with_zone, make_query, pack, rdata, wire

SOA = "@ 60 IN SOA ns hostmaster 7 7200 1800 86400 60"
ZONE = rf"""
{SOA}
@ 3600 IN NS ns
ns 300 IN A 192.0.2.53
web 300 IN A 192.0.2.1
web 300 IN AAAA 2001:db8::1
db 300 IN A 192.0.2.2
to-web 60 IN CNAME web
_http._tcp 300 IN SRV 1 5 80 web
_http._tcp 300 IN SRV 1 0 81 db
_http._tcp 300 IN SRV 2 0 80 www.elsewhere.test.
_none._tcp 300 IN SRV 0 0 0 .
_alias._tcp 300 IN SRV 0 0 80 to-web
six 300 IN AAAA 2001:db8::6
txt 300 IN TXT "one" "two"
txt 300 IN TXT "\000\255\"\\"
caa 300 IN CAA 128 issue "ca.example.net"
ptr 300 IN PTR web
opaque 300 IN TYPE65280 \# 4 C00C0001
opaque 300 IN TYPE65280 \# 0
opaque 300 IN A 192.0.2.9
svc 300 IN HTTPS 1 . alpn="h2,h3" port=8443
svc 300 IN A 192.0.2.3
away 300 IN HTTPS 0 svc
to-svc 60 IN CNAME svc
_dns 300 IN SVCB 1 web alpn=dot
any 300 IN A 192.0.2.4
any 200 IN TXT "any"
any 100 IN MX 10 web
"""
WEB = "web 300 IN A 192.0.2.1\nweb 300 IN AAAA 2001:db8::1"
SVC = 'svc 300 IN HTTPS 1 . alpn="h2,h3" port="8443"'

CASES = [
    # RFC 2782: SRV with the addresses of its target
    Case(
        "SRV",
        "_http._tcp SRV",
        answer="""_http._tcp 300 IN SRV 1 5 80 web
        _http._tcp 300 IN SRV 1 0 81 db
        _http._tcp 300 IN SRV 2 0 80 www.elsewhere.test.""",
        additional=f"{WEB}\ndb 300 IN A 192.0.2.2",
    ),
    Case("SRV, decidedly none", "_none._tcp SRV", answer="_none._tcp 300 IN SRV 0 0 0 ."),
    Case(
        "SRV to an alias adds nothing",
        "_alias._tcp SRV",
        answer="_alias._tcp 300 IN SRV 0 0 80 to-web",
    ),
    # RFC 3596
    Case("AAAA", "six AAAA", answer="six 300 IN AAAA 2001:db8::6"),
    Case("no A beside AAAA", "six A", authority=SOA),
    # RFC 1035
    Case(
        "TXT of every byte",
        "txt TXT",
        answer='txt 300 IN TXT "one" "two"\ntxt 300 IN TXT "\\000\\255\\"\\\\"',
    ),
    Case("CAA", "caa CAA", answer='caa 300 IN CAA 128 issue "ca.example.net"'),
    Case("PTR", "ptr PTR", answer="ptr 300 IN PTR web"),
    # RFC 3597: unknown types are bytes
    Case(
        "unknown type",
        "opaque TYPE65280",
        answer="opaque 300 IN TYPE65280 \\# 4 c00c0001\nopaque 300 IN TYPE65280 \\# 0",
    ),
    Case("known beside unknown", "opaque A", answer="opaque 300 IN A 192.0.2.9"),
    # RFC 9460: HTTPS and SVCB, alias and service form
    Case("HTTPS, target itself", "svc HTTPS", answer=SVC, additional="svc 300 IN A 192.0.2.3"),
    Case(
        "HTTPS, alias form",
        "away HTTPS",
        answer="away 300 IN HTTPS 0 svc",
        additional="svc 300 IN A 192.0.2.3",
    ),
    Case(
        "HTTPS behind an alias",
        "to-svc HTTPS",
        answer=f"to-svc 60 IN CNAME svc\n{SVC}",
        additional="svc 300 IN A 192.0.2.3",
    ),
    Case("SVCB", "_dns SVCB", answer='_dns 300 IN SVCB 1 web alpn="dot"', additional=WEB),
]


@pytest.fixture(scope="module")
def core() -> Core:
    """A core with the zone above, live."""
    return core_with_zone(ZONE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_record(core: Core, case: Case) -> None:
    """Each question gets exactly the answer of the table."""
    check(core, case)


def test_any_gives_single_rrset(core: Core) -> None:
    """RFC 8482 section 4.1: any complete RRset of the name."""
    (rrset,) = ask(core, "any", "ANY").answer
    assert rrset.rdtype in {dns.rdatatype.A, dns.rdatatype.TXT, dns.rdatatype.MX}
    assert ask(core, "nowhere", "ANY").rcode() == dns.rcode.NXDOMAIN
    assert ask(core, "_tcp", "ANY").rcode() == dns.rcode.NOERROR
    (alias,) = ask(core, "to-web", "ANY").answer
    assert alias.rdtype == dns.rdatatype.CNAME


def test_reverse_zones() -> None:
    """RFC 1035 section 3.5 and RFC 3596 section 2.5: ``in-addr.arpa`` and ``ip6.arpa``."""
    soa = "@ 60 IN SOA ns.example. h.example. 7 7200 1800 86400 60\n"
    core = core_with_zone(f"{soa}1 60 IN PTR web.example.\n", "2.0.192.in-addr.arpa.")
    (rrset,) = ask(core, "1.2.0.192.in-addr.arpa.", "PTR").answer
    assert rrset[0].to_text() == "web.example."
    nibbles = "1." + "0." * 23
    core = core_with_zone(
        f"{soa}{nibbles[:-1]} 60 IN PTR web.example.\n", "8.b.d.0.1.0.0.2.ip6.arpa."
    )
    (rrset,) = ask(core, f"{nibbles}8.b.d.0.1.0.0.2.IP6.ARPA.", "PTR").answer
    assert rrset[0].to_text() == "web.example."
    between = ask(core, "0.8.b.d.0.1.0.0.2.ip6.arpa.", "PTR")
    assert between.rcode() == dns.rcode.NOERROR, "an empty non-terminal"


@pytest.mark.parametrize(
    ("name", "rtype", "plain"),
    [
        ("_http._tcp", "SRV", b"\x03web\x07example\x00"),
        ("svc", "HTTPS", b"\x00\x01\x00"),
        ("_dns", "SVCB", b"\x03web\x07example\x00"),
        ("opaque", "TYPE65280", b"\xc0\x0c\x00\x01"),
    ],
)
def test_rdata_of_newer_types_is_not_compressed(
    core: Core, name: str, rtype: str, plain: bytes
) -> None:
    """RFC 2782 and RFC 3597 section 4: only the types of RFC 1035 may have pointers in rdata."""
    reply = core.answer(make_query(name, rtype).to_wire())
    assert reply is not None
    assert plain in reply


def test_names_are_compressed_where_allowed(core: Core) -> None:
    """RFC 1035 section 4.1.4: owner names, and names in MX, point to earlier names."""
    reply = core.answer(make_query("any", "MX").to_wire())
    assert reply is not None
    assert reply.count(b"\x07example") == 1


def test_names_beyond_pointer_range_are_not_compressed() -> None:
    """RFC 1035 section 4.1.4: a pointer has 14 bits."""
    lines = [SOA]
    for number in range(1200):
        lines.append(f"_big._tcp 60 IN SRV 0 0 {number} host{number:04}.pad.pad")
        lines.append(f"host{number:04}.pad.pad 60 IN A 192.0.2.1")
    reply = ask(core_with_zone("\n".join(lines) + "\n"), "_big._tcp", "SRV", tcp=True)
    assert len(reply.answer[0]) == 1200
    named = {rdata.target for rdata in reply.answer[0]}
    assert {rrset.name for rrset in reply.additional} <= named


def test_longest_labels_and_names() -> None:
    """RFC 1035 section 2.3.4: labels of 63 bytes, names of 255."""
    long = ".".join(["l" * 63] * 3 + ["m" * (255 - 3 * 64 - len(wire("example.")) - 1)])
    core = core_with_zone(f"{SOA}\n{long} 60 IN A 192.0.2.1\nto 60 IN CNAME {long}\n")
    assert len(wire(f"{long}.example.")) == 255
    assert ask(core, long).answer
    assert len(ask(core, "to").answer) == 2
    below = Question((b"x", *dns.name.from_text(f"{long}.example.").labels[1:-1]), 1)
    reply = core.answer(below.wire())
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("count", [1, 2, 28, 29, 30, 74, 75, 76, 400])
@pytest.mark.parametrize("edns", [None, 512, 1232, 4096])
def test_truncated_answer_has_all_records_that_fit(count: int, edns: int | None) -> None:
    """RFC 2181 section 9 and RFC 6891 section 6.2.5: complete records, TC only if some are cut."""
    addresses = [rdata("A", f"10.0.{number >> 8}.{number & 255}") for number in range(count)]
    core = core_with_zone(f"{SOA}\n")
    apex = wire("example.")
    row = (apex, wire("www.example."), 1, pack(60, [(1, address) for address in addresses]))
    assert core.apply([row]) == []
    limit = 512 if edns is None else min(edns, 1232)
    question = Question((b"www", b"example"), 1, edns=None if edns is None else Edns(edns))
    wires = core.answer(question.wire()), core.answer(question.wire(), "127.0.0.1", True)
    assert wires[0] is not None
    assert wires[1] is not None
    part, full = (dns.message.from_wire(reply) for reply in wires if reply)
    cut = len(wires[1]) > limit
    assert bool(part.flags & dns.flags.TC) == cut
    assert len(wires[0]) <= limit
    assert len(full.answer[0]) == count
    assert set(part.answer[0]) <= set(full.answer[0])
    assert not cut or len(wires[0]) + 16 > limit, "one more A record would have fitted"
