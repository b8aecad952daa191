import ipaddress

import dns.name
import dns.reversename
import pytest

from musterd._core import POLICY_SUBSET, pack_records
from musterd.rr.names import (
    check_name,
    fold,
    is_wildcard,
    name_from_text,
    name_to_text,
    reverse_name,
)
from musterd.rr.rrset import ALL, Policy, RRset, fill, pack, unpack
from musterd.rr.types import A, type_text

LABEL = "a" * 63


@pytest.mark.parametrize(
    "wire", [b"", b"\x01", b"\x01a", b"\x01a\0\0", b"\x40" + b"a" * 64 + b"\0", b"\xc0\x0c",
             b"\x01a" * 127 + b"\x01a\0"],
)  # fmt: skip
def test_invalid_wire_name_is_rejected(wire: bytes) -> None:
    with pytest.raises(ValueError, match="not a valid wire name"):
        check_name(wire)


def test_longest_name_is_accepted() -> None:
    wire = b"\x01a" * 127 + b"\0"
    check_name(wire)
    assert name_from_text(name_to_text(wire)) == wire


def test_folding_keeps_lengths() -> None:
    longest = bytes([63]) + b"Z" * 63 + b"\0"
    assert fold(longest) == bytes([63]) + b"z" * 63 + b"\0"


@pytest.mark.parametrize(("text", "is_one"), [("*.a", True), ("*a.b", False), ("a.*", False)])
def test_is_wildcard(text: str, is_one: bool) -> None:
    # "*a" has a length of 2, so only the whole label counts.
    assert is_wildcard(name_from_text(text)) == is_one


@pytest.mark.parametrize("address", ["10.0.0.1", "255.20.3.0", "::1", "fd00:12ab::cdef:9"])
def test_reverse_names_match_dnspython(address: str) -> None:
    packed = dns.reversename.from_address(address)
    address_bytes = ipaddress.ip_address(address).packed
    assert reverse_name(address_bytes) == packed.to_wire()


def test_reverse_name_rejects_other_lengths() -> None:
    with pytest.raises(ValueError, match="got 3"):
        reverse_name(b"abc")


@pytest.mark.parametrize(("rtype", "text"), [(1, "A"), (65, "HTTPS"), (65280, "TYPE65280")])
def test_type_mnemonics(rtype: int, text: str) -> None:
    assert type_text(rtype) == text


@pytest.mark.parametrize("text", ["all", "one", "rotate", "sticky", "subset:1", "subset:255"])
def test_policy_text_survives_a_round_trip(text: str) -> None:
    assert str(Policy.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "some", "all:1", "subset", "subset:", "subset:0", "subset:256", "subset:-1"]
)
def test_invalid_policy_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="is no policy"):
        Policy.parse(text)


@pytest.mark.parametrize("policy", [None, Policy(0), Policy(3), Policy(POLICY_SUBSET, 7)])
@pytest.mark.parametrize("ttl", [None, 0, 2**31 - 1])
@pytest.mark.parametrize("ptr", [None, True, False])
def test_packed_rrset_survives_a_round_trip(
    ttl: int | None, policy: Policy | None, ptr: bool | None
) -> None:
    records = ((1, b"\x0a\0\0\x01"), (65535, b""))
    packed = pack(ttl, records, expires=2**63, policy=policy, ptr=ptr)
    assert unpack(packed) == RRset(ttl, records, 2**63, policy, ptr)
    filled = unpack(fill(packed, A, bytes(4), ALL))
    assert (filled.ptr, filled.policy) == (None, policy if policy != Policy(0) else None)


def test_own_policy_all_of_older_snapshots_is_read() -> None:
    packed = bytearray(pack(1, [(1, bytes(4))]))
    packed[12] = 255
    assert (unpack(bytes(packed)).policy, unpack(bytes(packed)).ptr) == (Policy(0), None)
    assert fill(bytes(packed), A, bytes(4), Policy(3).packed)[12] == 0


def test_packing_matches_the_core() -> None:
    records = [(1, b"\x0a\0\0\x01"), (1, b"\x0a\0\0\x02")]
    assert pack(30, records) == pack_records(30, A, records)


@pytest.mark.parametrize(
    "packed", [b"", pack(1, [(1, b"abcd")])[:-1], pack(1, [(1, b"abcd")]) + b"\0", pack(1, [])]
)
def test_invalid_packed_rrset_is_rejected(packed: bytes) -> None:
    with pytest.raises(ValueError, match="RRset"):
        unpack(packed)


@pytest.mark.parametrize(
    ("ttl", "records"), [(-1, []), (1, [(65536, b"")]), (1, [(1, bytes(65536))])]
)
def test_unpackable_rrset_is_rejected(ttl: int, records: list[tuple[int, bytes]]) -> None:
    with pytest.raises(ValueError, match="can't be packed"):
        pack(ttl, records)
