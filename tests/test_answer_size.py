"""RRsets that fit no message: their size, and the warning when they are loaded."""

from typing import Any

import dns.flags
import dns.rdatatype
import pytest

from musterd._core import STATE_LIVE
from musterd.rr.answer_size import MAX_MESSAGE, answer_size
from musterd.rr.names import name_from_text
from musterd.rr.rrset import Policy, Record, pack
from musterd.sources.changes import Delete, Put
from tests.catalogkit import NOW, new_catalog
from tests.dnskit import make_query, new_core, rdata, wire

ZONE = "lab.internal"
LONGEST = ".".join(["x" * 61, "y" * 61, "z" * 61, "w" * 57])


@pytest.mark.parametrize(
    ("owner", "rtype", "data"),
    [
        ("a", "A", [f"10.0.0.{n}" for n in range(100)]),
        ("a", "TXT", [f"text-{n}" for n in range(50)]),
        ("a.b", "NS", [f"ns{n}.b" for n in range(50)] + ["ns.elsewhere.test.", ".", "@", "a.b"]),
        ("b.a", "PTR", [f"p{n}" for n in range(50)] + ["B.A", "xb.a", "a.Example.", "example."]),
        ("a", "MX", [f"{n} m{n}.a" for n in range(50)] + ["0 ."]),
        ("a", "SRV", [f"1 2 3 s{n}.a" for n in range(50)]),
        ("a", "CNAME", ["x.y.a"]),
        (LONGEST, "NS", [LONGEST, "y." + LONGEST[62:]]),
        ("@", "TXT", ["x"]),
    ],
)
def test_size_is_that_of_the_answer(owner: str, rtype: str, data: list[str]) -> None:
    number = int(dns.rdatatype.from_text(rtype))
    packed = pack(5, [(1, rdata(rtype, text)) for text in data])
    core = new_core()
    core.set_zone(wire("example."))
    assert core.apply([(wire("example."), wire(owner, "example."), number, packed)]) == []
    core.set_state(wire("example."), STATE_LIVE)
    query = make_query(owner, rtype)
    query.use_edns(False)
    reply = core.answer(query.to_wire(), tcp=True) or b""
    # A referral has the same size as an answer.
    assert answer_size(wire(owner, "example.").lower(), number, packed) == len(reply)


def sized(size: int) -> Record:
    """Return an RRset of TXT records whose answer has this size."""
    owner = name_from_text(f"a.{ZONE}")
    rest = size - 16 - len(owner)
    records: list[bytes] = []
    while rest:
        # A record takes at least 14 bytes.
        length = rest if rest <= 268 else min(268, rest - 14)
        records.append(bytes([length - 13]) + b"%0*d" % (length - 13, len(records)))
        rest -= length
    return Record(owner, 16, pack(5, [(1, text) for text in records]))


@pytest.mark.parametrize(("size", "fits"), [(MAX_MESSAGE, True), (MAX_MESSAGE + 1, False)])
async def test_warning_starts_where_answers_are_truncated(size: int, fits: bool) -> None:
    core = new_core()
    core.set_zone(name_from_text(ZONE))
    record = sized(size)
    core.apply([(name_from_text(ZONE), *record)])
    core.set_state(name_from_text(ZONE), STATE_LIVE)
    query = make_query(f"a.{ZONE}.", "TXT")
    query.use_edns(False)
    reply = core.answer(query.to_wire(), tcp=True) or b""
    assert bool(reply[2] & dns.flags.TC >> 8) is not fits

    catalog, _, _ = await new_catalog()
    catalog.apply("one", Put("k", 1, NOW, (record,)))
    assert (not oversized(catalog)) is fits


async def test_warning_lasts_until_the_rrset_fits() -> None:
    catalog, _, _ = await new_catalog()
    large, small = sized(70_000), sized(20_000)
    for change in (Put("k", 2, NOW, (small,)), Delete("k", 2)):
        catalog.apply("one", Put("k", 1, NOW, (large,)))
        assert oversized(catalog) == [
            "all records need 70000 bytes, and a message has at most 65535"
        ]
        catalog.apply(
            "one", Put("l", 1, NOW, (Record(b"\1b" + large.owner[2:], 16, small.packed),))
        )
        assert len(oversized(catalog)) == 1
        catalog.apply("one", change)
        assert oversized(catalog) == []


async def test_policy_that_selects_needs_no_warning() -> None:
    addresses = [(1, n.to_bytes(4, "big")) for n in range(5000)]
    owner = name_from_text(f"a.{ZONE}")
    catalog, _, _ = await new_catalog({"name": ZONE, "policy": "subset:3"})
    catalog.apply("one", Put("k", 1, NOW, (Record(owner, 1, pack(5, addresses)),)))
    assert oversized(catalog) == []
    own = pack(5, addresses, policy=Policy.parse("all"))
    catalog.apply("one", Put("k", 2, NOW, (Record(owner, 1, own),)))
    assert len(oversized(catalog)) == 1


def oversized(catalog: Any) -> list[str]:
    return list(catalog.zones[name_from_text(ZONE)].oversized.values())
