"""The five policies: share of each address, choice per client, and removal of an address.

The core's seeds can't be set, so shares are tested with tolerances that chance exceeds less than
once in a million runs; everything else is tested exactly.
"""

from collections import Counter
from collections.abc import Sequence

import dns.message
import pytest

from musterd._core import (
    POLICY_ALL,
    POLICY_ONE,
    POLICY_ROTATE,
    POLICY_STICKY,
    POLICY_SUBSET,
    Core,
)
from tests.conformance.questions import ECS, Edns, Question
from tests.dnskit import new_core, pack, rdata, wire

APEX = wire("example.")
OWNER = wire("www.example.")
A, AAAA, SRV = 1, 28, 33
CLIENTS = [f"10.{number >> 8}.{number & 255}.{number % 250}" for number in range(3000)]
FIVE = range(1, 6)


def put(
    core: Core,
    addresses: Sequence[int],
    policy: int,
    *,
    k: int = 0,
    weights: Sequence[int] | None = None,
) -> None:
    """Set the A records of ``www`` to 192.0.2.N each."""
    weights = weights or [1] * len(addresses)
    records = [
        (weight, rdata("A", f"192.0.2.{last}"))
        for weight, last in zip(weights, addresses, strict=True)
    ]
    assert core.apply([(APEX, OWNER, A, pack(30, records, policy=policy, k=k))]) == []


def with_policy(addresses: Sequence[int], policy: int, **more: object) -> Core:
    """Return a live core with ``www`` and a policy."""
    core = new_core(ecs_from=["127.0.0.0/8"])
    core.set_zone(APEX)
    core.set_state(APEX, 0)
    put(core, addresses, policy, **more)  # type: ignore[arg-type]
    return core


def asked(core: Core, client: str = "127.0.0.1", rtype: int = A, *, tcp: bool = False) -> list[str]:
    """Return the rdata of ``www`` in the order of the answer."""
    return replied(core.answer(Question((b"www", b"example"), rtype).wire(), client, tcp))


def replied(reply: bytes | None) -> list[str]:
    """Return the rdata of a reply in its order."""
    assert reply is not None
    message = dns.message.from_wire(reply, one_rr_per_rrset=True)
    return [rrset[0].to_text() for rrset in message.answer]


def last(texts: list[str]) -> int:
    """Return the last byte of the only address."""
    (text,) = texts
    return int(text.rpartition(".")[2])


def sticky(core: Core) -> dict[str, int]:
    """Return the address of each client."""
    return {client: last(asked(core, client)) for client in CLIENTS}


def near(counts: Counter[int], shares: dict[int, float]) -> None:
    """Return whether counts are proportional to shares, within a quarter."""
    total = sum(counts.values())
    for address, share in shares.items():
        assert abs(counts[address] - total * share) < total * share / 4, counts
    assert set(counts) <= set(shares)


def test_all_gives_all_addresses_in_random_order() -> None:
    """Each address is first equally often."""
    core = with_policy(FIVE, POLICY_ALL)
    orders = [asked(core) for _ in range(3000)]
    assert {frozenset(order) for order in orders} == {frozenset(f"192.0.2.{n}" for n in FIVE)}
    assert len({tuple(order) for order in orders}) == 120, "five have 120 orders"
    near(Counter(last(order[:1]) for order in orders), dict.fromkeys(FIVE, 0.2))


def test_one_gives_random_address() -> None:
    """The same client gets different addresses."""
    core = with_policy(FIVE, POLICY_ONE)
    near(Counter(last(asked(core)) for _ in range(3000)), dict.fromkeys(FIVE, 0.2))


def test_one_is_proportional_to_weight() -> None:
    core = with_policy([1, 2, 3], POLICY_ONE, weights=[1, 2, 7])
    near(Counter(last(asked(core)) for _ in range(6000)), {1: 0.1, 2: 0.2, 3: 0.7})


def test_weight_zero_is_rarely_chosen() -> None:
    """RFC 2782: a weight of 0 has a very small chance beside others."""
    core = with_policy([1, 2], POLICY_ONE, weights=[0, 10])
    assert Counter(last(asked(core)) for _ in range(1000))[1] < 20
    core = with_policy([1, 2], POLICY_ONE, weights=[0, 0])
    near(Counter(last(asked(core)) for _ in range(1000)), {1: 0.5, 2: 0.5})


def test_rotate_gives_next_address_to_every_client() -> None:
    core = with_policy(FIVE, POLICY_ROTATE)
    first = [last(asked(core, client)) for client in CLIENTS[:5]]
    assert sorted(first) == list(FIVE)
    assert [last(asked(core)) for _ in range(10)] == first * 2


def test_sticky_gives_same_address_to_same_client() -> None:
    """Repeatedly, on another server, over TCP, for any order of the records."""
    core = with_policy(FIVE, POLICY_STICKY)
    first = sticky(core)
    assert sticky(core) == first
    assert sticky(with_policy([4, 2, 5, 1, 3], POLICY_STICKY)) == first
    assert [last(asked(core, client, tcp=True)) for client in CLIENTS[:100]] == [
        first[client] for client in CLIENTS[:100]
    ]
    near(Counter(first.values()), dict.fromkeys(FIVE, 0.2))


@pytest.mark.parametrize("weights", [None, [1, 2, 3, 4, 5]], ids=["equal", "weighted"])
@pytest.mark.parametrize("gone", FIVE)
def test_sticky_moves_only_clients_of_removed_address(gone: int, weights: list[int] | None) -> None:
    """The clients of a removed address move to all others, and return when it is back."""
    core = with_policy(FIVE, POLICY_STICKY, weights=weights)
    before = sticky(core)
    left = [address for address in FIVE if address != gone]
    put(core, left, POLICY_STICKY, weights=weights and [weights[n - 1] for n in left])
    after = sticky(core)
    moved = {client for client in CLIENTS if before[client] != after[client]}
    assert moved == {client for client in CLIENTS if before[client] == gone}
    assert {after[client] for client in moved} == set(left)
    put(core, FIVE, POLICY_STICKY, weights=weights)
    assert sticky(core) == before


def test_sticky_is_proportional_to_weight() -> None:
    core = with_policy([1, 2, 3], POLICY_STICKY, weights=[1, 2, 7])
    near(Counter(sticky(core).values()), {1: 0.1, 2: 0.2, 3: 0.7})


def test_sticky_distinguishes_ipv6_clients() -> None:
    """An IPv4-mapped client is the IPv4 client."""
    core = with_policy(FIVE, POLICY_STICKY)
    counts = Counter(last(asked(core, f"2001:db8::{number:x}")) for number in range(2000))
    near(counts, dict.fromkeys(FIVE, 0.2))
    for client in CLIENTS[:50]:
        assert asked(core, f"::ffff:{client}") == asked(core, client)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 9])
def test_subset_gives_same_k_addresses_to_same_client(k: int) -> None:
    """Each address gets its share of the clients."""
    core = with_policy(FIVE, POLICY_SUBSET, k=k)
    counts: Counter[int] = Counter()
    for client in CLIENTS[:1000]:
        texts = asked(core, client)
        assert asked(core, client) == texts
        assert len(set(texts)) == len(texts) == min(k, 5)
        counts.update(last([text]) for text in texts)
    near(counts, dict.fromkeys(FIVE, 0.2))


def test_subset_keeps_remaining_addresses_of_client() -> None:
    core = with_policy(FIVE, POLICY_SUBSET, k=2)
    before = {client: set(asked(core, client)) for client in CLIENTS[:500]}
    put(core, [1, 2, 3, 4], POLICY_SUBSET, k=2)
    for client, had in before.items():
        assert had - {"192.0.2.5"} <= set(asked(core, client))


@pytest.mark.parametrize("rtype", [A, AAAA, SRV])
@pytest.mark.parametrize("policy", [POLICY_ONE, POLICY_ROTATE, POLICY_STICKY])
def test_policy_applies_to_type(rtype: int, policy: int) -> None:
    """A, AAAA and SRV."""
    core = with_policy([1], POLICY_ALL)
    name = {A: "A", AAAA: "AAAA", SRV: "SRV"}[rtype]
    texts = {A: "192.0.2.{}", AAAA: "2001:db8::{}", SRV: "0 1 80 n{}.elsewhere."}[rtype]
    records = [(1, rdata(name, texts.format(number))) for number in FIVE]
    assert core.apply([(APEX, OWNER, rtype, pack(30, records, policy=policy))]) == []
    assert len(asked(core, rtype=rtype)) == 1


def test_policy_applies_to_additional_addresses() -> None:
    """Addresses beside an SRV record are chosen as in an answer."""
    core = with_policy(FIVE, POLICY_STICKY)
    srv = [(1, rdata("SRV", "0 1 80 www"))]
    assert core.apply([(APEX, wire("_s._tcp.example."), SRV, pack(30, srv))]) == []
    for client in CLIENTS[:50]:
        reply = core.answer(Question((b"_s", b"_tcp", b"example"), SRV).wire(), client)
        assert reply is not None
        (rrset,) = dns.message.from_wire(reply).additional
        assert [item.to_text() for item in rrset] == asked(core, client)


def subnet(core: Core, option: bytes, peer: str) -> tuple[list[str], bytes | None]:
    """Query with a client subnet; return the answer, and the option in the reply."""
    question = Question((b"www", b"example"), A, edns=Edns(options=((ECS, option),)))
    reply = core.answer(question.wire(), peer)
    options = dns.message.from_wire(reply or b"").options
    found = next((item.to_wire() for item in options if item.otype == ECS), None)
    return replied(reply), found


def test_sticky_uses_trusted_client_subnet() -> None:
    """RFC 7871 section 7: the scope is the prefix length that was used."""
    core = with_policy(FIVE, POLICY_STICKY)
    seen = set()
    for number in range(100):
        option = b"\0\x01\x18\0" + bytes([10, 1, number])
        answer, back = subnet(core, option, "127.0.0.1")
        assert back == b"\0\x01\x18\x18" + bytes([10, 1, number])
        assert answer == asked(core, f"10.1.{number}.0"), "as that client itself"
        assert subnet(core, option, "127.0.0.9")[0] == answer, "through any trusted resolver"
        seen.update(answer)
    assert len(seen) == 5


def test_untrusted_client_subnet_has_no_effect() -> None:
    """A client can't choose its server by it."""
    core = with_policy(FIVE, POLICY_STICKY)
    for number in range(50):
        option = b"\0\x01\x18\0" + bytes([10, 1, number])
        assert subnet(core, option, "192.0.2.1") == (asked(core, "192.0.2.1"), None)


def test_ipv6_client_subnet() -> None:
    """Family 2, with a source prefix that ends within a byte."""
    core = with_policy(FIVE, POLICY_STICKY)
    option = b"\0\x02\x34\0\x20\x01\x0d\xb8\0\0\x10"
    answer, back = subnet(core, option, "127.0.0.1")
    assert answer == asked(core, "2001:db8:0:1000::")
    assert back == option[:3] + b"\x34" + option[4:]


def test_scope_is_0_if_all_clients_get_same_answer() -> None:
    """RFC 7871 section 7.2.1; a client may also opt out with source prefix length 0."""
    core = with_policy(FIVE, POLICY_ALL)
    assert subnet(core, b"\0\x01\x18\0\x0a\x01\x02", "127.0.0.1")[1] == b"\0\x01\x18\0\x0a\x01\x02"
    core = with_policy(FIVE, POLICY_STICKY)
    assert subnet(core, b"\0\x01\0\0", "127.0.0.1") == (asked(core, "127.0.0.1"), b"\0\x01\0\0")


BAD_SUBNETS = {
    "empty": b"",
    "cut": b"\0\x01",
    "address too short": b"\0\x01\x18\0\x0a\x01",
    "address too long": b"\0\x01\x18\0\x0a\x01\x02\x03",
    "33 bits of IPv4": b"\0\x01\x21\0" + bytes(5),
    "129 bits of IPv6": b"\0\x02\x81\0" + bytes(17),
    "unknown family": b"\0\x03\x08\0\x0a",
    "bits beyond the prefix": b"\0\x01\x17\0\x0a\x01\x03",
    "scope in a query": b"\0\x01\x18\x18\x0a\x01\x02",
}


@pytest.mark.parametrize("option", BAD_SUBNETS.values(), ids=BAD_SUBNETS)
def test_malformed_client_subnet_gets_formerr(option: bytes) -> None:
    """RFC 7871 section 7.1.2, from trusted clients."""
    core = with_policy(FIVE, POLICY_STICKY)
    question = Question((b"www", b"example"), A, edns=Edns(options=((ECS, option),)))
    reply = core.answer(question.wire(), "127.0.0.1")
    assert reply is not None
    assert (reply[3] & 15, reply[6:8]) == (1, b"\0\0")
