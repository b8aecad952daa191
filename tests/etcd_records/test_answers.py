"""Keys in, the RRsets of names out; relative to lab.internal."""

from typing import Any

import pytest

from musterd.rr.types import type_text
from tests.catalogkit import parse
from tests.etcd_records.kit import ZONE, IndexModel, Values, model, wire

V4 = {"host": "10.0.0.1"}

CASES: dict[str, tuple[Values, str, list[str]]] = {
    # keys, a name, what it answers
    "one address": ({"web": V4}, "web", ["A 10.0.0.1", "SRV 10 100 0 web"]),
    "IPv6": ({"web": {"host": "fd00::1"}}, "web", ["AAAA fd00::1", "SRV 10 100 0 web"]),
    "port": (
        {"web": {**V4, "port": 80, "priority": 5, "weight": 7}},
        "web",
        ["A 10.0.0.1", "SRV 5 100 80 web"],
    ),
    "no port": ({"web": {**V4, "port": -1}}, "web", ["A 10.0.0.1"]),
    "below": (
        {"web/a": V4, "web/b": {"host": "10.0.0.2"}},
        "web",
        ["A 10.0.0.1", "A 10.0.0.2", "SRV 10 50 0 a.web", "SRV 10 50 0 b.web"],
    ),
    "own and below": (
        {"web": {**V4, "port": -1}, "web/b": {"host": "10.0.0.2", "port": -1}},
        "web",
        ["A 10.0.0.1", "A 10.0.0.2"],
    ),
    "the same twice": (
        {"web/a": {**V4, "port": -1}, "web/b": {**V4, "port": -1}},
        "web",
        ["A 10.0.0.1"],
    ),
    "targetstrip": (
        {"web/a": {**V4, "targetstrip": 1}, "web/b": {"host": "10.0.0.2", "targetstrip": 1}},
        "web",
        ["A 10.0.0.1", "A 10.0.0.2", "SRV 10 50 0 web"],
    ),
    "targetstrip too far": (
        {"web": {**V4, "targetstrip": 3}},
        "web",
        ["A 10.0.0.1", "SRV 10 100 0 web"],
    ),
    "weights of a priority": (
        {
            "s/a": {"host": "x.test", "port": 1, "weight": 1},
            "s/b": {"host": "y.test", "port": 1, "weight": 2},
            "s/c": {"host": "z.test", "port": 1, "priority": 20},
            "s/d": {"host": "v.test", "port": -1, "weight": 997},
        },
        "s",
        ["SRV 10 1 1 x.test.", "SRV 10 1 1 y.test.", "SRV 20 100 1 z.test."],
    ),
    "text": ({"t": {"text": "hello"}}, "t", ['TXT "hello"']),
    "text and host": (
        {"t": {**V4, "text": "hello", "port": -1}},
        "t",
        ["A 10.0.0.1", 'TXT "hello"'],
    ),
    "texts of all below": (
        {"t/a": {"text": "1"}, "t/b": {"text": "2"}, "t/c": {"text": "1"}},
        "t",
        ['TXT "1"', 'TXT "2"'],
    ),
    "text of 255": ({"t": {"text": "x" * 255}}, "t", [f'TXT "{"x" * 255}"']),
    "long text": ({"t": {"text": "x" * 256}}, "t", [f'TXT "{"x" * 255}" "x"']),
    "backslash": ({"t": {"text": "a\\065"}}, "t", ['TXT "a\\\\065"']),
    "mail": (
        {"m": {"host": "mx.test", "mail": True, "priority": 5, "port": -1}},
        "m",
        ["MX 5 mx.test."],
    ),
    "mail to an address": (
        {"m/a": {**V4, "mail": True, "port": -1, "targetstrip": 1}},
        "m",
        ["A 10.0.0.1", "MX 10 m"],
    ),
    "alias": ({"www": {"host": "web.lab.internal"}}, "www", ["CNAME web"]),
    "alias outside": ({"www": {"host": "www.test."}}, "www", ["CNAME www.test."]),
    "alias hides text": ({"www": {"host": "a.test", "text": "x"}}, "www", ["CNAME a.test."]),
    "alias twice": (
        {"www/a": {"host": "a.test"}, "www/b": {"host": "A.test."}},
        "www",
        ["CNAME a.test."],
    ),
    "alias with port": (
        {"db": {"host": "db0.lab.internal", "port": 5432}, "db0": V4},
        "db",
        ["A 10.0.0.1", "SRV 10 100 5432 db0"],
    ),
    "alias outside with port": (
        {"db": {"host": "db.test", "port": 5432}},
        "db",
        ["SRV 10 100 5432 db.test."],
    ),
    "two aliases": (
        {
            "x/a": {"host": "a.lab.internal", "port": -1},
            "x/b": {"host": "b.lab.internal", "port": -1},
            "x/c": {"host": "out.test", "port": -1},
            "a": V4,
            "b/1": {"host": "10.0.0.2"},
            "b/2": {"host": "fd00::2"},
        },
        "x",
        ["A 10.0.0.1", "A 10.0.0.2", "AAAA fd00::2"],
    ),
    "alias chain": (
        {
            "x": {"host": "a1.lab.internal", "port": 1},
            **{f"a{n}": {"host": f"a{n + 1}.lab.internal"} for n in range(1, 8)},
            "a8": V4,
        },
        "x",
        ["A 10.0.0.1", "SRV 10 100 1 a1"],
    ),
    "alias chain too long": (
        {
            "x": {"host": "a1.lab.internal", "port": 1},
            **{f"a{n}": {"host": f"a{n + 1}.lab.internal"} for n in range(1, 9)},
            "a9": V4,
        },
        "x",
        ["SRV 10 100 1 a1"],
    ),
    "alias loop": (
        {"x": {"host": "y.lab.internal", "port": 1}, "y": {"host": "x.lab.internal", "port": 1}},
        "x",
        ["SRV 10 100 1 y"],
    ),
    "alias to itself": ({"x": {"host": "x.lab.internal"}}, "x", ["SRV 10 100 0 x"]),
    "alias to below": (
        {"x": {"host": "a.x.lab.internal", "port": -1}, "x/a": {**V4, "port": -1}},
        "x",
        ["A 10.0.0.1"],
    ),
    "alias at an apex": (
        {"dns/apex": {"host": "web.lab.internal"}, "web": {**V4, "port": -1}},
        "@",
        ["A 10.0.0.1", "SRV 10 50 0 web"],
    ),
    "apex of its own": (
        {"dns/apex/a": {**V4, "port": -1}, "web": {"host": "10.0.0.2", "port": -1}},
        "@",
        ["A 10.0.0.1"],
    ),
    "apex without": ({"web": {"host": "10.0.0.2", "port": -1}}, "@", ["A 10.0.0.2"]),
    "name servers": (
        {
            "dns/ns/a": {**V4, "port": -1},
            "dns/ns/b": {"host": "ns.test", "port": -1},
            "dns/ns/c": {"host": "10.0.0.3", "port": -1, "targetstrip": 1},
        },
        "@",
        ["A 10.0.0.1", "A 10.0.0.3", "NS a.ns.dns", "NS ns.dns", "NS ns.test."],
    ),
    "wildcard": ({"*": {**V4, "port": -1}}, "*", ["A 10.0.0.1"]),
    "group of the shortest": (
        {
            "g": {**V4, "group": "1", "port": -1},
            "g/a": {"host": "10.0.0.2", "group": "1", "port": -1},
            "g/b": {"host": "10.0.0.3", "group": "2", "port": -1},
            "g/c": {"host": "10.0.0.4", "port": -1},
        },
        "g",
        ["A 10.0.0.1", "A 10.0.0.2", "A 10.0.0.4"],
    ),
    "groups that disagree": (
        {
            "g/a": {**V4, "group": "1", "port": -1},
            "g/b": {"host": "10.0.0.2", "group": "2", "port": -1},
        },
        "g",
        ["A 10.0.0.1", "A 10.0.0.2"],
    ),
    "bad beside good": (
        {"web/a": {**V4, "port": -1}, "web/b": b"{", "web/c": {"host": 1}},
        "web",
        ["A 10.0.0.1"],
    ),
    "external-dns": (
        {
            "app/3ab1f6d2": {**V4, "targetstrip": 1, "text": '"heritage=external-dns"'},
            "app/6b0e11aa": {"host": "10.0.0.2", "targetstrip": 1},
        },
        "app",
        ["A 10.0.0.1", "A 10.0.0.2", "SRV 10 50 0 app", 'TXT "\\"heritage=external-dns\\""'],
    ),
    "external-dns alias": (
        {"app/3ab1f6d2": {"host": "lb.test", "targetstrip": 1, "text": "heritage"}},
        "app",
        ["CNAME lb.test."],
    ),
    "upper case": ({"Web/A": {**V4, "port": -1}}, "web", ["A 10.0.0.1"]),
    "dots in a part": (
        {"web/10.0.0.1": V4},
        "web",
        ["A 10.0.0.1", "SRV 10 100 0 10.0.0.1.web"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_answers_of_keys(case: str) -> None:
    keys, name, expected = CASES[case]
    assert model(keys).of(name) == expected


HADES: dict[str, tuple[str, Values, str, list[str]]] = {
    "addresses": (
        "hades",
        {"web/a1": {"host": "10.0.0.1", "type": "A"}, "web/a2": {"host": "10.0.0.2", "type": "A"}},
        "web",
        ["A 10.0.0.1", "A 10.0.0.2"],
    ),
    "alias": ("hades", {"w": {"host": "web.lab.internal", "type": "CNAME"}}, "w", ["CNAME web"]),
    "kube SRV": (
        "hades",
        {
            "svc/ns/x/_tcp/_http/1": {"host": "a.lab.internal", "port": 80, "type": "SRV"},
            "a": {"host": "10.0.0.1", "type": "A"},
        },
        "_http._tcp.x.ns.svc",
        ["SRV 10 100 80 a"],
    ),
    "apex": (
        "hades",
        {
            "dns/dns-ip/1": {"host": "10.0.0.1", "type": "A"},
            "dns/ns/a": {"host": "ns.lab.internal", "type": "NS"},
            "mail/x": {"host": "mx.lab.internal", "type": "MX", "mail": True, "priority": 5},
            "txt/x": {"text": "hello", "type": "TXT"},
            "web": {"host": "10.0.0.9", "type": "A"},
        },
        "@",
        ["A 10.0.0.1", "MX 5 mx", "NS ns", 'TXT "hello"'],
    ),
    "address of a name server": (
        "hades",
        {"dns/ns/a": {"host": "10.0.0.1", "type": "NS"}},
        "a.ns.dns",
        ["A 10.0.0.1"],
    ),
    "no name server above": (
        "hades",
        {"dns/ns/a": {"host": "10.0.0.1", "type": "NS"}, "dns/x": {"host": "10.0.0.2"}},
        "dns",
        ["A 10.0.0.2", "SRV 10 100 0 x.dns"],
    ),
    "address of a mail server": (
        "hades",
        {"mail/a": {"host": "10.0.0.1", "type": "MX", "mail": True}},
        "a.mail",
        ["A 10.0.0.1", "MX 10 a.mail"],
    ),
    "address of an SRV target": (
        "containerdns",
        {"_tcp/_http/a1/": {"host": "10.0.0.1", "port": 80, "type": "SRV"}},
        "a1._http._tcp",
        ["A 10.0.0.1", "SRV 10 100 80 a1._http._tcp"],
    ),
    "slash": (
        "containerdns",
        {
            "web/a1/": {"host": "10.0.0.1", "type": "A"},
            "website/a1/": {"host": "10.0.0.2", "type": "A"},
        },
        "web",
        ["A 10.0.0.1"],
    ),
    "own slash": ("containerdns", {"web/": {"host": "10.0.0.1"}}, "web",
                  ["A 10.0.0.1", "SRV 10 100 0 web"]),
}  # fmt: skip


@pytest.mark.parametrize("case", HADES)
def test_hades_and_containerdns(case: str) -> None:
    layout, keys, name, expected = HADES[case]
    assert model(keys, layout).of(name) == expected


def test_reverse_names() -> None:
    found = IndexModel(zones=("lab.internal", "10.in-addr.arpa"))
    found.put("/skydns/arpa/in-addr/10/0/0/1", {"host": "web.lab.internal"})
    found.put("/skydns/arpa/in-addr/10/0/0/2", {"host": "10.0.0.2"})
    assert found.text() == ["1.0.0.10.in-addr.arpa. PTR web"]


def test_keys_below_an_address_give_its_ptr_records() -> None:
    """Older versions of external-dns write them, with a hash as the last part."""
    found = IndexModel(zones=("lab.internal", "10.in-addr.arpa", "d.f.ip6.arpa"))
    one, six = "/skydns/arpa/in-addr/10/0/0/1", "/skydns/arpa/ip6/f/d" + "/0" * 29 + "/1"
    found.put(f"{one}/1a2b3c4d", {"host": "web.lab.internal", "targetstrip": 1})
    found.put(f"{one}/5e6f7a8b", {"host": "b.lab.internal"})
    found.put(f"{six}/1a2b3c4d", {"host": "web.lab.internal", "targetstrip": 1})
    wanted = ["1.0.0.10.in-addr.arpa. PTR b", "1.0.0.10.in-addr.arpa. PTR web",
              "1." + "0." * 29 + "d.f.ip6.arpa. PTR web"]  # fmt: skip
    assert sorted(found.text()) == sorted(wanted)
    # The same data at the address itself is one record.
    found.put(one, {"host": "web.lab.internal"})
    assert sorted(found.text()) == sorted(wanted)
    found.delete(f"{one}/1a2b3c4d")
    assert sorted(found.text()) == sorted(wanted)
    found.delete(one)
    found.delete(f"{six}/1a2b3c4d")
    assert found.text() == ["1.0.0.10.in-addr.arpa. PTR b"]
    # Classless delegations (RFC 2317) and short names are names of their own.
    found.put("/skydns/arpa/in-addr/10/0/0/0-25/7", {"host": "c.lab.internal"})
    found.put("/skydns/arpa/in-addr/10/9", {"host": "d.lab.internal"})
    assert {line.split()[0] for line in found.text()} == {
        "1.0.0.10.in-addr.arpa.", "7.0-25.0.0.10.in-addr.arpa.", "9.10.in-addr.arpa.",
    }  # fmt: skip


def test_exact_names() -> None:
    keys = {"web": {"host": "10.0.0.1"}, "web/a": {"host": "10.0.0.2"},
            "dns/apex/x": {"host": "10.0.0.3"}}  # fmt: skip
    found = model(keys, subtree=False)
    assert found.of("web", "A") == ["A 10.0.0.1"]
    assert found.of("a.web", "A") == ["A 10.0.0.2"]
    assert found.of("@") == ["A 10.0.0.3"]


def test_exact_name_of_hades_includes_hashed_children() -> None:
    value: dict[str, Any] = {"host": "foobar.test", "type": "CNAME"}
    found = model({"web/bf9cf968": value, "web/x": V4}, "hades", subtree=False)
    assert found.of("web") == ["CNAME foobar.test."] or found.of("x.web", "A") == ["A 10.0.0.1"]
    found = model({}, "hades", subtree=False)
    address = "10.0.0.1"
    label = f"{fnv(address):x}"
    found.put(f"web/{label}", {"host": address, "type": "A"})
    found.put("web/x", {"host": "10.0.0.2", "type": "A"})
    assert found.of("web") == ["A 10.0.0.1"]
    assert found.of(f"{label}.web") == []
    found.put(f"web/{label}", {"host": "10.0.0.9", "type": "A"})
    assert found.of("web") == []
    assert found.of(f"{label}.web") == ["A 10.0.0.9"]
    found.put(f"web/{label}", {"host": address, "type": "A"})
    found.delete(f"web/{label}")
    assert found.text() == ["x.web A 10.0.0.2"]


def fnv(text: str) -> int:
    """FNV-1a of 32 bits."""
    found = 2166136261
    for byte in text.encode():
        found = ((found ^ byte) * 16777619) % 2**32
    return found


def test_rrset_has_the_lowest_ttl() -> None:
    found = IndexModel()
    found.put("web/a", {"host": "10.0.0.1", "ttl": 60, "port": -1})
    found.put("web/b", {"host": "10.0.0.2", "port": -1}, lease=40)
    assert [line for line in found.text(ttl=True) if line.startswith("web ")] == [
        "web 40 A 10.0.0.1",
        "web 40 A 10.0.0.2",
    ]


def test_down_address_is_dropped_while_others_are_up() -> None:
    found = model(
        {"web/1": {"host": "10.0.0.1", "type": "A"}, "web/2": {"host": "10.0.0.2", "type": "A"}},
        "hades",
    )
    found.put("/hades/monitor/status/10.0.0.1", {"status": "DOWN"})
    assert found.of("web") == ["A 10.0.0.2"]
    found.put("/hades/monitor/status/10.0.0.2", {"status": "DOWN"})
    assert found.of("web") == ["A 10.0.0.1", "A 10.0.0.2"]
    found.delete("/hades/monitor/status/10.0.0.1")
    assert found.of("web") == ["A 10.0.0.1"]
    found.put("/hades/monitor/status/10.0.0.2", {"status": "UP"})
    assert found.of("web") == ["A 10.0.0.1", "A 10.0.0.2"]


def withheld(found: IndexModel, name: str) -> list[str]:
    found.take()
    (owner,) = wire(f"{name}.{ZONE}")
    return [
        f"{type_text(record.rtype)} {parse(record.rtype, record.rdata)} {record.reason}"
        for record in found.withheld.get(owner, ())
    ]


def test_withheld_records_are_reported_with_the_key_of_the_status() -> None:
    found = model(
        {
            "web/1": {"host": "10.0.0.1", "port": 80},
            "web/2": {"host": "10.0.0.2", "port": 80},
            "web/3": {"host": "fd00::3", "port": 80},
            "www": {"host": "web.lab.internal", "port": 81},
        },
        "hades",
    )
    status = "/hades/monitor/status/"
    assert withheld(found, "web") == []
    for address in ("10.0.0.1", "fd00::3"):
        found.put(status + address, {"status": "DOWN"})
    down = f"{status}10.0.0.1 reports it as down"
    six = f"SRV 10 33 80 3.web.lab.internal. {status}fd00::3 reports it as down"
    srv = f"SRV 10 33 80 1.web.lab.internal. {down}"
    # The only address of a type is answered though it is down.
    assert withheld(found, "web") == [f"A 10.0.0.1 {down}", srv, six]
    assert withheld(found, "www") == [f"A 10.0.0.1 {down}"]
    assert withheld(found, "none") == withheld(found, "1.web") == []
    found.put(f"{status}10.0.0.2", {"status": "DOWN"})
    assert withheld(found, "web") == []


@pytest.mark.parametrize("value", [{"status": "?"}, b"DOWN", {}])
def test_unreadable_status_is_reported_and_ignored(value: Any) -> None:
    found = model({"web/1": {"host": "10.0.0.1"}, "web/2": {"host": "10.0.0.2"}}, "hades")
    key = "/hades/monitor/status/10.0.0.1"
    found.put(key, {"status": "DOWN"})
    assert found.of("web", "A") == ["A 10.0.0.2"]
    found.put(key, value)
    assert found.of("web", "A") == ["A 10.0.0.1", "A 10.0.0.2"]
    assert list(found.problems) == [key]
    found.put("/hades/monitor/status/web", {"status": "DOWN"})
    found.take()
    assert len(found.problems) == 2
    found.put(key, {"status": "UP"})
    found.delete("/hades/monitor/status/web")
    found.take()
    assert found.problems == {}


def test_unreadable_value_is_reported_with_its_key() -> None:
    found = model({"web": V4})
    found.put("web", b"{")
    assert found.text() == []
    (fault,) = found.faults
    assert fault.where == "/skydns/internal/lab/web"
    assert "not valid JSON" in fault.reason
    found.put("web", V4)
    assert found.of("web", "A") == ["A 10.0.0.1"]


def test_rows_have_the_key_of_their_name() -> None:
    """A name with one key has the key of its own; any other, the key of all keys below it."""
    found = model({"web/a": V4})
    assert sorted(found.rows) == [
        "/skydns/internal/lab/...",
        "/skydns/internal/lab/web/...",
        "/skydns/internal/lab/web/a",
    ]
    found.put("web", {"host": "10.0.0.2"})
    found.delete("web/a")
    found.take()
    assert sorted(found.rows) == ["/skydns/internal/lab/...", "/skydns/internal/lab/web"]
    assert {revision for revision, _ in found.rows.values()} == {3}


def test_key_of_several_keys_has_one_slash() -> None:
    found = model({"web/a/": {"host": "10.0.0.1"}, "web/b/": {"host": "10.0.0.2"}}, "containerdns")
    assert "/containerdns/internal/lab/web/..." in found.rows
    found.delete("/containerdns/internal/lab/web/a/")
    found.delete("/containerdns/internal/lab/web/b/")
    found.take()
    assert not found.rows
