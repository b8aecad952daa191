"""RFC 1034, 1035, 2181, 2308, 4343, 4592, 6672, 8020: the records that answer a question."""

from pathlib import Path

import dns.flags
import dns.message
import dns.rdatatype
import pytest

from musterd._core import Core, read_zone
from tests.conformance.table import Case, check, render
from tests.dnskit import ask, core_with_zone, load, make_query, wire

ZONE = """
@ 3600 IN SOA ns hostmaster 7 7200 1800 86400 60
@ 3600 IN NS ns
@ 300 IN MX 10 mail
ns 300 IN A 192.0.2.53
mail 300 IN A 192.0.2.25
www 300 IN A 192.0.2.1
www 300 IN A 192.0.2.2
www 120 IN TXT "text"
MiXed 300 IN TXT "Case Kept"
alias 60 IN CNAME www
alias2 60 IN CNAME ALIAS
dangling 60 IN CNAME nowhere
away 60 IN CNAME www.elsewhere.test.
loop 60 IN CNAME pool
pool 60 IN CNAME loop
self 60 IN CNAME self
into 60 IN CNAME host.cut
to-ent 60 IN CNAME ent
to-wild 60 IN CNAME x.wild
a.b.ent 300 IN A 192.0.2.3
*.wild 300 IN A 192.0.2.4
*.wild 300 IN MX 10 mail
host.sub.wild 300 IN TXT "here"
there.wild 300 IN TXT "here"
*.wildc 60 IN CNAME www
a.*.star 300 IN A 192.0.2.5
cut 900 IN NS ns.cut
cut 900 IN NS ns.elsewhere.test.
ns.cut 900 IN A 192.0.2.6
ns.cut 900 IN AAAA 2001:db8::6
hidden.cut 900 IN TXT "hidden"
*.cut 900 IN A 192.0.2.7
bare 900 IN NS ns1.elsewhere.test.
side 900 IN NS ns.cut
"""
SOA = "@ 60 IN SOA ns hostmaster 7 7200 1800 86400 60"
CUT = "cut 900 IN NS ns.cut\ncut 900 IN NS ns.elsewhere.test."
GLUE = "ns.cut 900 IN A 192.0.2.6\nns.cut 900 IN AAAA 2001:db8::6"
WWW = "www 300 IN A 192.0.2.1\nwww 300 IN A 192.0.2.2"
MAIL = "mail 300 IN A 192.0.2.25"

CASES = [
    # RFC 1034 section 4.3.2: the algorithm
    Case("match", "www A", answer=WWW),
    Case("match of one type", "www TXT", answer='www 120 IN TXT "text"'),
    Case("apex", "@ SOA", answer=SOA.replace(" 60 IN", " 3600 IN", 1)),
    Case("apex NS", "@ NS", answer="@ 3600 IN NS ns", additional="ns 300 IN A 192.0.2.53"),
    Case("outside", "www.elsewhere.test. A", "REFUSED"),
    Case("parent of the zone", ". NS", "REFUSED"),
    Case("MX with addresses", "@ MX", answer="@ 300 IN MX 10 mail", additional=MAIL),
    # RFC 2308 and 8020: denials
    Case("nodata", "www AAAA", authority=SOA),
    Case("nxdomain", "nowhere A", "NXDOMAIN AA", authority=SOA),
    Case("nxdomain below a name", "x.www A", "NXDOMAIN AA", authority=SOA),
    Case("empty non-terminal", "ent A", authority=SOA),
    Case("empty non-terminal below", "b.ent TXT", authority=SOA),
    Case("below an empty non-terminal", "x.ent A", "NXDOMAIN AA", authority=SOA),
    Case("type unknown to all", "www TYPE65281", authority=SOA),
    # RFC 1034 section 3.6.2 and RFC 2181 section 10.1: CNAME
    Case("alias", "alias A", answer=f"alias 60 IN CNAME www\n{WWW}"),
    Case(
        "alias of an alias",
        "alias2 A",
        answer=f"alias2 60 IN CNAME ALIAS\nALIAS 60 IN CNAME www\n{WWW}",
    ),
    Case("alias itself", "alias CNAME", answer="alias 60 IN CNAME www"),
    Case("alias to nodata", "alias AAAA", answer="alias 60 IN CNAME www", authority=SOA),
    Case(
        "alias to nothing",
        "dangling A",
        "NXDOMAIN AA",
        answer="dangling 60 IN CNAME nowhere",
        authority=SOA,
    ),
    Case("alias out of our zones", "away A", answer="away 60 IN CNAME www.elsewhere.test."),
    Case("alias loop", "loop A", answer="loop 60 IN CNAME pool\npool 60 IN CNAME loop"),
    Case("alias to itself", "self A", answer="self 60 IN CNAME self"),
    Case(
        "alias below a cut",
        "into A",
        answer="into 60 IN CNAME host.cut",
        authority=CUT,
        additional=GLUE,
    ),
    Case(
        "alias to an empty non-terminal", "to-ent A", answer="to-ent 60 IN CNAME ent", authority=SOA
    ),
    Case(
        "alias to a wildcard",
        "to-wild A",
        answer="to-wild 60 IN CNAME x.wild\nx.wild 300 IN A 192.0.2.4",
    ),
    # RFC 4592: wildcards
    Case("wildcard", "x.wild A", answer="x.wild 300 IN A 192.0.2.4"),
    Case("wildcard, deeper", "x.y.wild A", answer="x.y.wild 300 IN A 192.0.2.4"),
    Case("wildcard, nodata", "x.wild AAAA", authority=SOA),
    Case("wildcard asked literally", "*.wild A", answer="*.wild 300 IN A 192.0.2.4"),
    Case("wildcard MX", "x.wild MX", answer="x.wild 300 IN MX 10 mail", additional=MAIL),
    Case("wildcard does not cover what exists", "there.wild A", authority=SOA),
    Case("wildcard does not cover an empty non-terminal", "sub.wild A", authority=SOA),
    Case("wildcard ends at what exists", "x.there.wild A", "NXDOMAIN AA", authority=SOA),
    Case("wildcard ends at an empty non-terminal", "x.sub.wild A", "NXDOMAIN AA", authority=SOA),
    Case("wildcard does not cover its parent", "wild A", authority=SOA),
    Case("wildcard alias", "x.wildc A", answer=f"x.wildc 60 IN CNAME www\n{WWW}"),
    Case("wildcard that is an empty non-terminal", "x.star A", authority=SOA),
    Case("star in the middle", "a.*.star A", answer="a.*.star 300 IN A 192.0.2.5"),
    Case("star in the middle is no wildcard", "a.x.star A", authority=SOA),
    # RFC 1034 section 4.2.1: delegation
    Case("cut", "cut NS", "NOERROR", authority=CUT, additional=GLUE),
    Case("cut, another type", "cut A", "NOERROR", authority=CUT, additional=GLUE),
    Case("below a cut", "x.y.cut A", "NOERROR", authority=CUT, additional=GLUE),
    Case("glue is not authoritative", "ns.cut A", "NOERROR", authority=CUT, additional=GLUE),
    Case("data below a cut is hidden", "hidden.cut TXT", "NOERROR", authority=CUT, additional=GLUE),
    Case("DS at a cut is the parent's", "cut DS", authority=SOA),
    Case("DS below a cut", "x.cut DS", "NOERROR", authority=CUT, additional=GLUE),
    Case("cut without glue", "x.bare A", "NOERROR", authority="bare 900 IN NS ns1.elsewhere.test."),
    Case(
        "glue below a sibling",
        "side A",
        "NOERROR",
        authority="side 900 IN NS ns.cut",
        additional=GLUE,
    ),
]


@pytest.fixture(scope="module")
def core() -> Core:
    """A core with the zone above, live."""
    return core_with_zone(ZONE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_lookup(core: Core, case: Case) -> None:
    """Each question gets exactly the answer of the table."""
    check(core, case)


def test_lookup_ignores_case_and_answer_preserves_it(core: Core) -> None:
    """RFC 4343 sections 3 and 4: the question is echoed, data is returned as loaded."""
    query = make_query("wWw", "TXT")
    reply = core.answer(query.to_wire())
    assert reply is not None
    assert b"\x03wWw\x07example" in reply
    assert render(ask(core, "mIxEd", "TXT")).count('"Case Kept"') == 1
    found = ask(core, "alias2").answer
    assert found[0].to_rdataset()[0].to_text() == "ALIAS.example."


def test_case_applies_to_ascii_letters_only(core: Core) -> None:
    """RFC 4343 section 3: ``[`` is not ``{``."""
    zone = "@ 60 IN SOA ns h 1 1 1 1 1\n[x 60 IN A 192.0.2.1\n\\197 60 IN A 192.0.2.2\n"
    brackets = core_with_zone(zone)
    assert ask(brackets, "[X").answer
    assert ask(brackets, "{x").rcode() == dns.rcode.NXDOMAIN
    assert ask(brackets, "\\229").rcode() == dns.rcode.NXDOMAIN


def test_rrset_has_lowest_ttl_of_its_records() -> None:
    """RFC 2181 section 5.2."""
    zone = "@ 60 IN SOA ns h 1 1 1 1 1\nwww 300 IN A 192.0.2.1\nwww 100 IN A 192.0.2.2\n"
    reply = ask(core_with_zone(zone), "www")
    assert [rrset.ttl for rrset in reply.answer] == [100]
    assert len(reply.answer[0]) == 2


def test_duplicate_records_are_merged() -> None:
    """RFC 2181 section 5: an RRset has no two records with the same data."""
    zone = "@ 60 IN SOA ns h 1 1 1 1 1\n" + "www 300 IN A 192.0.2.1\n" * 3
    assert len(ask(core_with_zone(zone), "www").answer[0]) == 1


def test_denial_ttl_is_the_lower_of_soa_and_minimum() -> None:
    """RFC 2308 section 3 and 5."""
    for ttl, minimum, expected in ((3600, 60, 60), (30, 600, 30), (60, 60, 60), (60, 0, 0)):
        zone = f"@ {ttl} IN SOA ns h 1 1 1 1 {minimum}\n"
        reply = ask(core_with_zone(zone), "nowhere")
        assert [rrset.ttl for rrset in reply.authority] == [expected]


def test_alias_is_followed_into_another_zone() -> None:
    """RFC 1034 section 4.3.2 step 3a goes back to step 2: all our zones are searched."""
    core = core_with_zone(ZONE + "other 60 IN CNAME www.other.test.\n")
    load(core, "@ 60 IN SOA ns h 1 1 1 1 1\nwww 30 IN A 192.0.2.9\n", "other.test.")
    reply = ask(core, "other")
    assert reply.flags & dns.flags.AA
    assert [rrset.rdtype for rrset in reply.answer] == [dns.rdatatype.CNAME, dns.rdatatype.A]


def test_alias_chain_is_followed_up_to_limit(core: Core) -> None:
    """A chain of 16 is followed; the client follows the rest of a longer one."""
    lines = ["@ 60 IN SOA ns h 1 1 1 1 1"]
    lines += [f"c{number} 60 IN CNAME c{number + 1}" for number in range(100)]
    reply = ask(core_with_zone("\n".join(lines) + "\n"), "c0", tcp=True)
    assert reply.rcode() == dns.rcode.NOERROR
    assert len(reply.answer) == 16


def test_child_zone_answers_for_itself() -> None:
    """RFC 1034 section 4.3.2 step 2; the parent answers DS (RFC 4035 section 3.1.4)."""
    core = core_with_zone(ZONE)
    load(core, "@ 60 IN SOA ns h 2 1 1 1 1\nwww 30 IN A 192.0.2.9\n", "cut.example.")
    assert ask(core, "www.cut").flags & dns.flags.AA
    assert ask(core, "hidden.cut", "TXT").rcode() == dns.rcode.NXDOMAIN
    apexes = {rtype: ask(core, "cut", rtype).authority[0].name.to_text() for rtype in ("DS", "TXT")}
    assert apexes == {"DS": "example.", "TXT": "cut.example."}


def test_data_beside_alias_is_reported(tmp_path: Path) -> None:
    """RFC 2181 section 10.1: the first CNAME of a file is used, other data is reported."""
    path = tmp_path / "zone"
    path.write_text("x 60 IN CNAME a\nx 60 IN A 192.0.2.1\ny 60 IN CNAME a\ny 60 IN CNAME b\n")
    zone = read_zone(str(path), wire("example."), 60)
    assert [(line, "CNAME" in text) for _, line, text in zone.problems] == [(2, True), (4, True)]
    assert [(owner, rtype) for owner, rtype, _ in zone.rrsets] == [
        (wire("x.example."), dns.rdatatype.CNAME),
        (wire("y.example."), dns.rdatatype.CNAME),
    ]


@pytest.mark.parametrize("rtype", ["AXFR", "IXFR"])
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_transfers_are_refused(core: Core, rtype: str, tcp: bool) -> None:
    """RFC 5936 section 2.2.1: not supported, so REFUSED without records."""
    reply = ask(core, "@", rtype, tcp=tcp)
    assert reply.rcode() == dns.rcode.REFUSED
    assert (reply.answer, reply.authority, reply.additional) == ([], [], [])
