"""PROXY v2 from trusted networks: the client in the header is the client everywhere."""

import socket
from collections.abc import Iterator

import dns.message
import pytest
from dns.rcode import NOERROR, REFUSED

from musterd._core import Core
from tests.conformance.proxy import DGRAM, PROXY, STREAM, header, local, proxied
from tests.conformance.questions import Question
from tests.conformance.transport import frame, parse_address, receive, udp
from tests.dnskit import core_with_zone, listening

ZONE = "@ 60 IN SOA ns h 1 1 1 1 1\nwww 60 IN A 192.0.2.1\n"
QUERY = Question((b"www", b"example"), 1).wire(9)
FRIEND4, FRIEND6, STRANGER = "203.0.113.7", "2001:db8:7::7", "198.51.100.1"
TLV = b"\x04\0\x03abc"
"""A TLV of type NOOP."""
WRONG = {
    "no header": QUERY,
    "no signature": b"\0" + proxied(FRIEND4)[1:] + QUERY,
    "version 1": header(PROXY, 0x12, bytes(12), version=1) + QUERY,
    "version 3": header(PROXY, 0x12, bytes(12), version=3) + QUERY,
    "unknown command": header(2, 0x12, bytes(12)) + QUERY,
    "addresses cut, IPv4": header(PROXY, 0x12, bytes(11)) + QUERY,
    "addresses cut, IPv6": header(PROXY, 0x22, bytes(35)) + QUERY,
    "UNIX socket": header(PROXY, 0x32, bytes(216)) + QUERY,
    "longer than it is": header(PROXY, 0x12, bytes(400))[:-300],
    "header alone": proxied(FRIEND4),
}


@pytest.fixture
def core() -> Core:
    """A core that trusts 127.0.0.0/8, and answers two clients and the proxy itself."""
    allow = [FRIEND4, FRIEND6, "127.0.0.1"]
    return core_with_zone(ZONE, allow=allow, proxy_from=["127.0.0.0/8"])


def rcode(core: Core, packet: bytes, peer: str = "127.0.0.1") -> int | None:
    """Return the response code for a UDP packet from a peer, None without a reply."""
    reply = core.answer(packet, peer)
    return None if reply is None else int(dns.message.from_wire(reply).rcode())


@pytest.mark.parametrize("transport", [STREAM, DGRAM])
@pytest.mark.parametrize("client", [FRIEND4, FRIEND6])
def test_allowed_client_behind_proxy_is_answered(core: Core, client: str, transport: int) -> None:
    """The access list applies to the client, for any transport in the header."""
    assert rcode(core, proxied(client, transport) + QUERY) == NOERROR
    assert rcode(core, proxied(client, transport, TLV) + QUERY) == NOERROR


@pytest.mark.parametrize("client", [STRANGER, "2001:db8::1"])
def test_forbidden_client_behind_proxy_is_refused(core: Core, client: str) -> None:
    """The access list must allow the client; allowing the proxy is not enough."""
    assert rcode(core, proxied(client) + QUERY) == REFUSED


def test_ipv4_mapped_client_is_ipv4_client(core: Core) -> None:
    """``::ffff:a.b.c.d``."""
    assert rcode(core, proxied(f"::ffff:{FRIEND4}") + QUERY) == NOERROR


def test_header_without_client_means_peer(core: Core) -> None:
    """LOCAL and UNSPEC."""
    assert rcode(core, local() + QUERY) == NOERROR
    assert rcode(core, local(TLV) + QUERY) == NOERROR
    assert rcode(core, header(PROXY, 0, b"") + QUERY) == NOERROR
    assert rcode(core, local() + QUERY, "127.0.0.9") == REFUSED


@pytest.mark.parametrize("packet", WRONG.values(), ids=WRONG)
def test_invalid_header_gets_no_reply(core: Core, packet: bytes) -> None:
    """A trusted proxy must send a valid header; others are counted."""
    before = core.counters()["proxy_bad"]
    assert rcode(core, packet) is None
    assert packet == WRONG["header alone"] or core.counters()["proxy_bad"] == before + 1


def test_truncated_header_gets_no_reply(core: Core) -> None:
    """No part of a header is parsed as a query."""
    whole = proxied(FRIEND4)
    for size in range(len(whole)):
        assert rcode(core, whole[:size]) is None


def test_untrusted_header_is_malformed_query(core: Core) -> None:
    """A forged header can't be used to evade the access list."""
    reply = core.answer(proxied(FRIEND4) + QUERY, STRANGER)
    assert reply is None or dns.message.from_wire(reply, ignore_trailing=True).rcode() != NOERROR
    assert rcode(core, QUERY, FRIEND4) == NOERROR


@pytest.fixture
def address(core: Core) -> Iterator[tuple[str, int]]:
    """Address of the core."""
    with listening(core) as bound:
        yield parse_address(bound[0])


def test_udp_reply_goes_to_proxy(address: tuple[str, int]) -> None:
    """The reply has no header."""
    reply = udp(address, proxied(FRIEND4) + QUERY)
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == NOERROR


@pytest.mark.parametrize("client", [FRIEND4, FRIEND6])
def test_tcp_header_applies_to_connection(address: tuple[str, int], client: str) -> None:
    """One header at the start of the connection, then any number of queries."""
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(proxied(client, STREAM, TLV) + frame(QUERY))
        for _ in range(3):
            reply = receive(sock)
            assert reply is not None
            assert dns.message.from_wire(reply).rcode() == NOERROR
            sock.sendall(frame(QUERY))


def test_tcp_header_may_arrive_in_pieces(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in proxied(STRANGER, STREAM) + frame(QUERY):
            sock.sendall(bytes([byte]))
        reply = receive(sock)
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == REFUSED


def test_tcp_header_without_client(address: tuple[str, int]) -> None:
    """LOCAL, then a query of the proxy's own."""
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(local() + frame(QUERY))
        reply = receive(sock)
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == NOERROR


@pytest.mark.parametrize("start", [frame(QUERY), b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 1.2.3.4 "])
def test_tcp_connection_without_header_is_closed(address: tuple[str, int], start: bytes) -> None:
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(start)
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            return
