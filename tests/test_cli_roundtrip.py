"""Unusual names and data: set, stored, answered, queried with dig, exported and imported."""

import json
import subprocess
from pathlib import Path
from typing import Any

import dns.name
import dns.rdata
import pytest

from tests.apikit import RunningApi
from tests.needs import needs

pytest_plugins = ["tests.apifixture"]

LONGEST = ".".join(["x" * 63] * 3 + ["y" * 48])
"""255 bytes with lab.internal."""
ALL_BYTES = ["".join(f"\\{byte:03}" for byte in range(at, at + 32)) for at in range(0, 256, 32)]
"""Labels of 32 bytes, which together hold every byte."""

NAMES = [
    ("WEB", r"web"),
    (r"a\.b", r"a\.b"),
    (r"a\046b.c", r"a\.b.c"),
    ("a/b", r"a\047b"),
    ("a%2Fb", r"a\0372Fb"),
    (r"a\ b", r"a\032b"),
    ("a?b=c&d#e+f", r"a\063b\061c\038d\035e\043f"),
    ("a:b;c", r"a\058b\059c"),
    ("@", r"\064"),
    (r"@x.\@", r"\064x.\064"),
    (r"\\", r"\092"),
    (r"\"quoted\"", r"\034quoted\034"),
    ("$TTL", r"\036TTL"),
    (r"(\;", r"\040\059"),
    ("-dash", "-dash"),
    ("--json", "--json"),
    ("*", "*"),
    ("*.any", "*.any"),
    ("a.*.b", "a.*.b"),
    ("_http._tcp", "_http._tcp"),
    ("bücher", "xn--bcher-kva"),
    ("日本。例え", "xn--wgv71a.xn--r8jz45g"),
    ("x" * 63, "x" * 63),
    (LONGEST, LONGEST),
    *((label, label) for label in ALL_BYTES),
    (".".join(ALL_BYTES[:5]), ".".join(ALL_BYTES[:5])),
]
TEXTS = [
    "plain", "v=spf1 -all", "", 'say \\"hi\\"', r"back\\slash", '";no comment"', r"a\;b (c) @ $d",
    r"\000\255\010", "größe", "x" * 300, '"one" "two"', '"" ""', "-leading", "'", "%s",
]  # fmt: skip
DATA = [
    ("A", "10.0.0.1"), ("AAAA", "FD00:0::1"), ("AAAA", "::ffff:10.0.0.1"),
    ("CNAME", "Web.Lab.Internal"), ("DNAME", "other.test."), ("PTR", r"a\.b.test."),
    ("MX", "10 mail.test"), ("MX", "0 ."), ("SRV", "0 10 8080 web.test."),
    ("SRV", r"65535 0 0 \000.test."), ("CAA", '0 issue "ca.test; account=1"'),
    ("CAA", '128 iodef "mailto:a@b.test"'), ("SVCB", "0 pool.test."),
    ("SVCB", "1 . port=8443 ipv4hint=10.0.0.1,10.0.0.2 ipv6hint=fd00::1"),
    ("HTTPS", '1 . alpn="h2,h3" no-default-alpn'),
    ("HTTPS", r'2 a.test. mandatory=port port=1 key65333="\000\255x"'),
    ("NAPTR", r'100 10 "u" "E2U+sip" "!^(.*)$!sip:\\1@a.test!" .'), ("TYPE65280", r"\# 4 0A0b0C0d"),
    ("TYPE65280", r"\# 0"), ("A", r"\# 4 0a000002"), ("HINFO", '"a b" "c"'),
    ("RP", "a.test. b.test."),
    ("LOC", "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m"), ("SSHFP", "1 1 " + "ab" * 20),
    ("TLSA", "3 1 1 " + "ab" * 32), ("SMIMEA", "3 0 0 aabb"), ("DS", "1 8 2 " + "cd" * 32),
    ("DNSKEY", "256 3 8 AwEAAQ=="), ("URI", '10 1 "https://a.test/%20"'), ("AFSDB", "1 a.test."),
    ("KX", "1 a.test."), ("CERT", "1 2 8 AAAA"), ("OPENPGPKEY", "AAAA"), ("SPF", "v=spf1 -all"),
    ("EUI48", "00-00-5e-00-53-2a"), ("EUI64", "00-00-5e-ef-10-00-00-2a"),
    ("APL", "1:10.0.0.0/8 !2:fd00::/8"), ("CSYNC", "1 3 A NS"), ("CDS", "0 0 0 00"),
    ("CDNSKEY", "0 3 0 AA=="), ("ZONEMD", "1 1 1 " + "ab" * 48),
    ("DHCID", "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="),
    ("NID", "10 0014:4fff:ff20:ee64"), ("L32", "10 10.1.2.0"),
    ("L64", "10 2001:0DB8:1140:1000"), ("LP", "10 l64.test."), ("GPOS", "-32.6882 116.8652 10.0"),
    ("RT", "1 a.test."), ("X25", "311061700956"), ("ISDN", '"150862028003217" "004"'),
    ("NSAP", "0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00"), ("PX", "1 a.test. b.test."),
    ("AVC", '"a:b"'), ("CERT", "PKIX 0 0 AAAA"), ("IPSECKEY", "10 1 2 192.0.2.38 AAAA"),
    ("HIP", "2 200100107B1A74DF365639CC39F1D578 AAAA a.test."), ("WALLET", '"BTC" "x"'),
    ("RESINFO", '"qnamemin"'), ("TYPE1", r"\# 4 0a000003"),
]  # fmt: skip
UNLIKE = {"NID": ["+unknownformat"], "L64": ["+unknownformat"]}
"""Types whose dig output dnspython can't parse."""


@pytest.fixture
def listener(api: RunningApi) -> str:
    """Return the address of the DNS listener."""
    (found,) = json.loads(api("status", "--json"))["listeners"]
    return str(found)


def dig(listener: str, name: str, rtype: str, *more: str) -> list[list[str]]:
    """Return the answer as printed by dig: name, TTL, class, type, data."""
    host, _, port = listener.rpartition(":")
    words = ["dig", f"@{host}", "-p", port, "+noall", "+answer", "+noidnin", "+noidnout", "+tcp"]
    done = subprocess.run(
        [*words, *more, "-t", rtype, "-q", name],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return [line.split(None, 4) for line in done.stdout.splitlines() if not line.startswith(";")]


def lines(api: RunningApi, noun: str, verb: str, *words: str) -> list[dict[str, Any]]:
    """Return the objects that a command prints; its arguments may begin with a dash."""
    return [json.loads(text) for text in api(noun, verb, "--json", "--", *words).splitlines()]


def records(api: RunningApi) -> list[dict[str, object]]:
    """Return the registered records, limited to what a zone file can express."""
    kept = ("zone", "owner", "type", "data", "ttl", "id")
    return [{key: record[key] for key in kept} for record in api.objects("record", "list")]


def moved(api: RunningApi, folder: Path) -> None:
    """Export the zone, empty it, and import it again."""
    before = records(api)
    exported = folder / "exported.zone"
    exported.write_text(api("zone", "export", "lab.internal"))
    unchanged = f"0 added, 0 changed, 0 removed; {len(before)} unchanged"
    assert unchanged in api("zone", "import", "lab.internal", str(exported), "--replace")
    assert records(api) == before
    (folder / "empty.zone").write_text("; nothing\n")
    expected = api("zone", "import", "lab.internal", str(folder / "empty.zone"), "--replace")
    assert f"{len(before)} removed" in expected
    assert records(api) == []
    expected = api("zone", "import", "lab.internal", str(exported))
    assert f"{len(before)} added" in expected
    after = records(api)
    assert [{**record, "ttl": 30} for record in before] == after
    assert "0 added, 0 changed, 0 removed" in api("zone", "import", "lab.internal", str(exported))


@needs("dig")
def test_names_survive_a_round_trip(api: RunningApi, listener: str, tmp_path: Path) -> None:
    for number, (typed, _) in enumerate(NAMES):
        address = f"10.0.0.{number}"
        api("record", "set", "--", f"{typed}.lab.internal", "A", address)
    origin = dns.name.from_text("lab.internal.")
    wanted = {dns.name.from_text(name, origin): f"10.0.0.{n}" for n, (_, name) in enumerate(NAMES)}
    assert len(wanted) == len(NAMES)
    found = {}
    for record in api.objects("record", "list"):
        name = f"{record['owner']}.lab.internal"
        found[dns.name.from_text(name)] = record["data"]
        ((owner, *_, data),) = dig(listener, name, "A")
        assert dns.name.from_text(owner) == dns.name.from_text(name)
        assert data == record["data"]
        taken(api, name, record)
    assert found == wanted
    moved(api, tmp_path)
    for full in wanted:
        api("record", "delete", "--", full.to_text(), "A")
    assert records(api) == []


def taken(api: RunningApi, name: str, record: dict[str, Any]) -> None:
    """Pass the printed form to each command."""
    assert lines(api, "record", "show", name) == [record]
    assert lines(api, "record", "history", name)[0]["record"] == record
    explained = json.loads(api("explain", "--json", "--", name))
    assert [given["data"] for given in explained["records"]] == [record["data"]]


@needs("dig")
def test_data_survives_a_round_trip(api: RunningApi, listener: str, tmp_path: Path) -> None:
    given = [*DATA, *(("TXT", text) for text in TEXTS)]
    for number, (rtype, data) in enumerate(given):
        api("record", "set", f"t{number}.lab.internal", rtype, "--", data)
    found = {record["owner"]: record for record in api.objects("record", "list")}
    assert len(found) == len(given)
    for number, (rtype, _) in enumerate(given):
        record = found[f"t{number}"]
        kind = str(record["type"])
        answer = dig(listener, f"t{number}.lab.internal", kind, *UNLIKE.get(kind, ()))
        assert len(answer) == 1, answer
        expected = answer[0][4]
        assert wire(kind, expected) == wire(kind, str(record["data"])), rtype
        # The printed form can be typed again and changes nothing.
        name, data = f"t{number}.lab.internal", str(record["data"])
        assert lines(api, "record", "set", name, kind, data) == [record]
    moved(api, tmp_path)


def wire(rtype: str, text: str) -> bytes:
    """Return rdata in wire form, encoded by dnspython."""
    return dns.rdata.from_text("IN", rtype, text).to_wire() or b""


@needs("dig")
def test_delegation_survives_a_round_trip(api: RunningApi, listener: str, tmp_path: Path) -> None:
    api("record", "set", "lab.internal", "NS", "ns.test")
    ((*_, expected),) = dig(listener, "lab.internal", "NS")
    assert expected == "ns.test."
    moved(api, tmp_path)
