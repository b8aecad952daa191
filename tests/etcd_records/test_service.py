"""Parsing of values, and their errors."""

import json
from typing import Any

import pytest

from musterd.rr.names import name_from_text
from musterd.rr.types import MX, A
from musterd.sources.etcd import service
from musterd.sources.etcd.service import (
    IPV4,
    IPV6,
    NAME,
    Rules,
    address_of,
    is_down,
    is_hashed,
    pack,
    unpack,
)


def read(value: Any, lease: int | None = None, *, typed: bool = False) -> Any:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    given = service.read(b"p", raw, 7, lease, Rules(300, typed))
    assert unpack(b"p", b"head" + pack(given), 4) == given
    return given


def test_value_with_every_field() -> None:
    found = read(
        {
            "host": "10.0.0.1", "port": 80, "priority": 5, "weight": 7, "text": "tä", "mail": True,
            "ttl": 60, "targetstrip": 1, "group": "g", "unknown": [1],
        }
    )  # fmt: skip
    assert found == (b"p", IPV4, True, 0, 1, 60, 5, 7, 80, 7, b"\x0a\0\0\1", b"g", "tä".encode())


def test_value_with_defaults() -> None:
    assert read({}) == (b"p", 0, False, 0, 0, 300, 10, 0, 0, 7, b"", b"", b"")


@pytest.mark.parametrize(
    ("host", "kind", "raw"),
    [
        ("10.0.0.1", IPV4, b"\x0a\0\0\1"),
        ("fd00::1", IPV6, b"\xfd" + bytes(14) + b"\1"),
        ("::ffff:10.0.0.1", IPV4, b"\x0a\0\0\1"),
        ("Web.lab.internal", NAME, name_from_text("web.lab.internal")),
        ("web.lab.internal.", NAME, name_from_text("web.lab.internal")),
        ("_http._tcp.x", NAME, name_from_text("_http._tcp.x")),
    ],
)
def test_kinds_of_hosts(host: str, kind: int, raw: bytes) -> None:
    found = read({"host": host, "text": "\0after"})
    assert (found.kind, found.host, found.text) == (kind, raw, b"\0after")


@pytest.mark.parametrize(
    ("value", "lease", "ttl"),
    [({}, None, 300), ({"ttl": 60}, None, 60), ({"ttl": 60}, 40, 40), ({"ttl": 60}, 90, 60),
     ({}, 40, 40), ({}, 3600, 3600), ({"ttl": 0}, None, 300)],
)  # fmt: skip
def test_ttl_is_the_lower_of_field_and_lease(value: Any, lease: int | None, ttl: int) -> None:
    assert read(value, lease).ttl == ttl


def test_field_names_ignore_case_and_null_is_absent() -> None:
    found = read({"Host": "10.0.0.1", "PORT": 80, "ttl": None})
    assert (found.host, found.port, found.ttl) == (b"\x0a\0\0\1", 80, 300)


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff{}", "not valid JSON"),
        (b'{"host":"\\ud800"}', "not valid JSON"),
        (b'{"text":"\\ud800"}', "not valid JSON"),
        (b"[" * 60_000, "not valid JSON"),
        (b'{"text":"' + b"x" * 70_000 + b'"}', "bytes, at most 65536"),
        ({"text": "x" * 60_001}, "text has 60001 bytes"),
        ({"group": "x" * 256}, "group has 256"),
        (b"[]", "expected a JSON object"),
        (b"null", "expected a JSON object"),
        (b'"10.0.0.1"', "expected a JSON object"),
        ({"host": 5}, "host is 5, expected a string"),
        ({"host": "10.0.0.256"}, "IP address or a name"),
        ({"host": "10.0.0.01"}, "IP address or a name"),
        ({"host": "10.0.0.1:80"}, "IP address or a name"),
        ({"host": "fe80::1%eth0"}, "IP address or a name"),
        ({"host": "http://web"}, "IP address or a name"),
        ({"host": "a b"}, "IP address or a name"),
        ({"host": "."}, "IP address or a name"),
        ({"host": "a..b"}, "label"),
        ({"host": "x" * 64}, "label"),
        ({"port": "80"}, 'port is "80", expected a whole number'),
        ({"port": 80.0}, "expected a whole number"),
        ({"port": True}, "expected a whole number"),
        ({"port": 65536}, "expected -1 to 65535"),
        ({"port": -2}, "expected -1 to 65535"),
        ({"ttl": -1}, "expected 0 to"),
        ({"ttl": 2**31}, "expected 0 to"),
        ({"priority": 65536}, "expected 0 to 65535"),
        ({"weight": -1}, "expected 0 to"),
        ({"targetstrip": 128}, "expected 0 to 127"),
        ({"mail": 1}, "true or false"),
        (b'{"ttl":1' + b"0" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_invalid_value_is_rejected(value: Any, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        read(value)


def test_type_field() -> None:
    assert read({"host": "10.0.0.1", "type": "A"}, typed=True).rtype == A
    assert read({"host": "mx.x", "type": "mx"}, typed=True).rtype == MX
    assert read({"host": "mx.x", "type": "mx"}).rtype == 0
    assert read({"host": "mx.x"}, typed=True).rtype == 0


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"type": "SOA"}, 'its type is "SOA", expected'),
        (
            {"type": "A", "host": "fd00::1"},
            "is A, but its host is an IPv6 address, expected an IPv4",
        ),
        ({"type": "A", "host": "web.test"}, "is A, but its host is a name, expected an IPv4"),
        ({"type": "A", "text": "x"}, "is A, but its host is missing"),
        ({"type": "aaaa", "host": "10.0.0.1"}, "is aaaa, but its host is an IPv4 address"),
        ({"type": "AAAA", "host": "::ffff:10.0.0.1"}, "is AAAA, but its host is an IPv4 address"),
        ({"type": "CNAME", "host": "10.0.0.1"}, "is CNAME, but its host is an IPv4 address"),
        ({"type": "CNAME"}, "host is missing, expected a name"),
        ({"type": "TXT"}, "no text"),
        ({"type": "TXT", "text": "", "host": "10.0.0.1"}, "no text"),
        ({"type": "SRV", "port": 80}, "host is missing, expected an IPv4 address or an IPv6"),
        ({"type": "SRV", "port": -1, "host": "10.0.0.1"}, "its port is -1"),
        ({"type": "MX", "mail": True}, "host is missing"),
        ({"type": "NS", "host": ""}, "host is missing"),
        ({}, "neither a host nor a text"),
        ({"type": "", "host": "", "port": 80}, "neither a host nor a text"),
    ],
)
def test_value_without_record_of_its_type_is_rejected(value: Any, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        read(value, typed=True)


def test_address_at_reverse_name_is_rejected() -> None:
    rules = Rules(300, typed=False)
    for path in (b"arpa/in-addr/10/0/0/1", b"arpa/ip6/1/2"):
        assert service.read(path, b'{"host":"web.test"}', 7, None, rules).kind == NAME
        with pytest.raises(ValueError, match="its host is an address"):
            service.read(path, b'{"host":"10.0.0.1"}', 7, None, rules)


def test_hashed_labels() -> None:
    value = b'{"host":"10.0.0.1","type":"A"}'
    # FNV-1a of 32 bits, from its authors' test vectors.
    assert is_hashed(b"bf9cf968", b'{"host":"foobar"}')
    assert not is_hashed(b"bf9cf969", b'{"host":"foobar"}')
    assert not is_hashed(b"web", value)


def test_status_values() -> None:
    assert is_down(b'{"status":"DOWN","ports":["80"]}')
    assert not is_down(b'{"status":"up"}')
    for wrong in (b"{}", b'{"status":1}', b'{"status":"?"}', b"DOWN"):
        with pytest.raises(ValueError, match=r"status|not valid JSON"):
            is_down(wrong)


def test_address_forms() -> None:
    assert address_of("10.0.0.1") == b"\x0a\0\0\1"
    for wrong in ("", "10.0.0", "x", "10.0.0.1\0", "fe80::1%1", "\xe4"):
        assert address_of(wrong) is None
