"""Listeners: addresses, ports, source addresses of replies, changes at run time."""

import socket
import threading

import dns.message
import pytest

from musterd._core import Core
from tests.conformance.questions import Question
from tests.conformance.transport import Address, parse_address, tcp, udp
from tests.dnskit import core_with_zone, listening
from tests.needs import CI

ZONE = "@ 60 IN SOA ns h 1 1 1 1 1\nwww 60 IN A 192.0.2.1\n"
QUERY = Question((b"www", b"example"), 1).wire(5)


def has_ipv6() -> bool:
    """Return whether ``::1`` exists."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


# Under CI it must be there.
ipv6 = pytest.mark.skipif(not has_ipv6() and not CI, reason="no IPv6 on this machine")


@pytest.fixture
def core() -> Core:
    """A core with a zone."""
    return core_with_zone(ZONE)


def answers(address: Address) -> bool:
    """Return whether UDP and TCP answer, from exactly this address."""
    replies = udp(address, QUERY, timeout=2, tries=2), tcp(address, QUERY)
    good = [reply for reply in replies if reply and dns.message.from_wire(reply).answer]
    assert len(good) in {0, 2}, "UDP and TCP differ"
    return len(good) == 2


def silent(address: Address) -> bool:
    """Return whether nothing listens there."""
    return udp(address, QUERY, timeout=0.2, tries=1) is None and tcp(address, QUERY) is None


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_port_0_takes_free_port(core: Core, workers: int) -> None:
    """The port is the same for UDP and TCP, for any number of workers."""
    with listening(core, workers=workers) as bound:
        address = parse_address(bound[0])
        assert address[1] > 0
        # Each socket has a port of its own, so the kernel spreads them over the workers.
        assert all(answers(address) for _ in range(10))
    assert silent(address)


@pytest.mark.parametrize("target", ["127.0.0.1", "127.0.0.5", "127.255.255.254"])
def test_wildcard_listener_replies_from_queried_address(core: Core, target: str) -> None:
    """RFC 2181 section 4.1: a connected client accepts no reply from another address."""
    with listening(core, ["0.0.0.0:0"]) as bound:
        assert bound[0].startswith("0.0.0.0:")
        assert answers((target, parse_address(bound[0])[1]))


@ipv6
@pytest.mark.parametrize("address", ["[::1]:0", "[::]:0"])
def test_ipv6_listener_answers(core: Core, address: str) -> None:
    with listening(core, [address]) as bound:
        assert answers(("::1", parse_address(bound[0])[1]))


@ipv6
def test_ipv6_wildcard_excludes_ipv4(core: Core) -> None:
    with listening(core, ["[::]:0"]) as bound:
        port = parse_address(bound[0])[1]
        assert silent(("127.0.0.1", port))


@ipv6
def test_ipv6_and_ipv4_can_share_port(core: Core) -> None:
    """Retry if another program takes the port in between."""
    for _ in range(20):
        with listening(core, ["[::]:0"]) as bound:
            port = parse_address(bound[0])[1]
            try:
                both = core.listen(["[::]:0", f"0.0.0.0:{port}"], 1)
            except OSError:
                continue
            assert both == [bound[0], f"0.0.0.0:{port}"]
            assert answers(("127.0.0.1", port))
            assert answers(("::1", port))
            return
    pytest.fail("no port was free in both")


def test_addresses_are_returned_in_requested_order(core: Core) -> None:
    with listening(core, ["127.0.0.2:0", "127.0.0.1:0", "127.0.0.3:0"]) as bound:
        assert [parse_address(text)[0] for text in bound] == ["127.0.0.2", "127.0.0.1", "127.0.0.3"]
        assert all(answers(parse_address(text)) for text in bound)
        assert silent(("127.0.0.9", parse_address(bound[0])[1]))


def test_change_keeps_common_listeners(core: Core) -> None:
    """A connection to a listener that stays survives the change; others are closed."""
    with listening(core, ["127.0.0.1:0", "127.0.0.2:0"]) as bound:
        stays, goes = (parse_address(text) for text in bound)
        with socket.create_connection(stays, timeout=10) as sock:
            sock.sendall(len(QUERY).to_bytes(2, "big") + QUERY)
            assert sock.recv(2)
            again = core.listen(["127.0.0.1:0", "127.0.0.3:0"], 1)
            assert again[0] == bound[0]
            sock.recv(4096)
            sock.sendall(len(QUERY).to_bytes(2, "big") + QUERY)
            assert sock.recv(2)
        assert silent(goes)
        assert answers(stays)
        assert answers(parse_address(again[1]))
        assert core.listen([], 1) == []
        assert silent(stays)


def test_address_in_use_is_reported(core: Core) -> None:
    """The error names the address, and the listeners don't change."""
    other = core_with_zone(ZONE)
    with listening(other) as taken, listening(core, ["127.0.0.1:0", "127.0.0.2:0"]) as bound:
        with pytest.raises(OSError, match=taken[0]):
            core.listen(["127.0.0.3:0", taken[0]], 1)
        assert all(answers(parse_address(text)) for text in (*bound, *taken))


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
def test_port_in_use_by_one_transport_is_reported(core: Core, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        text = f"127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(OSError, match=text):
            core.listen([text], 1)
    core.close()


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1", "localhost:53", "127.0.0.1:65536", "::1:53", "x:y"]
)
def test_error_names_invalid_address(core: Core, text: str) -> None:
    with pytest.raises((ValueError, OSError)) as error:
        core.listen([text], 1)
    assert not text or text in str(error.value)


def test_foreign_address_is_rejected(core: Core) -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        core.listen(["192.0.2.1:0"], 1)


def test_core_listens_again_after_close(core: Core) -> None:
    """On the same address, immediately, with a client still connected."""
    with listening(core) as bound:
        address = parse_address(bound[0])
        with socket.create_connection(address, timeout=10):
            core.close()
            assert core.listen(bound, 1) == bound
            assert answers(address)


def test_cores_are_independent() -> None:
    first, second = core_with_zone(ZONE), core_with_zone(ZONE, "other.")
    with listening(first) as bound, listening(second) as other:
        assert answers(parse_address(bound[0]))
        assert not answers(parse_address(other[0]))


def test_reload_loses_no_query(core: Core) -> None:
    """A listener that stays answers every query while options and other listeners change."""
    stays = core.listen(["127.0.0.1:0"], 2)[0]
    lost = []
    changing = threading.Event()
    changing.set()

    def ask() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(parse_address(stays))
            sock.settimeout(5)
            while changing.is_set():
                sock.send(QUERY)
                try:
                    sock.recv(4096)
                except TimeoutError:
                    lost.append(stays)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(100):
        core.configure(udp_size=1232 - number, rate_limit=0)
        core.listen(["127.0.0.1:0", "127.0.0.2:0"][: 1 + number % 2], 2)
    changing.clear()
    for thread in threads:
        thread.join()
    core.close()
    assert not lost
