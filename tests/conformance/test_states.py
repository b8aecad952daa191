"""States of zones: loading, live, stale, dropped; records that expire or change."""

import socket
import threading
import time

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
from dns.rcode import NOERROR, NXDOMAIN, REFUSED, SERVFAIL

from musterd._core import STATE_LIVE, STATE_LOADING, STATE_STALE, Core
from tests.conformance.questions import Edns, Question
from tests.conformance.transport import parse_address
from tests.dnskit import (
    ask,
    core_with_zone,
    listening,
    load,
    make_query,
    new_core,
    pack,
    rdata,
    wire,
)

APEX = wire("example.")
ZONE = """
@ 60 IN SOA ns h 1 1 1 1 1
www 60 IN A 192.0.2.1
alias 60 IN CNAME www
dangling 60 IN CNAME new
a.ent 60 IN A 192.0.2.2
"""
EDE = 15


def ede(core: Core, name: str, rtype: str = "A") -> tuple[int, int | None]:
    """Return response code and EDE code."""
    reply = ask(core, name, rtype, use_edns=0)
    found = [option.to_wire() for option in reply.options if option.otype == EDE]
    return int(reply.rcode()), int.from_bytes((found[0] or b"")[:2], "big") if found else None


def in_state(state: int) -> Core:
    """Return a core with the zone above in a state."""
    core = new_core()
    load(core, ZONE, state=state)
    return core


@pytest.mark.parametrize("name", ["new", "www.new", "ent", "dangling"])
def test_loading_zone_gives_no_negative_answer(name: str) -> None:
    """RFC 8914 section 4.15: SERVFAIL with "Not Ready", not authoritative, no records."""
    core = in_state(STATE_LOADING)
    assert ede(core, name) == (SERVFAIL, 14)
    reply = ask(core, name)
    assert not reply.flags & dns.flags.AA
    assert (reply.answer, reply.authority) == ([], [])
    assert ede(core, "www", "TXT") == (SERVFAIL, 14)


def test_loading_zone_answers_known_records() -> None:
    core = in_state(STATE_LOADING)
    assert ede(core, "www") == (NOERROR, None)
    assert len(ask(core, "alias").answer) == 2
    core.set_state(APEX, STATE_LIVE)
    assert ede(core, "new") == (NXDOMAIN, None)


def test_stale_zone_answers_with_ede() -> None:
    """RFC 8914 section 4.4: all answers have "Stale Answer"; TTLs don't change."""
    core = in_state(STATE_STALE)
    for name, rcode in (("www", NOERROR), ("new", NXDOMAIN), ("ent", NOERROR), ("alias", NOERROR)):
        assert ede(core, name) == (rcode, 3)
    reply = ask(core, "www")
    assert reply.flags & dns.flags.AA
    assert reply.answer[0].ttl == 60
    core.set_state(APEX, STATE_LIVE)
    assert ede(core, "www") == (NOERROR, None)


@pytest.mark.parametrize(
    ("state", "codes"),
    [
        (STATE_LIVE, [(NOERROR, 3), (NXDOMAIN, 3)]),
        (STATE_LOADING, [(NOERROR, 3), (SERVFAIL, 14)]),
        (STATE_STALE, [(NOERROR, 3), (NXDOMAIN, 3)]),
    ],
)
def test_answers_are_stale_after_heartbeat_deadline(
    state: int, codes: list[tuple[int, int]]
) -> None:
    """RFC 8914 section 4.4: in any state, from the deadline that was not extended."""
    core = in_state(state)
    before = [ede(core, name) for name in ("www", "new")]
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    core.live_until(now)
    assert [ede(core, name) for name in ("www", "new")] == codes
    core.live_until(now + 10**12)
    assert [ede(core, name) for name in ("www", "new")] == before


def test_listeners_apply_heartbeat_deadline() -> None:
    """Over UDP and TCP, without an event at the deadline."""
    core = in_state(STATE_LIVE)
    query = make_query("www", use_edns=0)
    core.live_until(time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 20_000_000)
    with listening(core) as bound:
        host, port = parse_address(bound[0])
        for send in (dns.query.udp, dns.query.tcp):
            while not send(query, host, port=port, timeout=10).options:
                pass


def test_new_zone_is_loading_and_empty() -> None:
    core = new_core()
    assert ede(core, "www") == (REFUSED, 20)
    core.set_zone(APEX)
    assert ede(core, "www") == (SERVFAIL, 14)
    assert [(apex, state) for apex, state, _, _ in core.zones()] == [(APEX, STATE_LOADING)]


def test_set_zone_keeps_existing_zone() -> None:
    core = in_state(STATE_LIVE)
    core.set_zone(APEX)
    core.set_zone(wire("EXAMPLE."))
    assert ede(core, "www") == (NOERROR, None)
    assert len(core.zones()) == 1


def test_dropped_zone_is_refused() -> None:
    """A new zone of the same name is empty."""
    core = in_state(STATE_LIVE)
    core.drop_zone(APEX)
    assert ede(core, "www") == (REFUSED, 20)
    core.set_zone(APEX)
    core.set_state(APEX, STATE_LIVE)
    assert ede(core, "www") == (NXDOMAIN, None)


def test_error_names_unknown_zone() -> None:
    with pytest.raises(KeyError):
        new_core().set_state(APEX, STATE_LIVE)


def test_records_expire_by_boot_clock() -> None:
    """Without an update of the core."""
    core = core_with_zone(ZONE)
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    record = [(1, rdata("A", "192.0.2.9"))]
    owner = wire("leased.example.")
    for expires, rcode in ((now - 1, NXDOMAIN), (now + 10**12, NOERROR), (0, NOERROR)):
        assert core.apply([(APEX, owner, 1, pack(60, record, expires=expires))]) == []
        assert ask(core, "leased").rcode() == rcode
    soon = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 20_000_000
    assert core.apply([(APEX, owner, 1, pack(60, record, expires=soon))]) == []
    while time.clock_gettime_ns(time.CLOCK_BOOTTIME) <= soon:
        ask(core, "leased")
    assert ask(core, "leased").rcode() == NXDOMAIN


def test_expired_rrset_leaves_other_types() -> None:
    """The name stays; an expired alias or cut no longer hides other records."""
    core = core_with_zone(ZONE)
    data = {
        "A": rdata("A", "192.0.2.9"),
        "NS": rdata("NS", "ns.elsewhere."),
        "CNAME": rdata("CNAME", "www"),
    }

    def put(name: str, rtype: str, expires: int) -> None:
        packed = pack(60, [(1, data[rtype])], expires=expires)
        row = (APEX, wire(f"{name}.example."), int(dns.rdatatype.from_text(rtype)), packed)
        assert core.apply([row]) == []

    put("www", "A", 1)
    assert core.apply([(APEX, wire("www.example."), 16, pack(60, [(1, b"\1x")]))]) == []
    assert (ask(core, "www").rcode(), ask(core, "www").answer) == (NOERROR, [])
    assert ask(core, "www", "TXT").answer
    put("old", "CNAME", 1)
    assert ask(core, "old").rcode() == NXDOMAIN
    put("cut", "NS", 1)
    assert ask(core, "x.cut").rcode() == NXDOMAIN


def test_removed_rrset_removes_empty_names() -> None:
    """A name is removed with its last RRset, and so are empty non-terminals above it."""
    core = core_with_zone(ZONE)
    for name in ("www", "a.ent"):
        assert core.apply([(APEX, wire(f"{name}.example."), 1, None)]) == []
        assert ask(core, name).rcode() == NXDOMAIN
    assert ask(core, "ent").rcode() == NXDOMAIN
    assert core.apply([(APEX, wire("never.example."), 1, None)]) == []


@pytest.mark.parametrize(
    "row",
    [
        (wire("unknown."), wire("www.unknown."), 1, pack(60, [(1, bytes(4))])),
        (APEX, wire("www.elsewhere."), 1, pack(60, [(1, bytes(4))])),
        (APEX, b"\x03www", 1, pack(60, [(1, bytes(4))])),
        (APEX, b"\x03www\xc0\x00", 1, pack(60, [(1, bytes(4))])),
        (APEX, wire("www.example."), 1, b""),
        (APEX, wire("www.example."), 1, pack(60, [(1, bytes(4))])[:-1]),
        (APEX, wire("www.example."), 1, pack(60, [(1, bytes(4))]) + b"x"),
        (APEX, wire("www.example."), 1, pack(60, [(1, bytes(5))])),
        (APEX, wire("www.example."), 28, pack(60, [(1, bytes(4))])),
        (APEX, wire("www.example."), 5, pack(60, [(1, b"\x03www")])),
        (APEX, wire("www.example."), 5, pack(60, [(1, b"\xc0\x0c")])),
        (APEX, wire("www.example."), 33, pack(60, [(1, bytes(6))])),
        (APEX, wire("www.example."), 15, pack(60, [(1, b"\0\1")])),
        (APEX, wire("www.example."), 6, pack(60, [(1, b"\0\0")])),
        (APEX, wire("www.example."), 1, pack(60, [(1, bytes(4))], policy=99)),
    ],
    ids=["zone", "outside", "owner cut", "owner compressed", "empty", "cut", "more", "A of 5",
         "AAAA of 4", "CNAME cut", "CNAME compressed", "SRV cut", "MX cut", "SOA cut", "policy"],
)  # fmt: skip
def test_invalid_row_is_rejected(row: tuple[bytes, bytes, int, bytes]) -> None:
    """With a reason; other rows are applied, and existing records stay."""
    core = core_with_zone(ZONE)
    good = (APEX, wire("zzz.example."), 1, pack(60, [(1, bytes(4))]))
    ((index, reason),) = core.apply([row, good])
    assert (index, bool(reason)) == (0, True)
    assert ask(core, "zzz").answer
    assert ask(core, "www").answer[0][0].to_text() == "192.0.2.1"


@pytest.mark.slow
def test_changes_are_atomic() -> None:
    """An answer has the records of a single change, never of two."""
    core = core_with_zone(ZONE)
    owner, done = wire("set.example."), threading.Event()

    def change() -> None:
        for turn in range(20_000):
            addresses = [rdata("A", f"10.0.{turn % 250}.{last}") for last in range(1, 9)]
            assert core.apply([(APEX, owner, 1, pack(60, [(1, a) for a in addresses]))]) == []
        done.set()

    query = Question((b"set", b"example"), 1, edns=Edns()).wire()
    with listening(core) as bound, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(parse_address(bound[0]))
        sock.settimeout(10)
        writer = threading.Thread(target=change)
        writer.start()
        seen = set()
        while not done.is_set():
            sock.send(query)
            message = dns.message.from_wire(sock.recv(4096))
            if message.rcode() == NXDOMAIN:
                continue
            (rrset,) = message.answer
            turns = {item.to_text().split(".")[2] for item in rrset}
            assert len(rrset) == 8
            assert len(turns) == 1
            seen |= turns
        writer.join()
    assert len(seen) > 1
