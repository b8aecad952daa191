"""RFC 7766, 7828, 9210: pipelined and fragmented queries, and connections that are closed."""

import socket
import struct
from collections.abc import Iterator

import dns.message
import pytest

from musterd._core import Core
from tests.conformance.questions import Edns, Question
from tests.conformance.transport import Address, frame, parse_address, receive
from tests.dnskit import core_with_zone, listening

LINES = "".join(f"n{number} 60 IN A 10.0.0.{number}\n" for number in range(200))
BIG = "".join(f'big 60 IN TXT "{number}" "{"b" * 250}"\n' for number in range(220))
ZONE = "@ 60 IN SOA ns h 1 1 1 1 1\n" + LINES + BIG
SECONDS = 10.0


def query(number: int) -> bytes:
    """Return the framed query ``nNUMBER A`` with the number as id."""
    return frame(Question((b"n%d" % number, b"example"), 1).wire(number))


BIG_QUERY = frame(Question((b"big", b"example"), 16).wire(7))


@pytest.fixture
def core() -> Core:
    """A core with 200 names and an RRset of 56,000 bytes."""
    return core_with_zone(ZONE)


@pytest.fixture
def address(core: Core) -> Iterator[Address]:
    """Address of the core."""
    with listening(core) as bound:
        yield parse_address(bound[0])


def connect(address: Address) -> socket.socket:
    """Return a connection whose reads time out."""
    return socket.create_connection(address, timeout=SECONDS)


def collect(sock: socket.socket, count: int) -> list[int]:
    """Return the ids of a number of replies, each with one address."""
    ids = []
    for _ in range(count):
        reply = receive(sock)
        assert reply is not None
        message = dns.message.from_wire(reply)
        (rrset,) = message.answer
        assert rrset[0].to_text() == f"10.0.0.{message.id}"
        ids.append(message.id)
    return ids


def closed(sock: socket.socket) -> bool:
    """Wait for the end of the connection; return whether the server closed it."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_pipelined_queries_are_answered(address: Address) -> None:
    """RFC 7766 section 6.2.1.1: each exactly once."""
    with connect(address) as sock:
        sock.sendall(b"".join(query(number) for number in range(200)))
        assert sorted(collect(sock, 200)) == list(range(200))


def test_connection_serves_many_queries(address: Address) -> None:
    """RFC 7766 section 6.2.1."""
    with connect(address) as sock:
        for number in range(50):
            sock.sendall(query(number))
            assert collect(sock, 1) == [number]


def test_query_may_arrive_in_pieces(address: Address) -> None:
    """RFC 7766 section 8: byte by byte, including its length."""
    with connect(address) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in query(1) + query(2):
            sock.sendall(bytes([byte]))
        assert collect(sock, 2) == [1, 2]


def test_complete_query_is_answered_before_partial_one(address: Address) -> None:
    data = query(1) + query(2)
    with connect(address) as sock:
        sock.sendall(data[:-5])
        assert collect(sock, 1) == [1]
        sock.sendall(data[-5:])
        assert collect(sock, 1) == [2]


def test_half_closed_connection_gets_answers(address: Address) -> None:
    """RFC 7766 section 6.2.4: then the server closes it."""
    with connect(address) as sock:
        sock.sendall(b"".join(query(number) for number in range(100)))
        sock.shutdown(socket.SHUT_WR)
        assert len(collect(sock, 100)) == 100
        assert closed(sock)


def test_slow_reader_loses_no_answer(address: Address) -> None:
    """Answers of 56,000 bytes accumulate while other clients are served."""
    count = 300
    with connect(address) as sock, connect(address) as other:
        sock.sendall(BIG_QUERY * count)
        other.sendall(query(5))
        assert collect(other, 1) == [5]
        for _ in range(count):
            reply = receive(sock)
            assert reply is not None
            assert len(reply) > 56_000


def test_server_survives_client_that_disconnects(address: Address) -> None:
    for _ in range(20):
        sock = connect(address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(BIG_QUERY * 50)
        sock.close()
    with connect(address) as sock:
        sock.sendall(query(1))
        assert collect(sock, 1) == [1]


@pytest.mark.parametrize("junk", [b"\0\0", b"\0\x01x", b"\0\x0b" + bytes(11)])
def test_incomplete_header_closes_connection(address: Address, junk: bytes) -> None:
    """There is no id for a reply."""
    with connect(address) as sock:
        sock.sendall(query(1) + junk)
        assert collect(sock, 1) == [1]
        assert closed(sock)


def test_reply_closes_connection(address: Address) -> None:
    """QR=1 is not a query."""
    reply = bytearray(query(1))
    reply[4] |= 0x80
    with connect(address) as sock:
        sock.sendall(reply)
        assert closed(sock)


def test_malformed_query_keeps_connection(address: Address) -> None:
    """FORMERR has an id, so the client can continue."""
    bad = frame(Question((b"n1", b"example"), 1).wire(9) + b"junk")
    with connect(address) as sock:
        sock.sendall(bad + query(3))
        reply = receive(sock)
        assert reply is not None
        assert (reply[:2], reply[3] & 15) == (b"\0\x09", 1)
        assert collect(sock, 1) == [3]


def test_longest_message_is_answered(address: Address) -> None:
    """RFC 1035 section 4.2.2: 65535 bytes, mostly an unknown option."""
    plain = Question((b"n3", b"example"), 1, edns=Edns()).wire(3)
    option = (65001, bytes(65535 - len(plain) - 4))
    longest = Question((b"n3", b"example"), 1, edns=Edns(options=(option,))).wire(3)
    assert len(longest) == 65535
    with connect(address) as sock:
        sock.sendall(frame(longest) * 2)
        assert collect(sock, 2) == [3, 3]


@pytest.mark.slow
@pytest.mark.parametrize("start", [b"", b"\0", b"\0\x1d\0\x01"], ids=["silent", "length", "query"])
def test_idle_connection_is_closed(start: bytes) -> None:
    """RFC 7766 section 6.2.3: after the idle time, also within a query."""
    core = core_with_zone(ZONE, tcp_idle=0.2)
    with listening(core) as bound, connect(parse_address(bound[0])) as sock:
        sock.sendall(start)
        assert closed(sock)


@pytest.mark.slow
def test_slow_client_is_closed() -> None:
    """RFC 9210 section 4.2: bytes of an incomplete query don't keep a connection open."""
    core = core_with_zone(ZONE, tcp_idle=0.3)
    with listening(core) as bound, connect(parse_address(bound[0])) as sock:
        sock.settimeout(0.05)
        sock.sendall(b"\x10\0")
        for _ in range(200):
            try:
                sock.sendall(b"x")
                if sock.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                return
        pytest.fail("still open after ten seconds")


def test_connection_limit_closes_idlest_connection() -> None:
    """RFC 7766 section 6.2.2: the connection that was idle longest is closed."""
    core = core_with_zone(ZONE, tcp_clients=3)
    with listening(core) as bound:
        address = parse_address(bound[0])
        socks = [connect(address) for _ in range(3)]
        for number, sock in enumerate(socks):
            sock.sendall(query(number))
            assert collect(sock, 1) == [number]
        with connect(address) as fourth:
            fourth.sendall(query(4))
            assert collect(fourth, 1) == [4]
        assert closed(socks[0])
        for sock in socks[1:]:
            sock.sendall(query(1))
            assert collect(sock, 1) == [1]
        for sock in socks:
            sock.close()


def test_connections_are_counted(core: Core, address: Address) -> None:
    """Opened and closed."""
    with connect(address) as sock:
        sock.sendall(query(1))
        collect(sock, 1)
        assert core.counters()["tcp_open"] == 1
        sock.shutdown(socket.SHUT_WR)
        assert closed(sock)
    counters = core.counters()
    assert (counters["tcp_opened"], counters["queries_tcp"]) == (1, 1)
