"""BCP 140, response rate limiting and access lists: who is answered, and how often."""

from collections import Counter

import dns.flags
import dns.message
import pytest
from dns.rcode import NOERROR, REFUSED

from musterd._core import Core
from tests.conformance.questions import Edns, Question
from tests.dnskit import core_with_zone, new_core

ZONE = """
@ 60 IN SOA ns h 1 1 1 1 1
www 60 IN A 192.0.2.1
other 60 IN A 192.0.2.2
*.wild 60 IN A 192.0.2.3
cut 60 IN NS ns.cut
ns.cut 60 IN A 192.0.2.4
"""
WWW, OTHER = (b"www", b"example"), (b"other", b"example")


def fates(core: Core, count: int, labels: tuple[bytes, ...] = WWW, **where: object) -> Counter[str]:
    """What became of so many questions: answered, slipped or dropped."""
    client = str(where.get("client", "192.0.2.77"))
    tcp = bool(where.get("tcp", False))
    result: Counter[str] = Counter()
    for number in range(count):
        # "#" stands for a label that differs each time.
        name = tuple(b"x%d" % number if label == b"#" else label for label in labels)
        reply = core.answer(Question(name, 1).wire(), client, tcp)
        if reply is None:
            result["dropped"] += 1
        else:
            truncated = dns.message.from_wire(reply).flags & dns.flags.TC
            result["slipped" if truncated else "answered"] += 1
    return result


@pytest.mark.parametrize(
    ("allow", "client", "answered"),
    [
        (["0.0.0.0/0", "::/0"], "192.0.2.1", True),
        (["0.0.0.0/0", "::/0"], "2001:db8::1", True),
        (["0.0.0.0/0"], "192.0.2.1", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["::/0"], "2001:db8::1", True),
        (["::/0"], "192.0.2.1", False),
        (["192.0.2.0/25"], "192.0.2.127", True),
        (["192.0.2.0/25"], "192.0.2.128", False),
        (["192.0.2.5"], "192.0.2.5", True),
        (["192.0.2.5/32"], "192.0.2.4", False),
        (["192.0.2.77/24"], "192.0.2.1", True),
        (["2001:db8::/33"], "2001:db8:7fff::1", True),
        (["2001:db8::/33"], "2001:db8:8000::1", False),
        (["192.0.2.0/24"], "::ffff:192.0.2.1", True),
        ([], "127.0.0.1", False),
    ],
)
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_access_list(allow: list[str], client: str, answered: bool, tcp: bool) -> None:
    """Who is in no network of ``allow`` gets REFUSED, over UDP and TCP."""
    core = core_with_zone(ZONE, allow=allow)
    reply = core.answer(Question(WWW, 1).wire(), client, tcp)
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert message.rcode() == (NOERROR if answered else REFUSED)
    assert bool(message.answer) == answered


@pytest.mark.parametrize("option", ["allow", "proxy_from", "ecs_from", "rate_exempt"])
@pytest.mark.parametrize("network", ["10.0.0.0/33", "::/129", "10.0.0/8", "x", "", "10.0.0.1/x"])
def test_bad_network_is_named(option: str, network: str) -> None:
    """The error says which one."""
    with pytest.raises(ValueError, match=network.replace(".", r"\.") or "network"):
        new_core(**{option: ["192.0.2.0/24", network]})


def test_bad_network_changes_nothing() -> None:
    """All options at once or none."""
    core = core_with_zone(ZONE, allow=["192.0.2.0/24"])
    with pytest.raises(ValueError, match="nonsense"):
        core.configure(allow=["0.0.0.0/0"], proxy_from=["nonsense"])
    reply = core.answer(Question(WWW, 1).wire(), "198.51.100.1")
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == REFUSED


def test_rate_limit() -> None:
    """Ten a second to one network, then silence."""
    core = core_with_zone(ZONE, rate_limit=10, rate_slip=0)
    found = fates(core, 200)
    assert 10 <= found["answered"] <= 20
    assert found["slipped"] == 0
    assert core.counters()["rate_dropped"] == found["dropped"]


def test_rate_limit_slips() -> None:
    """Every n-th answer over the limit says: come over TCP. There is no limit there."""
    core = core_with_zone(ZONE, rate_limit=1, rate_slip=2)
    found = fates(core, 400)
    assert found["answered"] <= 5
    assert 0.3 < found["slipped"] / 400 < 0.7
    assert fates(core_with_zone(ZONE, rate_limit=1, rate_slip=1), 50)["dropped"] == 0
    assert fates(core, 50, tcp=True) == {"answered": 50}


def test_slipped_answer_is_empty() -> None:
    """It is no larger than its question, so it amplifies nothing."""
    core = core_with_zone(ZONE, rate_limit=1, rate_slip=1)
    query = Question(WWW, 1, edns=Edns()).wire()
    core.answer(query, "192.0.2.77")
    reply = core.answer(query, "192.0.2.77")
    assert reply is not None
    assert len(reply) <= len(query)
    message = dns.message.from_wire(reply)
    assert message.flags & dns.flags.TC
    assert (message.answer, message.authority, message.edns) == ([], [], 0)


@pytest.mark.parametrize(
    ("client", "limited"),
    [
        ("192.0.2.1", True),
        ("192.0.2.254", True),
        ("192.0.3.1", False),
        ("2001:db8::1", False),
    ],
)
def test_rate_limit_of_ipv4_networks(client: str, limited: bool) -> None:
    """One bucket for a /24."""
    core = core_with_zone(ZONE, rate_limit=1, rate_slip=0)
    fates(core, 20)
    assert (fates(core, 1, client=client)["dropped"] == 1) == limited


@pytest.mark.parametrize(
    ("client", "limited"),
    [("2001:db8:0:ff::9", True), ("2001:db8:0:100::9", False)],
)
def test_rate_limit_of_ipv6_networks(client: str, limited: bool) -> None:
    """One bucket for a /56."""
    core = core_with_zone(ZONE, rate_limit=1, rate_slip=0)
    fates(core, 20, client="2001:db8::1")
    assert (fates(core, 1, client=client)["dropped"] == 1) == limited


def test_other_names_have_their_own_limit() -> None:
    """Only like answers are counted together."""
    core = core_with_zone(ZONE, rate_limit=1, rate_slip=0)
    assert fates(core, 20)["dropped"] > 0
    assert fates(core, 1, OTHER)["answered"] == 1


@pytest.mark.parametrize(
    "labels", [(b"#", b"example"), (b"#", b"elsewhere"), (b"#", b"x", b"test")]
)
def test_made_up_names_share_a_limit(labels: tuple[bytes, ...]) -> None:
    """Denials of one zone, and refusals, are alike whatever the name: a flood invents names."""
    core = core_with_zone(ZONE, rate_limit=5, rate_slip=0)
    assert fates(core, 100, labels)["answered"] <= 15


@pytest.mark.parametrize("parent", [b"wild", b"cut"])
def test_made_up_names_below_one_owner_share_a_limit(parent: bytes) -> None:
    """Names below one wildcard, or below one zone cut, get like answers."""
    core = core_with_zone(ZONE, rate_limit=5, rate_slip=0)
    assert fates(core, 100, (b"#", parent, b"example"))["answered"] <= 15


def test_exempt_networks_have_no_limit() -> None:
    """Resolvers of one's own may ask at will."""
    core = core_with_zone(ZONE, rate_limit=1, rate_exempt=["192.0.2.0/24"])
    assert fates(core, 50) == {"answered": 50}
    assert fates(core, 50, client="192.0.3.1")["answered"] <= 5


def test_errors_are_limited_too() -> None:
    """FORMERR and NOTIMP to a forged address are a flood like any other."""
    core = core_with_zone(ZONE, rate_limit=5, rate_slip=0)
    bad = Question(WWW, 1).wire() + b"junk"
    replies = [core.answer(bad, "192.0.2.77") for _ in range(100)]
    assert sum(reply is not None for reply in replies) <= 15


def test_no_limit_by_default() -> None:
    """0 is no limit."""
    assert fates(core_with_zone(ZONE), 500) == {"answered": 500}
