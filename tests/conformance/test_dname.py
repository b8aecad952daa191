"""RFC 6672: the records that answer a question below a DNAME."""

import dns.flags
import dns.rcode
import dns.rdatatype
import pytest

from musterd._core import STATE_LOADING, Core
from tests.conformance.table import Case, check
from tests.dnskit import ask, core_with_zone, load, new_core, pack, rdata, wire

LONG = ".".join(["l" * 60] * 3)
ZONE = f"""
@ 3600 IN SOA ns hostmaster 7 7200 1800 86400 60
@ 3600 IN NS ns
ns 300 IN A 192.0.2.53
host 300 IN A 192.0.2.1
t 300 IN TXT "target"
www.t 30 IN A 192.0.2.2
a.b.t 30 IN A 192.0.2.3
*.wild.t 30 IN A 192.0.2.4
back.t 30 IN CNAME www.d
out.t 30 IN CNAME www.elsewhere.test.
d 500 IN DNAME T
d 400 IN A 192.0.2.5
www.d 300 IN A 192.0.2.66
x.www.d 300 IN NS ns
*.d 300 IN A 192.0.2.67
inner.d 300 IN DNAME host
alias 60 IN CNAME www.d
second 70 IN DNAME d
away 60 IN DNAME elsewhere.test.
root 60 IN DNAME .
cut 60 IN NS ns.cut
ns.cut 60 IN A 192.0.2.6
d.cut 60 IN DNAME t
into 60 IN DNAME cut
both 60 IN NS ns.cut
both 60 IN DNAME t
loop 60 IN DNAME pool
pool 60 IN DNAME loop
nested 60 IN DNAME x.nested
itself 60 IN DNAME itself
long 60 IN DNAME {LONG}
short 60 IN DNAME long
*.star 60 IN DNAME t
mx 60 IN MX 10 www.d
srv 60 IN SRV 0 0 80 www.d
a.ent 60 IN DNAME t
zero 0 IN DNAME t
"""
SOA = "@ 60 IN SOA ns hostmaster 7 7200 1800 86400 60"
D = "d 500 IN DNAME T"
CUT = "cut 60 IN NS ns.cut"
GLUE = "ns.cut 60 IN A 192.0.2.6"
NESTED = "nested 60 IN DNAME x.nested"

CASES = [
    # Section 2.2: substitution. Section 3.1: the CNAME has the TTL of the DNAME.
    Case(
        "below",
        "www.d A",
        answer=f"{D}\nwww.d 500 IN CNAME www.T\nwww.T 30 IN A 192.0.2.2",
    ),
    Case(
        "two labels below",
        "a.b.d A",
        answer=f"{D}\na.b.d 500 IN CNAME a.b.T\na.b.T 30 IN A 192.0.2.3",
    ),
    Case(
        "TTL 0",
        "www.zero A",
        answer="zero 0 IN DNAME t\nwww.zero 0 IN CNAME www.t\nwww.t 30 IN A 192.0.2.2",
    ),
    Case("below, nodata", "www.d AAAA", answer=f"{D}\nwww.d 500 IN CNAME www.T", authority=SOA),
    Case(
        "below, nxdomain",
        "no.d A",
        "NXDOMAIN AA",
        answer=f"{D}\nno.d 500 IN CNAME no.T",
        authority=SOA,
    ),
    Case("below, empty non-terminal", "b.d A", answer=f"{D}\nb.d 500 IN CNAME b.T", authority=SOA),
    Case(
        "below, wildcard",
        "x.wild.d A",
        answer=f"{D}\nx.wild.d 500 IN CNAME x.wild.T\nx.wild.T 30 IN A 192.0.2.4",
    ),
    Case("CNAME below", "www.d CNAME", answer=f"{D}\nwww.d 500 IN CNAME www.T"),
    Case("ANY below", "www.d ANY", answer=f"{D}\nwww.d 500 IN CNAME www.T"),
    Case("DNAME below", "www.d DNAME", answer=f"{D}\nwww.d 500 IN CNAME www.T", authority=SOA),
    Case("DS below", "www.d DS", answer=f"{D}\nwww.d 500 IN CNAME www.T", authority=SOA),
    Case("SOA below", "www.d SOA", answer=f"{D}\nwww.d 500 IN CNAME www.T", authority=SOA),
    # Section 2.3: the owner itself is not redirected.
    Case("owner", "d A", answer="d 400 IN A 192.0.2.5"),
    Case("owner, DNAME", "d DNAME", answer=D),
    Case("owner, nodata", "d TXT", authority=SOA),
    Case("owner, DS", "d DS", authority=SOA),
    Case("above the owner", "ent A", authority=SOA),
    # Section 2.4: data below the owner is hidden.
    Case(
        "DNAME below",
        "x.inner.d A",
        "NXDOMAIN AA",
        answer=f"{D}\nx.inner.d 500 IN CNAME x.inner.T",
        authority=SOA,
    ),
    Case(
        "cut below",
        "y.x.www.d A",
        "NXDOMAIN AA",
        answer=f"{D}\ny.x.www.d 500 IN CNAME y.x.www.T",
        authority=SOA,
    ),
    Case(
        "wildcard below, itself",
        "*.d A",
        "NXDOMAIN AA",
        answer=f"{D}\n*.d 500 IN CNAME *.T",
        authority=SOA,
    ),
    Case("MX of a name below", "mx MX", answer="mx 60 IN MX 10 www.d"),
    Case("SRV of a name below", "srv SRV", answer="srv 60 IN SRV 0 0 80 www.d"),
    # Chains and loops
    Case(
        "alias to a name below",
        "alias A",
        answer=f"alias 60 IN CNAME www.d\n{D}\nwww.d 500 IN CNAME www.T\nwww.T 30 IN A 192.0.2.2",
    ),
    Case(
        "same DNAME twice",
        "back.d A",
        answer=f"""{D}
            back.d 500 IN CNAME back.T
            back.T 30 IN CNAME www.d
            www.d 500 IN CNAME www.T
            www.T 30 IN A 192.0.2.2""",
    ),
    Case(
        "two DNAME",
        "www.second A",
        answer=f"""second 70 IN DNAME d
            www.second 70 IN CNAME www.d
            {D}
            www.d 500 IN CNAME www.T
            www.T 30 IN A 192.0.2.2""",
    ),
    Case(
        "loop",
        "x.loop A",
        answer="""loop 60 IN DNAME pool
            x.loop 60 IN CNAME x.pool
            pool 60 IN DNAME loop
            x.pool 60 IN CNAME x.loop""",
    ),
    Case(
        "target is the owner",
        "x.itself A",
        answer="itself 60 IN DNAME itself\nx.itself 60 IN CNAME x.itself",
    ),
    Case(
        "target below the owner", "a.nested A", answer=f"{NESTED}\na.nested 60 IN CNAME a.x.nested"
    ),
    # Out of our zones
    Case(
        "out of our zones",
        "www.away A",
        answer="away 60 IN DNAME elsewhere.test.\nwww.away 60 IN CNAME www.elsewhere.test.",
    ),
    Case(
        "alias out of our zones",
        "out.d A",
        answer=f"""{D}
            out.d 500 IN CNAME out.T
            out.T 30 IN CNAME www.elsewhere.test.""",
    ),
    Case(
        "target is the root",
        "test.root A",
        answer="root 60 IN DNAME .\ntest.root 60 IN CNAME test.",
    ),
    Case(
        "back through the root",
        "host.example.root A",
        answer="""root 60 IN DNAME .
            host.example.root 60 IN CNAME host
            host 300 IN A 192.0.2.1""",
    ),
    # Zone cuts
    Case(
        "into a cut",
        "x.into A",
        answer="into 60 IN DNAME cut\nx.into 60 IN CNAME x.cut",
        authority=CUT,
        additional=GLUE,
    ),
    Case("DNAME below a cut", "x.d.cut A", "NOERROR", authority=CUT, additional=GLUE),
    Case(
        "DNAME beside a cut",
        "x.both A",
        "NOERROR",
        authority="both 60 IN NS ns.cut",
        additional=GLUE,
    ),
    # Section 3.3: a wildcard is not expanded before the redirection.
    Case("wildcard DNAME", "x.star A", authority=SOA),
    Case("wildcard DNAME, asked for", "x.star DNAME", answer="x.star 60 IN DNAME t"),
    Case("below a wildcard DNAME", "www.x.star A", authority=SOA),
    Case(
        "below a literal star",
        "www.*.star A",
        answer="*.star 60 IN DNAME t\nwww.*.star 60 IN CNAME www.t\nwww.t 30 IN A 192.0.2.2",
    ),
    # Section 2.2: the new name is too long
    Case(
        "longest name",
        f"{'x' * 62}.long A",
        "NXDOMAIN AA",
        answer=f"long 60 IN DNAME {LONG}\n{'x' * 62}.long 60 IN CNAME {'x' * 62}.{LONG}",
        authority=SOA,
    ),
    Case("too long", f"{'x' * 63}.long A", "YXDOMAIN AA", answer=f"long 60 IN DNAME {LONG}"),
    Case(
        "too long at the end of a chain",
        f"{'x' * 63}.short A",
        "YXDOMAIN AA",
        answer=f"""short 60 IN DNAME long
            {"x" * 63}.short 60 IN CNAME {"x" * 63}.long
            long 60 IN DNAME {LONG}""",
    ),
]


@pytest.fixture(scope="module")
def core() -> Core:
    """A core with the zone above, live."""
    return core_with_zone(ZONE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_dname(core: Core, case: Case) -> None:
    """Each question gets exactly the answer of the table."""
    check(core, case)


def test_case_of_the_question_is_kept(core: Core) -> None:
    """RFC 4343 section 4.1: the labels below the DNAME are spelled as in the question."""
    reply = ask(core, "wWw.SecOND")
    cnames = [rrset for rrset in reply.answer if rrset.rdtype == dns.rdatatype.CNAME]
    spelled = [(rrset.name.to_text(), rrset[0].to_text()) for rrset in cnames]
    assert spelled == [
        ("wWw.SecOND.example.", "wWw.d.example."),
        ("wWw.d.example.", "wWw.T.example."),
    ]


def test_dname_precedes_its_cname(core: Core) -> None:
    """RFC 6672 section 3.2: resolvers check the CNAME against the DNAME before it."""
    types = [dns.rdatatype.to_text(rrset.rdtype) for rrset in ask(core, "back.d").answer]
    assert types == ["DNAME", "CNAME", "CNAME", "CNAME", "A"]


def test_dname_target_is_not_compressed(core: Core) -> None:
    """RFC 6672 section 2.5."""
    reply = core.answer(ask_wire("www.d.example."))
    assert reply is not None
    assert wire("T.example.") in reply


def ask_wire(name: str) -> bytes:
    """Return a query for A records."""
    return b"\0\1\0\0\0\1\0\0\0\0\0\0" + wire(name) + b"\0\1\0\1"


def test_names_below_the_apex_are_redirected() -> None:
    """RFC 6672 section 2.3: the apex keeps its records."""
    core = core_with_zone(ZONE)
    zone = (
        "@ 60 IN SOA ns h 1 1 1 1 1\n@ 60 IN NS ns\n@ 60 IN DNAME t.example.\nx 60 IN A 192.0.2.9\n"
    )
    load(core, zone, "old.test.")
    assert ask(core, "old.test.", "SOA").answer
    reply = ask(core, "www.old.test.")
    assert [dns.rdatatype.to_text(rrset.rdtype) for rrset in reply.answer] == [
        "DNAME",
        "CNAME",
        "A",
    ]
    assert ask(core, "x.old.test.").rcode() == dns.rcode.NXDOMAIN


def test_redirection_into_another_zone() -> None:
    """RFC 6672 section 3.2: after the substitution all our zones are searched again."""
    core = core_with_zone(ZONE)
    load(core, "@ 60 IN SOA ns h 1 1 1 1 9\nwww 30 IN A 192.0.2.9\n", "elsewhere.test.")
    reply = ask(core, "www.away")
    assert reply.flags & dns.flags.AA
    assert [dns.rdatatype.to_text(rrset.rdtype) for rrset in reply.answer] == [
        "DNAME",
        "CNAME",
        "A",
    ]
    missing = ask(core, "no.away")
    assert missing.rcode() == dns.rcode.NXDOMAIN
    assert [rrset.name.to_text() for rrset in missing.authority] == ["elsewhere.test."]


def test_zone_below_a_dname_answers_for_itself() -> None:
    """RFC 6672 section 3.2 step 2: the nearest zone answers."""
    core = core_with_zone(ZONE)
    load(
        core, "@ 60 IN SOA ns h 1 1 1 1 9\n@ 60 IN NS ns\nwww 30 IN A 192.0.2.9\n", "kid.d.example."
    )
    assert [rrset.rdtype for rrset in ask(core, "www.kid.d").answer] == [dns.rdatatype.A]
    assert [rrset.rdtype for rrset in ask(core, "kid.d", "DS").answer] == [
        dns.rdatatype.DNAME,
        dns.rdatatype.CNAME,
    ]


def test_redirection_into_a_loading_zone_fails() -> None:
    """A name is not denied while its zone is loading."""
    core = core_with_zone(ZONE)
    load(core, "www 30 IN A 192.0.2.9\n", "elsewhere.test.", state=STATE_LOADING)
    assert ask(core, "www.away").rcode() == dns.rcode.NOERROR
    failed = ask(core, "no.away")
    assert failed.rcode() == dns.rcode.SERVFAIL
    assert not failed.answer


def test_chain_is_followed_up_to_limit() -> None:
    """A chain of 16 aliases is followed; each DNAME comes once, with one CNAME for each name."""
    lines = ["@ 60 IN SOA ns h 1 1 1 1 1"]
    lines += [f"c{number} 60 IN DNAME c{number + 1}" for number in range(100)]
    reply = ask(core_with_zone("\n".join(lines) + "\n"), "x.c0", tcp=True)
    assert reply.rcode() == dns.rcode.NOERROR
    types = [rrset.rdtype for rrset in reply.answer]
    assert types == [dns.rdatatype.DNAME, dns.rdatatype.CNAME] * 16


def test_growing_name_ends(core: Core) -> None:
    """Two DNAME that lead below each other."""
    zone = f"@ 60 IN SOA ns h 1 1 1 1 1\na 60 IN DNAME {'x' * 30}.b\nb 60 IN DNAME {'y' * 30}.a\n"
    reply = ask(core_with_zone(zone), "q.a", tcp=True)
    assert reply.rcode() == dns.rcode.YXDOMAIN
    assert sum(rrset.rdtype == dns.rdatatype.DNAME for rrset in reply.answer) == 2


def test_answer_that_does_not_fit_is_truncated() -> None:
    """RFC 2181 section 9: TC says that the rest of the chain is missing."""
    label = "z" * 60
    lines = ["@ 60 IN SOA ns h 1 1 1 1 1"]
    lines += [f"c{n}.{label}.{label} 60 IN DNAME c{n + 1}.{label}.{label}" for n in range(4)]
    core = core_with_zone("\n".join(lines) + "\n")
    reply = ask(core, f"x.c0.{label}.{label}")
    assert reply.flags & dns.flags.TC
    assert reply.rcode() == dns.rcode.NOERROR
    assert len(ask(core, f"x.c0.{label}.{label}", tcp=True).answer) == 8


def test_dname_comes_and_goes() -> None:
    """Names below are redirected as long as the DNAME is there, and has not expired."""
    core = core_with_zone(ZONE)
    apex, owner = wire("example."), wire("ent.example.")
    target = rdata("DNAME", "t")
    assert core.apply([(apex, owner, 39, pack(60, [(1, target)]))]) == []
    assert ask(core, "www.ent").answer
    assert core.apply([(apex, owner, 39, pack(60, [(1, target)], expires=1))]) == []
    assert ask(core, "www.ent").rcode() == dns.rcode.NXDOMAIN
    assert core.apply([(apex, owner, 39, None)]) == []
    assert ask(core, "www.ent").rcode() == dns.rcode.NXDOMAIN


def test_owner_has_one_dname() -> None:
    """RFC 6672 section 2.4."""
    core = new_core()
    core.set_zone(wire("example."))
    records = [(1, rdata("DNAME", "a")), (1, rdata("DNAME", "b"))]
    refused = core.apply([(wire("example."), wire("d.example."), 39, pack(60, records))])
    assert refused == [(0, "2 records, expected one")]
