"""BCP 140, response rate limiting and access lists."""

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
    """Count the fates of a number of questions: answered, slipped or dropped."""
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
def test_client_outside_access_list_is_refused(
    allow: list[str], client: str, answered: bool, tcp: bool
) -> None:
    core = core_with_zone(ZONE, allow=allow)
    reply = core.answer(Question(WWW, 1).wire(), client, tcp)
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert message.rcode() == (NOERROR if answered else REFUSED)
    assert bool(message.answer) == answered


@pytest.mark.parametrize("option", ["allow", "proxy_from", "ecs_from", "rate_exempt"])
@pytest.mark.parametrize("network", ["10.0.0.0/33", "::/129", "10.0.0/8", "x", "", "10.0.0.1/x"])
def test_error_names_invalid_network(option: str, network: str) -> None:
    with pytest.raises(ValueError, match=network.replace(".", r"\.") or "network"):
        new_core(**{option: ["192.0.2.0/24", network]})


def test_invalid_network_changes_no_option() -> None:
    core = core_with_zone(ZONE, allow=["192.0.2.0/24"])
    with pytest.raises(ValueError, match="nonsense"):
        core.configure(allow=["0.0.0.0/0"], proxy_from=["nonsense"])
    reply = core.answer(Question(WWW, 1).wire(), "198.51.100.1")
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() == REFUSED


def test_answers_above_rate_limit_are_dropped() -> None:
    """The limit is ten a second to a network."""
    core = core_with_zone(ZONE, rate_limit=10, rate_slip=0)
    found = fates(core, 200)
    assert 10 <= found["answered"] <= 20
    assert found["slipped"] == 0
    assert core.counters()["rate_dropped"] == found["dropped"]


def test_every_nth_answer_above_limit_is_truncated() -> None:
    """TC makes the client use TCP, which has no limit."""
    core = core_with_zone(ZONE, rate_limit=1, rate_slip=2)
    found = fates(core, 400)
    assert found["answered"] <= 5
    assert 0.3 < found["slipped"] / 400 < 0.7
    assert fates(core_with_zone(ZONE, rate_limit=1, rate_slip=1), 50)["dropped"] == 0
    assert fates(core, 50, tcp=True) == {"answered": 50}


def test_slipped_answer_is_empty() -> None:
    """A slipped answer is not larger than its question, so there is no amplification."""
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
def test_ipv4_rate_limit_is_per_24(client: str, limited: bool) -> None:
    core = core_with_zone(ZONE, rate_limit=1, rate_slip=0)
    fates(core, 20)
    assert (fates(core, 1, client=client)["dropped"] == 1) == limited


@pytest.mark.parametrize(
    ("client", "limited"),
    [("2001:db8:0:ff::9", True), ("2001:db8:0:100::9", False)],
)
def test_ipv6_rate_limit_is_per_56(client: str, limited: bool) -> None:
    core = core_with_zone(ZONE, rate_limit=1, rate_slip=0)
    fates(core, 20, client="2001:db8::1")
    assert (fates(core, 1, client=client)["dropped"] == 1) == limited


def test_each_name_has_its_own_limit() -> None:
    """Only equal answers are counted together."""
    core = core_with_zone(ZONE, rate_limit=1, rate_slip=0)
    assert fates(core, 20)["dropped"] > 0
    assert fates(core, 1, OTHER)["answered"] == 1


@pytest.mark.parametrize(
    "labels", [(b"#", b"example"), (b"#", b"elsewhere"), (b"#", b"x", b"test")]
)
def test_invented_names_share_limit(labels: tuple[bytes, ...]) -> None:
    """Negative answers of a zone count together for all names, and so do refusals."""
    core = core_with_zone(ZONE, rate_limit=5, rate_slip=0)
    assert fates(core, 100, labels)["answered"] <= 15


@pytest.mark.parametrize("parent", [b"wild", b"cut"])
def test_invented_names_below_owner_share_limit(parent: bytes) -> None:
    """Names below a wildcard, or below a zone cut, get equal answers."""
    core = core_with_zone(ZONE, rate_limit=5, rate_slip=0)
    assert fates(core, 100, (b"#", parent, b"example"))["answered"] <= 15


def test_exempt_networks_have_no_limit() -> None:
    core = core_with_zone(ZONE, rate_limit=1, rate_exempt=["192.0.2.0/24"])
    assert fates(core, 50) == {"answered": 50}
    assert fates(core, 50, client="192.0.3.1")["answered"] <= 5


def test_errors_are_limited() -> None:
    """FORMERR and NOTIMP can flood a forged address too."""
    core = core_with_zone(ZONE, rate_limit=5, rate_slip=0)
    bad = Question(WWW, 1).wire() + b"junk"
    replies = [core.answer(bad, "192.0.2.77") for _ in range(100)]
    assert sum(reply is not None for reply in replies) <= 15


def test_default_has_no_rate_limit() -> None:
    assert fates(core_with_zone(ZONE), 500) == {"answered": 500}
