"""Seeded zones, loaded by all servers, with the corner cases that name servers get wrong.

``family`` returns zones that are served together: a main zone, a zone that its CNAMEs lead to, a
child, a zone below one of its cuts, a zone with DNAME at its apex, and reverse zones. Data that the
peers change or reject on loading is left out: RRsets with several TTLs, names below a DNAME, DNSSEC
records.
"""

import random
from collections.abc import Iterable, Sequence

from tests.conformance.peers import ZoneText

MAIN = "main.example."
OTHER = "other.example."
CHILD = "child.main.example."
ISLAND = "island.cut.main.example."
MOVED = "moved.example."
REVERSE4 = "2.0.192.in-addr.arpa."
REVERSE6 = "8.b.d.0.1.0.0.2.ip6.arpa."

_TTLS = (0, 1, 30, 300, 3600, 86400, 604800)
_LABELS = ("a", "b", "www", "API", "web-1", "x1", "Node", "_udp", "db", "m")
_ESCAPED = (
    r"a\.b",
    r"sp\032ace",
    r"nul\000x",
    r"\255\254high",
    r"quote\"d",
    r"semi\;colon",
    r"at\@",
    r"dollar\$",
    r"par\(en\)",
    r"back\\slash",
)
_TEXTS = ('"v=spf1 -all"', '"two" "strings"', '""', '"' + "x" * 255 + '"', r'"\000\255\"\\"')


class _Zone:
    """The lines of a zone file, and its source of random numbers."""

    def __init__(self, origin: str, rng: random.Random) -> None:
        self.origin = origin
        self.rng = rng
        self.lines = [f"$ORIGIN {origin}"]

    def put(self, owner: str, rtype: str, *rdatas: str) -> None:
        """Add an RRset with a random TTL."""
        ttl = self.rng.choice(_TTLS)
        self.lines.extend(f"{owner} {ttl} IN {rtype} {rdata}" for rdata in dict.fromkeys(rdatas))

    def apex(self, *servers: str) -> None:
        """Add NS, and SOA with random TTL and MINIMUM, either of which may be the lower."""
        ttl, minimum = self.rng.choice(_TTLS), self.rng.choice(_TTLS)
        serial = self.rng.randrange(1, 2**32)
        self.lines.append(f"@ {ttl} IN SOA ns1 Host.Master {serial} 7200 1800 86400 {minimum}")
        self.put("@", "NS", *servers)

    def addresses4(self, low: int = 1, high: int = 3) -> list[str]:
        count = self.rng.randint(low, high)
        return [f"192.0.2.{last}" for last in self.rng.sample(range(1, 255), count)]

    def addresses6(self, low: int = 1, high: int = 3) -> list[str]:
        count = self.rng.randint(low, high)
        return [f"2001:db8::{last:x}" for last in self.rng.sample(range(1, 65535), count)]

    def text(self) -> ZoneText:
        return ZoneText(self.origin, "\n".join(self.lines) + "\n")


def family(seed: int) -> list[ZoneText]:
    """Return the zones of a seed, for all servers to serve."""
    rng = random.Random(seed)
    return [_main(rng), _other(rng), _child(rng), _island(rng), _moved(rng), *_reverse(rng)]


def _main(rng: random.Random) -> ZoneText:
    zone = _Zone(MAIN, rng)
    zone.apex("ns1", "NS2", "ns.outside.test.")
    zone.put("@", "MX", "10 mail", "20 mail.outside.test.", "30 cname-a")
    zone.put("@", "TXT", *_TEXTS[:3])
    zone.put("@", "CAA", '0 issue "ca.example.net"', '128 iodef "mailto:a@example.net"')
    zone.put("@", "A", *zone.addresses4())
    for name in ("ns1", "NS2", "mail"):
        zone.put(name, "A", *zone.addresses4(1, 2))
        zone.put(name, "AAAA", *zone.addresses6(1, 2))
    for part in (_forest, _sets, _services, _aliases, _redirections, _wildcards, _cuts, _oddities):
        part(zone)
    return zone.text()


def _forest(zone: _Zone) -> None:
    """Add random names up to five labels deep, with empty non-terminals between them."""
    rng = zone.rng
    for number in range(60):
        depth = rng.randint(1, 5)
        owner = ".".join([*(rng.choice(_LABELS) for _ in range(depth - 1)), f"t{number % 12}"])
        kinds = rng.sample(("A", "AAAA", "TXT", "MX", "CAA"), rng.randint(1, 3))
        if f"\n{owner.lower()} " in "\n".join(zone.lines).lower():
            continue
        for kind in kinds:
            zone.put(owner, kind, *_rdatas(zone, kind))


def _rdatas(zone: _Zone, kind: str) -> Sequence[str]:
    if kind == "A":
        return zone.addresses4()
    if kind == "AAAA":
        return zone.addresses6()
    if kind == "TXT":
        return zone.rng.sample(_TEXTS, zone.rng.randint(1, 3))
    if kind == "MX":
        return [f"{number} {_target(zone)}" for number in range(zone.rng.randint(1, 3))]
    return ['0 issue ";"']


def _target(zone: _Zone) -> str:
    """Return a target for MX and SRV: in our zones, elsewhere, missing, alias, below a cut."""
    choices = (
        "mail", "set3", "set40", "cname-a", "nowhere", "host.cut", "any.wild", "t1",
        "www.outside.test.", "www.other.example.", "www.child.main.example.",
    )  # fmt: skip
    return zone.rng.choice(choices)


def _sets(zone: _Zone) -> None:
    """Add RRsets of many sizes, some larger than a UDP answer."""
    for size in (1, 2, 3, 5, 10, 20, 28, 29, 30, 40):
        zone.put(f"set{size}", "A", *zone.addresses4(size, size))
        zone.put(f"set{size}", "AAAA", *zone.addresses6(size, size))
    zone.put("set80", "A", *zone.addresses4(80, 80))
    zone.put("big.txt", "TXT", *(f'"{number}" "{"y" * 250}"' for number in range(8)))
    zone.put("one-big.txt", "TXT", " ".join(f'"{"z" * 255}"' for _ in range(6)))


def _services(zone: _Zone) -> None:
    rng = zone.rng
    for number in range(12):
        count = rng.choice((1, 1, 2, 3, 8, 20))
        rdatas = [
            f"{rng.randint(0, 2)} {rng.randint(0, 9)} {8000 + item} {_target(zone)}"
            for item in range(count)
        ]
        zone.put(f"_s{number}._TCP", "SRV", *rdatas)
    zone.put("_none._tcp", "SRV", "0 0 0 .")
    zone.put("svc", "HTTPS", "1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.7", "2 set3 alpn=h2")
    zone.put("svc", "A", *zone.addresses4())
    zone.put("alias", "HTTPS", "0 svc")
    zone.put("_dns.svc", "SVCB", "1 mail alpn=dot", "0 set5")


def _aliases(zone: _Zone) -> None:
    targets = {
        "cname-a": "set3", "cname-txt": "big.txt", "cname-none": "nowhere", "cname-ent": "txt",
        "cname-apex": "@", "cname-wild": "x.y.wild", "cname-wildc": "x.wildc",
        "cname-cut": "host.cut", "cname-atcut": "cut", "cname-glueless": "host.glueless",
        "cname-out": "www.outside.test.", "cname-root": ".",
        "cname-child": "www.child.main.example.",
        "cname-child-none": "no.child.main.example.", "cname-other": "www.other.example.",
        "cname-other-none": "No.Other.example.", "cname-back": "back.other.example.",
        "cname-island": "www.island.cut", "cname-big": "set40", "MiXeD.cAsE": "Set2",
        "loop-self": "loop-self", "loop-a": "loop-b", "loop-b": "loop-c", "loop-c": "loop-a",
        "loop-far": "far-loop.other.example.", "into-loop": "loop-a",
        "_alias._tcp": "_s1._tcp", "cname-svc": "svc",
    }  # fmt: skip
    for owner, target in targets.items():
        zone.put(owner, "CNAME", target)
    for length in (2, 4, 6, 8, 30):
        for step in range(length):
            target = f"c{length}-{step + 1}" if step + 1 < length else "set2"
            zone.put(f"c{length}-{step}", "CNAME", target)


def _redirections(zone: _Zone) -> None:
    """Add DNAME records, and CNAME records that lead to names below them."""
    long = ".".join(["l" * 60] * 3)
    targets = {
        "dn-t1": "t1", "dn-t2": "T2", "Dn-Case": "t3", "a.dn-ent": "t4", "dn-apex": "@",
        "dn-none": "nowhere", "dn-set": "set3", "dn-wild": "wild", "dn-wildc": "wildc",
        "dn-cut": "cut", "dn-child": "child", "dn-other": "other.example.",
        "dn-out": "outside.test.", "dn-root": ".", "dn-two": "dn-t1", "dn-moved": "moved.example.",
        "dn-back": "back-dn.other.example.", "dn-loop-a": "dn-loop-b", "dn-loop-b": "dn-loop-a",
        "dn-self": "dn-self", "dn-nested": "x.dn-nested", "dn-long": long, "dn-longer": "dn-long",
        "dn-svc": "svc", "dn-tcp": "_tcp", "*.dn-star": "t1",
    }  # fmt: skip
    for owner, target in targets.items():
        zone.put(owner, "DNAME", target)
    zone.put("dn-t1", "A", *zone.addresses4())
    zone.put("dn-cut", "MX", "10 ns.dn-cut", "20 mail")
    zone.put("cname-dn", "CNAME", "www.dn-t1")
    zone.put("cname-dn-loop", "CNAME", "x.dn-loop-a")
    zone.put("srv-dn", "SRV", "0 0 80 www.dn-t1", "0 0 80 set2")


def _wildcards(zone: _Zone) -> None:
    zone.put("*.wild", "A", *zone.addresses4())
    zone.put("*.wild", "TXT", '"wild"')
    zone.put("host.sub.wild", "TXT", '"blocks *.wild below sub"')
    zone.put("deep.*.wild", "A", *zone.addresses4())
    zone.put("there.wild", "AAAA", *zone.addresses6())
    zone.put("*.wildmx", "MX", "10 mail", "20 x.wild")
    zone.put("*.wildc", "CNAME", "set3")
    zone.put("*.wildcc", "CNAME", "x.wildc")
    zone.put("*.wildloop", "CNAME", "on.wildloop")
    zone.put("*.wildnone", "CNAME", "nowhere")
    zone.put("*.wildcut", "CNAME", "host.cut")
    zone.put("*.wildsrv", "SRV", "0 0 80 set3")
    zone.put("a.*.star", "A", *zone.addresses4())
    zone.put("*.*.stars", "TXT", '"two stars"')
    zone.put("*.b.ent.*.wildtop", "TXT", '"under"')
    zone.put("*.wildtop", "TXT", '"top"')
    zone.put("*", "MX", "10 mail") if zone.rng.random() < 0.2 else None


def _cuts(zone: _Zone) -> None:
    """Add delegations, and names below them that must stay hidden."""
    zone.put("cut", "NS", "ns.cut", "ns.outside.test.")
    zone.put("ns.cut", "A", *zone.addresses4())
    zone.put("ns.cut", "AAAA", *zone.addresses6())
    zone.put("hidden.cut", "TXT", '"below the cut"')
    zone.put("a.b.hidden.cut", "A", *zone.addresses4())
    zone.put("*.cut", "A", *zone.addresses4())
    zone.put("alias.cut", "CNAME", "set3")
    zone.put("sub.cut", "NS", "ns.sub.cut")
    zone.put("ns.sub.cut", "A", *zone.addresses4())
    zone.put("glueless", "NS", "ns1.outside.test.", "ns2.outside.test.")
    zone.put("sibling", "NS", "ns.cut", "ns1")
    zone.put("self", "NS", "self")
    zone.put("self", "A", *zone.addresses4())
    zone.put("deep.er.cut2", "NS", *(f"ns{number}.deep.er.cut2" for number in range(4)))
    for number in range(4):
        zone.put(f"ns{number}.deep.er.cut2", "A", *zone.addresses4(1, 2))
        zone.put(f"ns{number}.deep.er.cut2", "AAAA", *zone.addresses6(1, 2))
    zone.put("child", "NS", "ns.child", "ns1")
    zone.put("ns.child", "A", *zone.addresses4(1, 1))
    zone.put("wide", "NS", *(f"ns{number}.wide" for number in range(13)))
    for number in range(13):
        zone.put(f"ns{number}.wide", "A", *zone.addresses4(2, 4))
        zone.put(f"ns{number}.wide", "AAAA", *zone.addresses6(2, 4))


def _oddities(zone: _Zone) -> None:
    zone.put("opaque", "TYPE65280", r"\# 4 0a000001", r"\# 0", r"\# 3 ffffff")
    zone.put("opaque", "TYPE731", r"\# 6 abcdef 012345")
    zone.put("opaque", "A", *zone.addresses4())
    zone.put("other-types", "SSHFP", "1 1 123456789abcdef67890123456789abcdef67890")
    zone.put("_443._tcp.other-types", "TLSA", "3 1 1 " + "ab" * 32)
    zone.put("other-types", "NAPTR", r'100 10 "S" "SIP+D2U" "!^.*$!sip:x@example.!" .')
    zone.put("ptr", "PTR", "set3", "elsewhere.test.")
    for owner in _ESCAPED:
        zone.put(owner, "A", *zone.addresses4())
        zone.put(f"below.{owner}", "TXT", '"x"')
    room = 255 - len(MAIN) - 1
    long = ".".join("l" * min(63, length) for length in _split(room))
    zone.put(long, "A", *zone.addresses4())
    zone.put("long", "CNAME", long)
    zone.put("d" * 63, "A", *zone.addresses4())


def _split(size: int) -> Iterable[int]:
    """Yield lengths of labels, none empty, that take exactly ``size`` bytes in wire form."""
    while size > 64:
        step = 63 if size - 64 != 1 else 62
        yield step
        size -= step + 1
    yield size - 1


def _other(rng: random.Random) -> ZoneText:
    zone = _Zone(OTHER, rng)
    zone.apex("ns1.main.example.", "ns.outside.test.")
    zone.put("www", "A", *zone.addresses4())
    zone.put("back", "CNAME", "set3.main.example.")
    zone.put("far-loop", "CNAME", "loop-far.main.example.")
    zone.put("cut", "NS", "ns.cut")
    zone.put("ns.cut", "A", *zone.addresses4())
    zone.put("a.ent", "CNAME", "www")
    zone.put("back-dn", "DNAME", "t1.main.example.")
    zone.put("*", "TXT", '"covers the apex"')
    zone.put("*", "AAAA", *zone.addresses6())
    return zone.text()


def _child(rng: random.Random) -> ZoneText:
    zone = _Zone(CHILD, rng)
    zone.apex("ns", "ns1.main.example.")
    zone.put("ns", "A", *zone.addresses4())
    zone.put("www", "A", *zone.addresses4())
    zone.put("www", "AAAA", *zone.addresses6())
    zone.put("up", "CNAME", "set3.main.example.")
    zone.put("side", "CNAME", "host.cut.main.example.")
    return zone.text()


def _island(rng: random.Random) -> ZoneText:
    zone = _Zone(ISLAND, rng)
    zone.apex("ns1.main.example.")
    zone.put("www", "A", *zone.addresses4())
    return zone.text()


def _moved(rng: random.Random) -> ZoneText:
    zone = _Zone(MOVED, rng)
    zone.apex("ns1.main.example.")
    zone.put("@", "DNAME", "t5.main.example.")
    zone.put("@", "A", *zone.addresses4())
    return zone.text()


def _reverse(rng: random.Random) -> list[ZoneText]:
    zone4 = _Zone(REVERSE4, rng)
    zone4.apex("ns1.main.example.")
    for last in rng.sample(range(256), 40):
        zone4.put(str(last), "PTR", *(f"set{size}.main.example." for size in (1, 3)))
    zone6 = _Zone(REVERSE6, rng)
    zone6.apex("ns1.main.example.")
    for _ in range(20):
        nibbles = ".".join(rng.choice("0123456789abcdef") for _ in range(24))
        zone6.put(nibbles, "PTR", "www.main.example.")
    return [zone4.text(), zone6.text()]
