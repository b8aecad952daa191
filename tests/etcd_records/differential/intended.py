"""Intended differences to CoreDNS for records in etcd, each with its reason.

``docs/moving/skydns-coredns-etcd.md`` lists them for users. Each line covers some fields of the
answers to some questions.
"""

import ipaddress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.etcd_records.differential.keys import WILDCARDS, ZONES, KeySet, name_of, path_of
from tests.intended import Intended

Records = frozenset[tuple[str, str, str]]
"""Owner, type, rdata."""


@dataclass(frozen=True)
class CoreDnsView:
    """The compared fields of a server's reply."""

    rcode: str
    answer: Records
    additional: Records
    ttls: tuple[tuple[str, int], ...]
    """Type and TTL of each record in the answer."""

    def rdatas(self, rtype: str) -> frozenset[str]:
        """Return the rdata of a type in the answer section."""
        return frozenset(rdata for _, kind, rdata in self.answer if kind == rtype)


@dataclass(frozen=True)
class CoreDnsCase:
    """A question, both replies, and the keys in etcd."""

    keys: KeySet
    name: str
    rtype: str
    mine: CoreDnsView
    theirs: CoreDnsView

    @cached_property
    def path(self) -> str:
        return path_of(self.name)

    @cached_property
    def apex(self) -> bool:
        return self.name in ZONES

    @cached_property
    def reached(self) -> list[str]:
        """The paths that contribute to an answer: of the name and of its aliases' targets."""
        places = {"NS": ["dns/ns"], "A": ["dns/apex"], "AAAA": ["dns/apex"]}
        found = self.keys.matches(self.path)
        for path in found:
            if name_of(path) in ZONES:
                found += [f"{path}/{place}" for place in places.get(self.rtype, [])]
            for key in self.keys.at(path):
                host = host_of(self.keys.values[key])
                if host and kind_of(host) == "name" and inside(host):
                    target = path_of(host.removesuffix("."))
                    if target not in found:
                        found.append(target)
        return found

    @cached_property
    def values(self) -> list[Any]:
        """The values that contribute to an answer."""
        return [self.keys.values[key] for path in self.reached for key in self.keys.at(path)]

    @cached_property
    def here(self) -> list[Any]:
        """The values of the name itself, without its aliases' targets."""
        return [
            self.keys.values[key]
            for path in self.keys.matches(self.path)
            for key in self.keys.at(path)
        ]

    @cached_property
    def wild(self) -> bool:
        """True if the question has wildcard labels."""
        return bool(WILDCARDS & {*self.name.split(".")})


def host_of(value: Any) -> str:
    """Return the host in a value, empty if it has none or is invalid."""
    host = value.get("host", "") if isinstance(value, dict) else ""
    return host if isinstance(host, str) else ""


def kind_of(host: str) -> str:
    """Return the kind of a host: A, AAAA or name."""
    try:
        return "A" if ipaddress.ip_address(host).version == 4 else "AAAA"
    except ValueError:
        return "name"


def inside(host: str) -> bool:
    """Return whether a name is in one of the zones."""
    bare = host.removesuffix(".")
    return any(bare == zone or bare.endswith("." + zone) for zone in ZONES)


def is_good(value: Any) -> bool:
    """Return whether a value is valid."""
    if not isinstance(value, dict) or not isinstance(value.get("host", ""), str):
        return False
    return isinstance(value.get("port", 0), int)


def _has_name(case: CoreDnsCase) -> bool:
    return any(map(_names_host, case.here))


def _names_host(value: Any) -> bool:
    host = host_of(value)
    return bool(host) and kind_of(host) == "name"


def _is_alias(case: CoreDnsCase) -> bool:
    """Return whether musterd answers with a CNAME and nothing else at this name."""
    own = {(kind, rdata) for owner, kind, rdata in case.mine.answer if owner == case.name + "."}
    return len(own) == 1 and next(iter(own))[0] == "CNAME" and _has_name(case)


def _both(case: CoreDnsCase) -> bool:
    return any(case.keys.own(path) and case.keys.below(path) for path in case.reached)


def _text_and_host(case: CoreDnsCase) -> bool:
    return any(value.get("text") and host_of(value) for value in case.values if is_good(value))


def _bad(case: CoreDnsCase) -> bool:
    return any(not is_good(value) for value in case.values) and case.theirs.rcode == "SERVFAIL"


def _stripped_name(case: CoreDnsCase) -> bool:
    return any(
        value.get("targetstrip") and _names_host(value) for value in case.here if is_good(value)
    )


def _long_text(case: CoreDnsCase) -> bool:
    return any(len(value.get("text", "")) >= 255 for value in case.values if is_good(value))


def _nothing_at(case: CoreDnsCase) -> bool:
    """Return whether there are keys, but none has a record at this name."""
    return case.mine.rcode == "NXDOMAIN" and case.theirs.rcode == "NOERROR" and bool(case.here)


def _flat(case: CoreDnsCase) -> bool:
    """Return whether the addresses of an alias's target belong to the name itself."""
    return _has_name(case) and case.rtype in {"A", "AAAA"}


def _grouped(case: CoreDnsCase) -> bool:
    """Return whether a deeper key with a group precedes a shorter one without it."""
    return any(_groups_differ(case.keys, path) for path in case.reached)


def _has_targets(case: CoreDnsCase) -> bool:
    return case.rtype in {"SRV", "MX", "NS"} and (_stripped(case) or _targets_aliases(case))


def _targets_aliases(case: CoreDnsCase) -> bool:
    """Return whether a host is a name in our zones that is or has an alias itself."""
    hosts = [host_of(value) for value in case.here]
    targets = [path_of(host.removesuffix(".")) for host in hosts if host and inside(host)]
    beyond = [case.keys.values[key] for path in targets for key in case.keys.at(path)]
    return any(map(_names_host, beyond))


def _doubles(case: CoreDnsCase) -> bool:
    """Return whether two keys have the same host or text."""
    for name in ("host", "text"):
        found = [value[name] for value in case.values if is_good(value) and value.get(name)]
        if len(found) != len(set(found)):
            return True
    return False


def _groups_differ(keys: KeySet, path: str) -> bool:
    found = [(key, keys.values[key]) for key in keys.at(path)]
    given = [(key.count("/"), value.get("group")) for key, value in found if is_good(value)]
    if not any(group for _, group in given):
        return False
    least = min(depth for depth, _ in given)
    return given[0][0] > least and any(depth == least and not group for depth, group in given)


def _stripped(case: CoreDnsCase) -> bool:
    return any(value.get("targetstrip") for value in case.here if is_good(value))


_ANSWER = frozenset({"answer", "rcode", "ttl", "additional"})


def _in_other_zone(case: CoreDnsCase) -> bool:
    """Return whether names match that are in another zone."""
    zone = max((zone for zone in ZONES if case.name.endswith(zone)), key=len)
    names = [name_of(path) for path in case.keys.matches(case.path)]
    return any(
        other != zone and (name == other or name.endswith(f".{other}"))
        for name in names
        for other in ZONES
        if len(other) > len(zone)
    )


def _unshared(case: CoreDnsCase) -> bool:
    """Return whether a service counts in CoreDNS's weights that has no SRV record, or the same."""
    ports = [value.get("port") for value in case.here if is_good(value)]
    return -1 in ports or _doubles(case)


INTENDED: tuple[Intended[CoreDnsCase], ...] = (
    Intended(
        "wildcard-no-name",
        frozenset({"rcode"}),
        lambda case: case.wild and case.mine.rcode == "NXDOMAIN" and not case.theirs.answer,
        "a question with wildcards that matches no name is NXDOMAIN; CoreDNS gives NODATA if there "
        "is any key at or below its labels before the first wildcard",
    ),
    Intended(
        "wildcard-in-one-zone",
        _ANSWER,
        lambda case: case.wild and _in_other_zone(case),
        "wildcards match the names of one zone; CoreDNS adds those of zones below it",
    ),
    Intended(
        "wildcard-aliases",
        _ANSWER,
        lambda case: case.wild and _has_name(case),
        "an alias that matches counts as the records it leads to, or as a CNAME if it is alone",
    ),
    Intended(
        "wildcard-groups",
        _ANSWER,
        lambda case: case.wild and any(value.get("group") for value in case.here if is_good(value)),
        "each name that matches has its own group; CoreDNS uses one for all",
    ),
    Intended(
        "wildcard-weights",
        frozenset({"answer"}),
        lambda case: case.wild and case.rtype == "SRV" and _unshared(case),
        "weights are shares of the records in the answer; CoreDNS also counts services without one",
    ),
    Intended(
        "bad-value",
        _ANSWER,
        _bad,
        "an invalid value is skipped and reported; CoreDNS answers SERVFAIL for all names above it",
    ),
    Intended(
        "own-and-below",
        _ANSWER,
        _both,
        "a name is answered with its own key and the keys below it; CoreDNS ignores its own key if "
        "there are others",
    ),
    Intended(
        "alias-alone",
        _ANSWER,
        _is_alias,
        "a name that is only an alias is answered with a CNAME for every type (RFC 1034 section "
        "3.6.2); CoreDNS does so for A, AAAA and TXT only, and only if the target exists",
    ),
    Intended(
        "alias-beside-others",
        _ANSWER,
        _flat,
        "an alias beside other data is answered with the addresses of its target, if that is in "
        "one of our zones; CoreDNS gives one or several CNAMEs beside other data (against RFC 2181 "
        "section 10.1)",
    ),
    Intended(
        "text-of-target",
        _ANSWER,
        lambda case: case.rtype == "TXT" and _has_name(case),
        "only texts of the name itself are answered; CoreDNS adds those of its aliases' targets",
    ),
    Intended(
        "text-beside-host",
        _ANSWER,
        _text_and_host,
        "a key with a text and a host gives both records; CoreDNS drops the text if the host is an "
        "address, and the host if it is a name",
    ),
    Intended(
        "text-of-255",
        frozenset({"answer"}),
        lambda case: case.rtype == "TXT" and _long_text(case),
        "a text of 255 bytes is one string; CoreDNS adds an empty one",
    ),
    Intended(
        "stripped-name",
        frozenset({"answer", "additional"}),
        lambda case: case.rtype in {"SRV", "MX"} and _stripped_name(case),
        "targetstrip applies to the target that is made up for an address; CoreDNS also strips "
        "labels from a name in host",
    ),
    Intended(
        "cname-question",
        _ANSWER,
        lambda case: case.rtype == "CNAME",
        "type CNAME is answered as any other type; CoreDNS reads only the key of the name itself, "
        "answers NXDOMAIN without one, and gives a CNAME beside other data",
    ),
    Intended(
        "ptr-question",
        _ANSWER,
        lambda case: case.rtype == "PTR" and not case.name.endswith("arpa"),
        "PTR records exist in zones of in-addr.arpa and ip6.arpa only; CoreDNS gives one for every "
        "key whose host is a name, and NXDOMAIN for names without a key",
    ),
    Intended(
        "reverse-zone",
        _ANSWER,
        lambda case: case.name.endswith("arpa") and not (case.rtype == "PTR" and case.mine.answer),
        "a reverse name has PTR records only; CoreDNS also gives aliases and services",
    ),
    Intended(
        "no-record-no-name",
        frozenset({"rcode"}),
        _nothing_at,
        "a name exists if it or a name below it has a record (RFC 8020); CoreDNS checks for keys",
    ),
    Intended(
        "apex-exists",
        frozenset({"rcode"}),
        lambda case: case.apex and not case.here and case.mine.rcode == "NOERROR",
        "the apex of a zone exists, as it has a SOA; CoreDNS gives NXDOMAIN if a zone has no keys",
    ),
    Intended(
        "own-ns",
        _ANSWER,
        lambda case: case.rtype == "NS" and case.apex,
        "an apex without keys in ns.dns has the NS records of its [[zones]], and a host there may "
        "be a name; CoreDNS gives NXDOMAIN and SERVFAIL",
    ),
    Intended(
        "group-of-the-shortest",
        frozenset({"answer", "additional", "ttl"}),
        _grouped,
        "the first of the shortest keys decides on the group; CoreDNS uses a deeper key if it "
        "comes first",
    ),
    Intended(
        "ttl-of-doubles",
        frozenset({"ttl"}),
        _doubles,
        "equal records get the lowest TTL; CoreDNS uses that of the first",
    ),
    Intended(
        "addresses-of-targets",
        frozenset({"additional"}),
        _has_targets,
        "a target gets the addresses of its own name, as targets must not be aliases (RFC 2782); "
        "CoreDNS follows aliases, and adds the address of one key even if the name has others",
    ),
)


PLAIN = frozenset({
    "wildcard-no-name", "wildcard-in-one-zone", "wildcard-aliases", "wildcard-weights",
    "alias-alone", "alias-beside-others", "text-of-target", "cname-question", "ptr-question",
    "reverse-zone", "no-record-no-name", "apex-exists", "own-ns", "ttl-of-doubles",
    "addresses-of-targets", "stripped-name",
})  # fmt: skip
"""Lines that may apply to a plain set of keys."""


def explain(case: CoreDnsCase, fields: set[str]) -> tuple[list[Intended[CoreDnsCase]], set[str]]:
    """Return the lines that explain the differences, and the fields left unexplained."""
    lines = [line for line in INTENDED if not case.keys.plain or line.id in PLAIN]
    used = [line for line in lines if line.fields & fields and line.applies(case)]
    return used, fields - {field for line in used for field in line.fields}
