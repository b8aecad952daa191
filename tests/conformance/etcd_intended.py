"""Where a source in etcd is meant to be answered otherwise than by CoreDNS, each with its reason.

``docs/moving/skydns-coredns-etcd.md`` tells the same to who moves over. A line covers some fields
of the answers to some questions, nothing else.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.conformance.etcd_keys import ZONES, Keys, name_of, path_of

Records = frozenset[tuple[str, str, str]]
"""Owner, type, rdata."""


@dataclass(frozen=True)
class View:
    """What one server said."""

    rcode: str
    answer: Records
    additional: Records
    ttls: tuple[tuple[str, int], ...]
    """Type and TTL of each record in the answer."""

    def rdatas(self, rtype: str) -> frozenset[str]:
        """What the answer has of a type."""
        return frozenset(rdata for _, kind, rdata in self.answer if kind == rtype)


@dataclass(frozen=True)
class Case:
    """One question, what both said, and what there is in etcd."""

    keys: Keys
    name: str
    rtype: str
    mine: View
    theirs: View

    @cached_property
    def path(self) -> str:
        return path_of(self.name)

    @cached_property
    def apex(self) -> bool:
        return self.name in ZONES

    @cached_property
    def reached(self) -> list[str]:
        """The paths that an answer comes of: the name's, and what its aliases lead to."""
        places = {"NS": ["dns/ns"], "A": ["dns/apex"], "AAAA": ["dns/apex"]}
        found = [self.path]
        for path in found:
            if name_of(path) in ZONES:
                found += [f"{path}/{one}" for one in places.get(self.rtype, [])]
            for one in self.keys.at(path):
                host = host_of(self.keys.values[one])
                if host and kind_of(host) == "name" and inside(host):
                    target = path_of(host.removesuffix("."))
                    if target not in found:
                        found.append(target)
        return found

    @cached_property
    def values(self) -> list[Any]:
        """The values that an answer comes of."""
        return [self.keys.values[one] for path in self.reached for one in self.keys.at(path)]

    @cached_property
    def here(self) -> list[Any]:
        """The values of the name, without what its aliases lead to."""
        return [self.keys.values[one] for one in self.keys.at(self.path)]


@dataclass(frozen=True)
class Intended:
    """A difference that is meant: its fields, when it applies, why."""

    id: str
    fields: frozenset[str]
    applies: Callable[[Case], bool]
    reason: str


def host_of(value: Any) -> str:
    """The host in a value, empty where it has none or can't be read."""
    host = value.get("host", "") if isinstance(value, dict) else ""
    return host if isinstance(host, str) else ""


def kind_of(host: str) -> str:
    """What a host is: A, AAAA or a name."""
    try:
        return "A" if ipaddress.ip_address(host).version == 4 else "AAAA"
    except ValueError:
        return "name"


def inside(host: str) -> bool:
    """Whether a name is in one of the zones."""
    bare = host.removesuffix(".")
    return any(bare == zone or bare.endswith("." + zone) for zone in ZONES)


def is_good(value: Any) -> bool:
    """Whether a value can be read."""
    if not isinstance(value, dict) or not isinstance(value.get("host", ""), str):
        return False
    return isinstance(value.get("port", 0), int)


def _has_name(case: Case) -> bool:
    return any(host_of(one) and kind_of(host_of(one)) == "name" for one in case.here)


def _is_alias(case: Case) -> bool:
    """musterd gives a CNAME, and nothing else, of this name."""
    own = {(kind, rdata) for owner, kind, rdata in case.mine.answer if owner == case.name + "."}
    return len(own) == 1 and next(iter(own))[0] == "CNAME" and _has_name(case)


def _both(case: Case) -> bool:
    return any(case.keys.own(path) and case.keys.below(path) for path in case.reached)


def _text_and_host(case: Case) -> bool:
    return any(one.get("text") and host_of(one) for one in case.values if is_good(one))


def _bad(case: Case) -> bool:
    return any(not is_good(one) for one in case.values) and case.theirs.rcode == "SERVFAIL"


def _stripped_name(case: Case) -> bool:
    return any(
        one.get("targetstrip") and host_of(one) and kind_of(host_of(one)) == "name"
        for one in case.here
        if is_good(one)
    )


def _long_text(case: Case) -> bool:
    return any(len(one.get("text", "")) >= 255 for one in case.values if is_good(one))


def _nothing_at(case: Case) -> bool:
    """There are keys, but none of them gives a record at this name."""
    return case.mine.rcode == "NXDOMAIN" and case.theirs.rcode == "NOERROR" and bool(case.here)


def _flat(case: Case) -> bool:
    """The addresses of aliases beside other data are those of the name itself."""
    return _has_name(case) and case.rtype in {"A", "AAAA"}


def _grouped(case: Case) -> bool:
    """A deeper key with a group comes before a shorter one that has none, or another."""
    return any(_groups_differ(case.keys, path) for path in case.reached)


def _has_targets(case: Case) -> bool:
    return case.rtype in {"SRV", "MX", "NS"} and (_stripped(case) or _targets_aliases(case))


def _targets_aliases(case: Case) -> bool:
    """A host is a name of ours that is or has an alias itself."""
    hosts = [host_of(one) for one in case.here]
    targets = [path_of(one.removesuffix(".")) for one in hosts if one and inside(one)]
    beyond = [case.keys.values[one] for path in targets for one in case.keys.at(path)]
    return any(host_of(one) and kind_of(host_of(one)) == "name" for one in beyond)


def _doubles(case: Case) -> bool:
    """Two keys say the same host or text."""
    for name in ("host", "text"):
        said = [one[name] for one in case.values if is_good(one) and one.get(name)]
        if len(said) != len(set(said)):
            return True
    return False


def _groups_differ(keys: Keys, path: str) -> bool:
    found = [(one, keys.values[one]) for one in keys.at(path)]
    given = [(one.count("/"), value.get("group")) for one, value in found if is_good(value)]
    if not any(group for _, group in given):
        return False
    least = min(depth for depth, _ in given)
    return given[0][0] > least and any(depth == least and not group for depth, group in given)


def _stripped(case: Case) -> bool:
    return any(one.get("targetstrip") for one in case.here if is_good(one))


_ANSWER = frozenset({"answer", "rcode", "ttl", "additional"})

INTENDED = (
    Intended(
        "bad-value",
        _ANSWER,
        _bad,
        "a value that can't be read is left out and shown; CoreDNS answers SERVFAIL for every name "
        "above it",
    ),
    Intended(
        "own-and-below",
        _ANSWER,
        _both,
        "a name answers with its own key and those below it; CoreDNS leaves its own out when there "
        "are others",
    ),
    Intended(
        "alias-alone",
        _ANSWER,
        _is_alias,
        "a name that is an alias and nothing else has a CNAME for every type (RFC 1034 section "
        "3.6.2); CoreDNS gives it for A, AAAA and TXT only, and not where it leads to nothing",
    ),
    Intended(
        "alias-beside-others",
        _ANSWER,
        _flat,
        "an alias beside other data gives the addresses of its target, if that is in a zone of "
        "ours; CoreDNS gives CNAMEs beside other data, several of a name too (RFC 2181 section "
        "10.1)",
    ),
    Intended(
        "text-of-target",
        _ANSWER,
        lambda case: case.rtype == "TXT" and _has_name(case),
        "texts are those of the name; CoreDNS adds those of its aliases' targets",
    ),
    Intended(
        "text-beside-host",
        _ANSWER,
        _text_and_host,
        "a key with a text and a host gives both; CoreDNS leaves out the text of one with an "
        "address, and the host of one with a name",
    ),
    Intended(
        "text-of-255",
        frozenset({"answer"}),
        lambda case: case.rtype == "TXT" and _long_text(case),
        "a text of 255 octets is one string; CoreDNS adds an empty one",
    ),
    Intended(
        "stripped-name",
        frozenset({"answer", "additional"}),
        lambda case: case.rtype in {"SRV", "MX"} and _stripped_name(case),
        "targetstrip is for the name that stands for an address; CoreDNS takes labels off the name "
        "in host as well",
    ),
    Intended(
        "cname-question",
        _ANSWER,
        lambda case: case.rtype == "CNAME",
        "the type CNAME is answered as it is for all others; CoreDNS looks at the key of the name "
        "alone, gives NXDOMAIN without one, and a CNAME beside other data",
    ),
    Intended(
        "ptr-question",
        _ANSWER,
        lambda case: case.rtype == "PTR" and not case.name.endswith("arpa"),
        "PTR records are made in zones of in-addr.arpa and ip6.arpa; CoreDNS makes them of every "
        "name with a host that is a name, and gives NXDOMAIN for those without a key",
    ),
    Intended(
        "reverse-zone",
        _ANSWER,
        lambda case: case.name.endswith("arpa") and not (case.rtype == "PTR" and case.mine.answer),
        "a reverse name has PTR records; CoreDNS makes aliases and services of it too",
    ),
    Intended(
        "no-record-no-name",
        frozenset({"rcode"}),
        _nothing_at,
        "a name exists if it, or one below it, has a record (RFC 8020); CoreDNS looks for keys",
    ),
    Intended(
        "apex-exists",
        frozenset({"rcode"}),
        lambda case: case.apex and not case.here and case.mine.rcode == "NOERROR",
        "the apex of a zone exists, it has a SOA; CoreDNS gives NXDOMAIN when a zone has no keys",
    ),
    Intended(
        "own-ns",
        _ANSWER,
        lambda case: case.rtype == "NS" and case.apex,
        "an apex without keys in ns.dns has the NS of its [[zones]], and a host there may be a "
        "name; CoreDNS gives NXDOMAIN and SERVFAIL",
    ),
    Intended(
        "group-of-the-shortest",
        frozenset({"answer", "additional", "ttl"}),
        _grouped,
        "the first of the shortest keys decides about groups; CoreDNS takes a deeper one where it "
        "comes before",
    ),
    Intended(
        "ttl-of-doubles",
        frozenset({"ttl"}),
        _doubles,
        "of records that are the same the lowest TTL holds; CoreDNS takes that of the first",
    ),
    Intended(
        "addresses-of-targets",
        frozenset({"additional"}),
        _has_targets,
        "the addresses of targets are those that their names have: targets must be no aliases (RFC "
        "2782); CoreDNS follows these, and adds the address of a key under a name that may have "
        "others",
    ),
)


PLAIN = frozenset({
    "alias-alone", "alias-beside-others", "text-of-target", "cname-question", "ptr-question",
    "reverse-zone", "no-record-no-name", "apex-exists", "own-ns", "ttl-of-doubles",
    "addresses-of-targets", "stripped-name",
})  # fmt: skip
"""The lines that may be needed for a plain set of keys."""


def explain(case: Case, fields: set[str]) -> tuple[list[Intended], set[str]]:
    """The lines that explain these differences, and the fields that none explains."""
    lines = [line for line in INTENDED if not case.keys.plain or line.id in PLAIN]
    used = [line for line in lines if line.fields & fields and line.applies(case)]
    return used, fields - {field for line in used for field in line.fields}
