"""The RRsets of a name, from the services that are kept at it and below it.

CoreDNS's etcd plugin makes its answers of them question by question, and may give a CNAME, an
address and an SRV record of one name. A name of ours has RRsets (RFC 2181 section 5), so what there
is of a name is decided once: a CNAME stands alone (section 10.1), and where a name has anything
else, its aliases give the addresses of their targets.
"""

import struct
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from musterd.rr.rrset import Record
from musterd.rr.types import AAAA, CNAME, MX, NS, PTR, SRV, TXT, A
from musterd.sources.etcd.keys import name_of, path_of
from musterd.sources.etcd.service import IPV4, IPV6, NAME, NO_PORT, Service

MOST: Final = 1000
"""The most records of an RRset, and services that make up a name."""
FOLLOWED: Final = 1000
"""The most services that a name has the addresses of by its aliases, in all."""
CHAIN: Final = 8
"""The most aliases that are followed one after the other."""
STEP: Final = 250
"""Services that are looked at without a break: half a millisecond of work."""
FOLLOW_STEP: Final = 50
"""Aliases that are looked at without a break: a millisecond or two, where names have many labels.
"""
RRSET_OCTETS: Final = 65_000
"""The most octets of an RRset, each record counted with what a message needs for it."""
_RECORD_OCTETS: Final = 12
"""Of a record in a message: its name, type, class, TTL and the length of its rdata."""
_WEIGHT: Final = 100
"""Of a service that has none."""
_WEIGHT_MOST: Final = 0xFFFF
_STRING: Final = 255
_TTL_MOST: Final = 0x7FFF_FFFF

_RRSET = struct.Struct("!IQBBH")
_SINGLE = struct.Struct("!IQBBHHH")
_RECORD = struct.Struct("!HH")
_PORT = struct.Struct("!HHH")
_FAMILIES: Final = {IPV4: A, IPV6: AAAA}
_TARGETED: Final = {NS, MX, SRV}
"""Types whose record of an address leads to the name of its key, which then has the address."""

RRsets = dict[int, bytes]
"""Packed RRsets by type."""
Addresses = dict[bytes, tuple[int, int]]
"""Address -> weight (0 for none) and TTL in seconds."""
Follow = Callable[[bytes], Sequence[Service]]
"""Gives the services with a host at a path, none where it is in no zone."""


@dataclass(slots=True)
class Left:
    """What of a name is left out.

    cut: types of which there are more records than an RRset has; down: type and rdata of records
    whose address is down while there are others, with their weight and that address.
    """

    cut: set[int] = field(default_factory=set)
    down: dict[tuple[int, bytes], tuple[int, bytes]] = field(default_factory=dict)


def alias(path: bytes, services: Sequence[Service], *, apex: bool) -> RRsets | None:
    """What a name answers that is an alias and nothing else.

    None if it is no such; ``others`` and ``addresses`` say what it answers then. apex: whether the
    name is that of a zone, where no CNAME can be (RFC 1912 section 2.4).
    """
    hosts = with_host(services)
    target = None if apex else _sole_alias(path, hosts)
    return None if target is None else {CNAME: rrset(min(one.ttl for one in hosts), [(1, target)])}


def with_host(services: Sequence[Service]) -> Sequence[Service]:
    """The services with a host, of the group that counts."""
    return grouped([service for service in services if service.kind])


def address_records(service: Service, owner: bytes) -> tuple[Record, ...]:
    """The records of the name of a service with an address and no text; else nothing.

    owner: the wire name of its path.
    """
    path, kind, mail, rtype, strip, ttl, priority, weight, port, _, host, _, text = service
    family = _FAMILIES.get(kind)
    if family is None or text or mail or rtype not in {0, family}:
        return ()
    head = _SINGLE.pack(ttl, 0, 0, 0, 1, min(weight or 1, _WEIGHT_MOST), len(host))
    address = Record(owner, family, head + host)
    if port == NO_PORT or rtype:
        return (address,)
    weight = weight or _WEIGHT
    part = int(100.0 / weight * weight)
    rdata = _PORT.pack(priority, part, port) + (stripped(path, strip) if strip else owner)
    srv = _SINGLE.pack(ttl, 0, 0, 0, 1, part, len(rdata)) + rdata
    return address, Record(owner, SRV, srv)


def others(
    services: Sequence[Service], hosts: Sequence[Service], down: Container[bytes], left: Left
) -> Iterator[RRsets]:
    """All but the addresses, one type after the other, and nothing where there may be a break.

    services: of a name, in the order of their keys; hosts: those ``with_host``; down: addresses
    that are left out while there are others; left: gets what is left out.
    """
    yield from _srv([one for one in hosts if one.rtype in {0, SRV}], down, left)
    yield _joined(MX, _mx(one for one in hosts if one.mail or one.rtype == MX), left)
    if any(one.text for one in services):
        yield _joined(TXT, _txt(grouped(services)), left)


def of_type(rtype: int, services: Sequence[Service], left: Left) -> RRsets:
    """The RRset of one type that is no address, at a name that has its own place for it."""
    kept = grouped(services)
    make = {NS: _ns, MX: _mx, TXT: _txt}[rtype]
    return _joined(rtype, make(one for one in kept if one.rtype in {0, rtype}), left)


def reverse(services: Iterable[Service], left: Left) -> RRsets:
    """What a name below in-addr.arpa or ip6.arpa answers: the names that it has, as PTR."""
    return _joined(PTR, [(one.ttl, 1, one.host) for one in services if one.kind == NAME], left)


def addresses(
    path: bytes,
    hosts: Sequence[Service],
    follow: Follow,
    down: Container[bytes],
    left: Left,
) -> Iterator[RRsets]:
    """The A and AAAA records of services, with those of the names that they are aliases of.

    At the end; before that nothing, where there may be a break.
    """
    found: dict[int, Addresses] = {A: {}, AAAA: {}}
    seen, aliases = {path}, 0
    level = [(path, hosts, 0, _TTL_MOST)]
    for _ in range(CHAIN + 1):
        after: list[tuple[bytes, Sequence[Service], int, int]] = []
        for here, some, weight, ttl in level:
            for one in some:
                if one.kind != NAME:
                    rtype = _FAMILIES[one.kind]
                    if one.rtype in {0, rtype} or (one.rtype in _TARGETED and one.path == here):
                        _add(found[rtype], one.host, weight or one.weight, min(ttl, one.ttl))
                elif one.rtype in {0, CNAME} and len(seen) <= MOST:
                    aliases += 1
                    if aliases % FOLLOW_STEP == 0:
                        yield {}
                    target = path_of(one.host)
                    if target not in seen and not _is_below(target, here):
                        seen.add(target)
                        limits = weight or one.weight, min(ttl, one.ttl)
                        after.append((target, follow(target), *limits))
        level = after
    joined: RRsets = {}
    for rtype, known in found.items():
        joined |= _joined(rtype, _addresses(rtype, known, down, left), left)
    yield joined


def _add(known: Addresses, address: bytes, weight: int, ttl: int) -> None:
    if address in known:
        weight, ttl = known[address][0], min(ttl, known[address][1])
    known[address] = weight, ttl


def grouped(services: Sequence[Service]) -> Sequence[Service]:
    """Those that the group of the shortest key leaves.

    The first of the shortest keys decides: if it has a group, only that and what has none stay,
    unless another key of its length is of another group.
    """
    if not any(service.group for service in services):
        return services
    depth = min(service.path.count(b"/") for service in services)
    top = [service.group for service in services if service.path.count(b"/") == depth]
    group = top[0]
    if not group or any(other not in {b"", group} for other in top):
        return services
    return [service for service in services if service.group in {b"", group}]


def _sole_alias(path: bytes, hosts: Sequence[Service]) -> bytes | None:
    """The target of a name that is an alias and nothing else."""
    if not hosts or any(not _is_alias(one) or one.host != hosts[0].host for one in hosts):
        return None
    target = hosts[0].host
    return None if _is_below(path_of(target), path) else target


def _is_alias(one: Service) -> bool:
    if one.kind != NAME or one.rtype not in {0, CNAME}:
        return False
    return one.rtype == CNAME or (not one.mail and one.port in {0, NO_PORT})


def _is_below(target: bytes, path: bytes) -> bool:
    """Whether a path is another or below it: an alias to that leads back to where it is."""
    return target == path or target.startswith(path + b"/")


def stripped(path: bytes, strip: int) -> bytes:
    """The wire name of a path without some of its first labels; with all, if it has no more."""
    if strip:
        labels = path.split(b"/")
        if strip < len(labels):
            path = b"/".join(labels[: len(labels) - strip])
    return name_of(path)


Made = list[tuple[int, int, bytes]]
"""TTL, weight and rdata of records."""


def _srv(hosts: Sequence[Service], down: Container[bytes], left: Left) -> Iterator[RRsets]:
    """The weights of a priority are parts of 100 (SkyDNS), as near as whole numbers are."""
    sums: dict[int, int] = {}
    for one in hosts:
        sums[one.priority] = sums.get(one.priority, 0) + (one.weight or _WEIGHT)
    addresses: set[tuple[bytes, int]] = set()
    up: dict[bytes, tuple[int, int, bytes]] = {}
    rest: dict[bytes, tuple[int, int, bytes]] = {}
    out: dict[tuple[int, bytes], tuple[int, bytes]] = {}
    for number, one in enumerate(hosts, 1):
        if number % STEP == 0:
            yield {}
        if one.port == NO_PORT:
            continue
        target = one.host
        if one.kind != NAME:
            # Two addresses under one name and port are one service there.
            target = stripped(one.path, one.strip)
            if (target, one.port) in addresses:
                continue
            addresses.add((target, one.port))
        # In this order, so that it is rounded as elsewhere.
        weight = max(1, int(100.0 / sums[one.priority] * (one.weight or _WEIGHT)))
        rdata = _PORT.pack(one.priority, weight, one.port) + target
        known = up
        if one.kind != NAME and one.host in down:
            known = rest
            out.setdefault((SRV, rdata), (weight, one.host))
        known.setdefault(rdata, (one.ttl, weight, rdata))
    if up:
        left.down |= out
    yield _joined(SRV, list((up or rest).values()), left)


def _mx(services: Iterable[Service]) -> Made:
    found: dict[bytes, tuple[int, int, bytes]] = {}
    for one in services:
        if one.kind:
            target = one.host if one.kind == NAME else stripped(one.path, one.strip)
            rdata = one.priority.to_bytes(2, "big") + target
            found.setdefault(rdata, (one.ttl, 1, rdata))
    return list(found.values())


def _ns(services: Iterable[Service]) -> Made:
    found: dict[bytes, tuple[int, int, bytes]] = {}
    for one in services:
        if one.kind:
            target = one.host if one.kind == NAME else stripped(one.path, one.strip)
            found.setdefault(target, (one.ttl, 1, target))
    return list(found.values())


def _txt(services: Iterable[Service]) -> Made:
    """A text is cut into strings of 255 octets (RFC 1035 section 3.3)."""
    found: dict[bytes, tuple[int, int, bytes]] = {}
    for one in services:
        if one.text and one.rtype in {0, TXT}:
            cuts = range(0, len(one.text), _STRING)
            strings = [one.text[at : at + _STRING] for at in cuts]
            rdata = b"".join(bytes((len(string),)) + string for string in strings)
            found.setdefault(one.text, (one.ttl, 1, rdata))
    return list(found.values())


def _addresses(rtype: int, known: Addresses, down: Container[bytes], left: Left) -> Made:
    up = [address for address in known if address not in down] or list(known)
    weighted = any(known[address][0] for address in up)
    made = {
        address: (ttl, min(weight or _WEIGHT, _WEIGHT_MOST) if weighted else 1, address)
        for address, (weight, ttl) in known.items()
    }
    for address in known.keys() - up if len(up) < len(known) else ():
        left.down[rtype, address] = made[address][1], address
    return [made[address] for address in up]


def _joined(rtype: int, records: Made, left: Left) -> RRsets:
    """The RRset of some records; it has one TTL (RFC 2181 section 5.2)."""
    if not records:
        return {}
    ttl = min([ttl for ttl, _, _ in records])
    packed = rrset(ttl, [(weight, rdata) for _, weight, rdata in records])
    if _RRSET.unpack_from(packed)[-1] < len(records):
        left.cut.add(rtype)
    return {rtype: packed}


def rrset(ttl: int, records: Sequence[tuple[int, bytes]]) -> bytes:
    """A packed RRset, cut where no message holds more."""
    octets, parts = 0, [b""]
    for weight, rdata in records[:MOST]:
        octets += _RECORD_OCTETS + len(rdata)
        if octets > RRSET_OCTETS:
            break
        parts.append(_RECORD.pack(min(weight, _WEIGHT_MOST), len(rdata)) + rdata)
    parts[0] = _RRSET.pack(ttl, 0, 0, 0, len(parts) - 1)
    return b"".join(parts)
