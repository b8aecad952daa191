"""Questions with wildcard labels, as in SkyDNS: the records of every name that matches."""

import dns.flags
import dns.rcode
import pytest

from musterd._core import POLICY_ONE, STATE_LOADING, STATE_STALE, Core
from tests.conformance.table import Case, check
from tests.dnskit import ask, core_with_zone, load, pack, rdata, wire

ZONE = """
@ 3600 IN SOA ns hostmaster 7 7200 1800 86400 60
@ 3600 IN NS ns
ns 300 IN A 192.0.2.53
a.r1 300 IN A 192.0.2.1
a.r1 300 IN TXT "a"
b.r1 60 IN A 192.0.2.2
b.r1 60 IN MX 10 a.r1
c.r1 300 IN A 192.0.2.2
c.r1 300 IN AAAA 2001:db8::1
a.r2 300 IN A 192.0.2.3
x.b.r2 300 IN A 192.0.2.4
_http._tcp.r1 300 IN SRV 0 30 80 a.r1
_http._tcp.r2 300 IN SRV 0 10 80 a.r2
_http._tcp.r3 300 IN SRV 5 10 81 a.r2
only.one 300 IN A 192.0.2.9
*.star 300 IN A 192.0.2.5
m.star 300 IN A 192.0.2.6
any.word 300 IN A 192.0.2.7
n.word 300 IN A 192.0.2.8
one.alias 300 IN CNAME a.r1
two.alias 200 IN CNAME A.r1
one.mixed 300 IN CNAME a.r1
two.mixed 300 IN CNAME second
three.mixed 300 IN CNAME elsewhere.test.
four.mixed 250 IN A 192.0.2.10
second 100 IN CNAME a.r2
one.loop 300 IN CNAME two.loop
two.loop 300 IN CNAME one.loop
cut.deleg 300 IN NS ns
x.cut.deleg 300 IN A 192.0.2.11
own.deleg 300 IN A 192.0.2.12
x.own.deleg 300 IN A 192.0.2.13
d.redir 300 IN DNAME r1
d.redir 300 IN A 192.0.2.14
e.redir 300 IN A 192.0.2.15
a.e.redir 300 IN A 192.0.2.16
to 300 IN CNAME *.r1
one.svcb 300 IN HTTPS 1 . alpn=h2
two.svcb 300 IN HTTPS 1 a.r1
"""
SOA = "@ 60 IN SOA ns hostmaster 7 7200 1800 86400 60"

CASES = [
    Case(
        "first label",
        "*.r1 A",
        answer="*.r1 60 IN A 192.0.2.1\n*.r1 60 IN A 192.0.2.2",
    ),
    Case("any", "any.r1 AAAA", answer="any.r1 300 IN AAAA 2001:db8::1"),
    Case("second label", "a.* A", answer="a.* 300 IN A 192.0.2.1\na.* 300 IN A 192.0.2.3"),
    Case("only names of this depth", "*.r2 A", answer="*.r2 300 IN A 192.0.2.3"),
    Case("two wildcards", "*.any.r2 A", answer="*.any.r2 300 IN A 192.0.2.4"),
    Case(
        "MX with addresses",
        "*.r1 MX",
        answer="*.r1 60 IN MX 10 a.r1",
        additional="a.r1 300 IN A 192.0.2.1",
    ),
    Case("TXT", "any.any TXT", answer='any.any 300 IN TXT "a"'),
    Case(
        "weights are shares of 100 for each priority",
        "_http._tcp.* SRV",
        answer="_http._tcp.* 300 IN SRV 0 75 80 a.r1\n_http._tcp.* 300 IN SRV 0 25 80 a.r2\n"
        "_http._tcp.* 300 IN SRV 5 100 81 a.r2",
        additional="a.r1 300 IN A 192.0.2.1\na.r2 300 IN A 192.0.2.3",
    ),
    Case("one name is answered as it is", "*.one A", answer="*.one 300 IN A 192.0.2.9"),
    Case("no type", "*.one AAAA", authority=SOA),
    Case("no name", "*.none A", "NXDOMAIN AA", authority=SOA),
    Case("no name above a match", "x.*.one A", "NXDOMAIN AA", authority=SOA),
    Case("empty non-terminal", "any.any.r2 TXT", authority=SOA),
    Case(
        "a stored star is one of the names",
        "any.star A",
        answer="any.star 300 IN A 192.0.2.5\nany.star 300 IN A 192.0.2.6",
    ),
    Case(
        "a stored star covers what matches no name",
        "x.any.star A",
        answer="x.any.star 300 IN A 192.0.2.5",
    ),
    Case(
        "any may be a name",
        "any.word A",
        answer="any.word 300 IN A 192.0.2.7\nany.word 300 IN A 192.0.2.8",
    ),
    Case(
        "one alias",
        "*.alias A",
        answer="*.alias 300 IN CNAME a.r1\na.r1 300 IN A 192.0.2.1",
    ),
    Case("one alias as such", "*.alias CNAME", answer="*.alias 300 IN CNAME a.r1"),
    Case("one alias for ANY", "*.alias ANY", answer="*.alias 300 IN CNAME a.r1"),
    Case(
        "aliases beside others",
        "*.mixed A",
        answer="*.mixed 250 IN A 192.0.2.1\n*.mixed 250 IN A 192.0.2.3\n"
        "*.mixed 250 IN A 192.0.2.10",
    ),
    Case("no CNAME beside others", "*.mixed CNAME", authority=SOA),
    Case("aliases in a loop", "*.loop A", authority=SOA),
    Case("no name below a cut", "x.*.deleg A", answer="x.*.deleg 300 IN A 192.0.2.13"),
    Case("no cut", "*.deleg A", answer="*.deleg 300 IN A 192.0.2.12"),
    Case("no delegation", "*.deleg NS", authority=SOA),
    Case(
        "referral",
        "*.cut.deleg A",
        "NOERROR",
        authority="cut.deleg 300 IN NS ns",
        additional="ns 300 IN A 192.0.2.53",
    ),
    Case("no name below a DNAME", "a.*.redir A", answer="a.*.redir 300 IN A 192.0.2.16"),
    Case(
        "a DNAME has records of its own",
        "*.redir A",
        answer="*.redir 300 IN A 192.0.2.14\n*.redir 300 IN A 192.0.2.15",
    ),
    Case("no DNAME", "*.redir DNAME", authority=SOA),
    Case(
        "redirection",
        "any.d.redir A",
        answer="d.redir 300 IN DNAME r1\nany.d.redir 300 IN CNAME any.r1",
        status="NXDOMAIN AA",
        authority=SOA,
    ),
    Case(
        "the target of an alias is no question",
        "to A",
        "NXDOMAIN AA",
        answer="to 300 IN CNAME *.r1",
        authority=SOA,
    ),
    Case(
        "the owner of a service is its name",
        "*.svcb HTTPS",
        answer='*.svcb 300 IN HTTPS 1 one.svcb alpn="h2"\n*.svcb 300 IN HTTPS 1 a.r1',
        additional="a.r1 300 IN A 192.0.2.1",
    ),
    Case("case is ignored", "ANY.One A", answer="ANY.One 300 IN A 192.0.2.9"),
    Case("a part of a label", "*a.r1 A", "NXDOMAIN AA", authority=SOA),
    Case("the apex", "@ SOA", answer=SOA.replace("@ 60", "@ 3600")),
]


@pytest.fixture(scope="module")
def core() -> Core:
    made = core_with_zone(ZONE)
    made.set_wildcard_queries(wire("example."), True)
    return made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_wildcard_query(core: Core, case: Case) -> None:
    check(core, case)


@pytest.mark.parametrize("case", [case for case in CASES if case.id == "no name"], ids=str)
@pytest.mark.parametrize("question", ["*.r1 A", "any.r1 A", "a.* A"])
def test_labels_are_literal_by_default(case: Case, question: str) -> None:
    made = core_with_zone(ZONE)
    for wanted in (True, False):
        made.set_wildcard_queries(wire("example."), wanted)
    check(made, Case("literal", question, case.status, authority=case.authority))
    assert made.matching(wire("*.r1.example."), 9) is None


def test_any_has_one_rrset(core: Core) -> None:
    (rrset,) = ask(core, "*.r1", "ANY", tcp=True).answer
    assert len(rrset) in {1, 2}


def test_changes_are_seen() -> None:
    made = core_with_zone(ZONE)
    apex = wire("example.")
    made.set_wildcard_queries(apex, True)
    made.apply([(apex, wire("x.y.new.example."), 1, pack(5, [(1, bytes([10, 0, 0, 9]))]))])
    assert [str(rr) for rrset in ask(made, "x.*.new", "A").answer for rr in rrset] == ["10.0.0.9"]
    made.apply([(apex, wire("x.y.new.example."), 1, None)])
    assert ask(made, "x.*.new", "A").rcode() == dns.rcode.NXDOMAIN
    assert ask(made, "*.new", "A").rcode() == dns.rcode.NXDOMAIN


def test_policy_selects_from_all_names() -> None:
    made = core_with_zone("@ 60 IN SOA ns hostmaster 7 7200 1800 86400 60")
    apex = wire("example.")
    made.set_wildcard_queries(apex, True)
    made.apply(
        [
            (
                apex,
                wire(f"n{n}.example."),
                1,
                pack(5, [(1, bytes([10, 0, 0, n]))], policy=POLICY_ONE),
            )
            for n in range(8)
        ]
    )
    seen = {str(rr) for _ in range(200) for rr in ask(made, "*", "A").answer[0]}
    assert len(seen) > 4
    assert all(len(ask(made, "*", "A").answer[0]) == 1 for _ in range(20))


def many(count: int, records: int = 1) -> Core:
    """Create a core with many names, each with some addresses."""
    made = core_with_zone("@ 60 IN SOA ns hostmaster 7 7200 1800 86400 60")
    apex = wire("example.")
    made.set_wildcard_queries(apex, True)
    rows = [
        (apex, wire(f"n{n}.example."), 1,
         pack(5, [(1, bytes([r, 0, n >> 8, n & 255])) for r in range(records)]))
        for n in range(count)
    ]  # fmt: skip
    assert made.apply(rows) == []
    return made


def test_many_names_fit() -> None:
    assert len(ask(many(2000), "*", "A", tcp=True).answer[0]) == 2000


def test_large_answer_is_truncated_on_udp() -> None:
    message = ask(many(200), "*", "A")
    assert "TC" in dns.flags.to_text(message.flags)
    assert message.rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize(("names", "records"), [(2001, 1), (100, 50)])
def test_too_much_is_an_error(names: int, records: int) -> None:
    message = ask(many(names, records), "*", "A", tcp=True, use_edns=0)
    assert message.rcode() == dns.rcode.SERVFAIL
    assert [option.to_wire() for option in message.options] == [(21).to_bytes(2, "big")]
    assert not message.answer
    assert not message.authority


def test_names_that_have_to_be_skipped_count_more() -> None:
    made = many(0)
    apex = wire("example.")
    for count, rcode in ((390, dns.rcode.NOERROR), (420, dns.rcode.SERVFAIL)):
        rows = [(apex, wire(f"x.n{n}.example."), 1, pack(5, [(1, bytes(4))])) for n in range(count)]
        made.apply(rows)
        assert ask(made, "*", "A").rcode() == rcode


def test_state_of_the_zone_counts() -> None:
    made = core_with_zone(ZONE)
    apex = wire("example.")
    made.set_wildcard_queries(apex, True)
    made.set_state(apex, STATE_LOADING)
    assert ask(made, "*.r1", "A").rcode() == dns.rcode.NOERROR
    for question in ("*.none A", "*.one AAAA"):
        assert ask(made, *question.split()).rcode() == dns.rcode.SERVFAIL
    made.set_state(apex, STATE_STALE)
    options = ask(made, "*.r1", "A", use_edns=0).options
    assert [option.to_wire() for option in options] == [(3).to_bytes(2, "big")]


def test_alias_into_a_loading_zone_is_unknown() -> None:
    made = core_with_zone(
        "@ 60 IN SOA ns h 7 7200 1800 86400 60\na.x CNAME y.other.\nb.x A 10.0.0.1"
    )
    load(made, "@ 60 IN SOA ns h 7 7200 1800 86400 60", "other.", state=STATE_LOADING)
    made.set_wildcard_queries(wire("example."), True)
    message = ask(made, "*.x", "A")
    assert (message.rcode(), len(message.answer)) == (dns.rcode.SERVFAIL, 0)


def test_names_of_zones_below_are_theirs() -> None:
    made = core_with_zone("@ 60 IN SOA ns h 7 7200 1800 86400 60\na A 10.0.0.1")
    load(made, "@ 60 IN SOA ns h 7 7200 1800 86400 60\n@ A 10.0.0.2", "sub.example.")
    made.set_wildcard_queries(wire("example."), True)
    assert [str(rr) for rr in ask(made, "*", "A").answer[0]] == ["10.0.0.1"]


def test_labels_of_the_apex_are_literal() -> None:
    made = core_with_zone("@ 60 IN SOA ns h 7 7200 1800 86400 60\na A 10.0.0.1", "any.example.")
    made.set_wildcard_queries(wire("any.example."), True)
    assert ask(made, "b.any.example.", "A").rcode() == dns.rcode.NXDOMAIN
    assert len(ask(made, "*.any.example.", "A").answer) == 1


def test_expired_records_do_not_match() -> None:
    made = core_with_zone("@ 60 IN SOA ns h 7 7200 1800 86400 60")
    apex = wire("example.")
    made.set_wildcard_queries(apex, True)
    made.apply([(apex, wire("a.x.example."), 1, pack(5, [(1, bytes(4))], expires=1))])
    assert ask(made, "*.x", "A").rcode() == dns.rcode.NXDOMAIN


def test_unknown_zone_is_an_error() -> None:
    with pytest.raises(KeyError):
        Core().set_wildcard_queries(wire("none."), True)


def test_matching_names_are_listed(core: Core) -> None:
    found = core.matching(wire("*.R1.example."), 3)
    assert found == [wire(f"{name}.r1.example.") for name in ("a", "b", "c")]
    assert core.matching(wire("a.r1.example."), 3) is None
    assert core.matching(wire("*.none.example."), 3) == []
    assert core.matching(wire("*.elsewhere."), 3) is None
    with pytest.raises(ValueError, match="no wire name"):
        core.matching(b"\x05ab", 3)


def test_shares_keep_small_weights() -> None:
    made = core_with_zone("@ 60 IN SOA ns h 7 7200 1800 86400 60")
    apex = wire("example.")
    made.set_wildcard_queries(apex, True)
    made.apply(
        [
            (
                apex,
                wire(f"{name}.example."),
                33,
                pack(5, [(weight, rdata("SRV", f"1 100 1 {name}"))]),
            )
            for name, weight in (("a", 1), ("b", 60000))
        ]
    )
    weights = {str(rr.target): rr.weight for rr in ask(made, "*", "SRV", tcp=True).answer[0]}
    assert weights == {"a.example.": 1, "b.example.": 99}
