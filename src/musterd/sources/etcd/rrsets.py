"""The RRsets of a name, built from the services at it and below it.

CoreDNS's etcd plugin builds an answer for each query, and may answer a CNAME, an address and an SRV
record for one name. Here a name has RRsets (RFC 2181 section 5), so its answers are decided once: a
CNAME stands alone (section 10.1), and if a name has anything else, its aliases are replaced by the
addresses of their targets.
"""

import struct
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Final

from musterd.rr.rrset import Record, pack, pack_single
from musterd.rr.types import AAAA, CNAME, MX, NS, PTR, SRV, TXT, A
from musterd.sources.etcd.keys import name_of, path_of
from musterd.sources.etcd.limits import NameLimits
from musterd.sources.etcd.service import IPV4, IPV6, NAME, NO_PORT, ServiceRecord

MAX_CHAIN: Final = 8
"""Maximum length of a chain of aliases."""
MAX_RRSET_BYTES: Final = 65_000
"""Maximum bytes of an RRset, with the overhead of each record in a message."""
_RECORD_BYTES: Final = 12
"""Overhead of a record in a message: name, type, class, TTL and length of the rdata."""
_WEIGHT: Final = 100
"""Weight of a service without one."""
_MAX_WEIGHT: Final = 0xFFFF
_STRING: Final = 255
_MAX_TTL: Final = 0x7FFF_FFFF

_PORT = struct.Struct("!HHH")
_FAMILIES: Final = {IPV4: A, IPV6: AAAA}
_TARGETED: Final = {NS, MX, SRV}
"""Types whose target is the name of the key, which then has the address."""

RRsets = dict[int, bytes]
"""Packed RRsets by type."""
Addresses = dict[bytes, tuple[int, int]]
"""Address -> weight (0 for none) and TTL in seconds."""
Made = list[tuple[int, int, bytes]]
"""TTL, weight and rdata of records."""
Follow = Callable[[bytes], Sequence[ServiceRecord]]
"""Returns the services with a host at a path, none if it is outside all zones."""


def alias(path: bytes, services: Sequence[ServiceRecord], *, apex: bool) -> RRsets | None:
    """Return the CNAME of a name that is an alias and nothing else.

    None if it is not; an ``RRsetBuilder`` then builds its RRsets. apex: True for the apex
    of a zone, where no CNAME is allowed (RFC 1912 section 2.4).
    """
    hosts = with_host(services)
    target = None if apex else _sole_alias(path, hosts)
    if target is None:
        return None
    return {CNAME: pack_single(min(service.ttl for service in hosts), target)}


def with_host(services: Sequence[ServiceRecord]) -> Sequence[ServiceRecord]:
    """Return the services with a host, of the selected group."""
    return grouped([service for service in services if service.kind])


def address_records(service: ServiceRecord, owner: bytes) -> tuple[Record, ...]:
    """Return the records of a service that has an address and no text; else nothing.

    owner: the wire name of its path.
    """
    path, kind, mail, rtype, strip, ttl, priority, weight, port, _, host, _, text = service
    family = _FAMILIES.get(kind)
    if family is None or text or mail or rtype not in {0, family}:
        return ()
    address = Record(owner, family, pack_single(ttl, host, min(weight or 1, _MAX_WEIGHT)))
    if port == NO_PORT or rtype:
        return (address,)
    weight = weight or _WEIGHT
    part = int(100.0 / weight * weight)
    rdata = _PORT.pack(priority, part, port) + (stripped(path, strip) if strip else owner)
    return address, Record(owner, SRV, pack_single(ttl, rdata, min(weight, _MAX_WEIGHT)))


def _add(known: Addresses, address: bytes, weight: int, ttl: int) -> None:
    if address in known:
        weight, ttl = known[address][0], min(ttl, known[address][1])
    known[address] = weight, ttl


def grouped(services: Sequence[ServiceRecord]) -> Sequence[ServiceRecord]:
    """Return the services of the group that the shortest key selects.

    The first of the shortest keys decides: if it has a group, only services of that group and
    without a group remain, unless another key of its length has another group.
    """
    if not any(service.group for service in services):
        return services
    depth = min(service.path.count(b"/") for service in services)
    top = [service.group for service in services if service.path.count(b"/") == depth]
    group = top[0]
    if not group or any(other not in {b"", group} for other in top):
        return services
    return [service for service in services if service.group in {b"", group}]


def _sole_alias(path: bytes, hosts: Sequence[ServiceRecord]) -> bytes | None:
    """Return the target of a name that is an alias and nothing else."""
    if not hosts or any(
        not _is_alias(service) or service.host != hosts[0].host for service in hosts
    ):
        return None
    target = hosts[0].host
    return None if _is_below(path_of(target), path) else target


def _is_alias(service: ServiceRecord) -> bool:
    if service.kind != NAME or service.rtype not in {0, CNAME}:
        return False
    return service.rtype == CNAME or (not service.mail and service.port in {0, NO_PORT})


def _is_below(target: bytes, path: bytes) -> bool:
    """Return whether a path is another or below it: such an alias leads back to itself."""
    return target == path or target.startswith(path + b"/")


def stripped(path: bytes, strip: int) -> bytes:
    """Return the wire name of a path without its first ``strip`` labels, if it has more."""
    if strip:
        labels = path.split(b"/")
        if strip < len(labels):
            path = b"/".join(labels[: len(labels) - strip])
    return name_of(path)


def _mx(services: Iterable[ServiceRecord]) -> Made:
    found: dict[bytes, tuple[int, int, bytes]] = {}
    for service in services:
        if service.kind:
            target = service.host if service.kind == NAME else stripped(service.path, service.strip)
            rdata = service.priority.to_bytes(2, "big") + target
            found.setdefault(rdata, (service.ttl, 1, rdata))
    return list(found.values())


def _ns(services: Iterable[ServiceRecord]) -> Made:
    found: dict[bytes, tuple[int, int, bytes]] = {}
    for service in services:
        if service.kind:
            target = service.host if service.kind == NAME else stripped(service.path, service.strip)
            found.setdefault(target, (service.ttl, 1, target))
    return list(found.values())


def _txt(services: Iterable[ServiceRecord]) -> Made:
    """Return TXT records; a text is split into strings of 255 bytes (RFC 1035 section 3.3)."""
    found: dict[bytes, tuple[int, int, bytes]] = {}
    for service in services:
        if service.text and service.rtype in {0, TXT}:
            cuts = range(0, len(service.text), _STRING)
            strings = [service.text[at : at + _STRING] for at in cuts]
            rdata = b"".join(bytes((len(string),)) + string for string in strings)
            found.setdefault(service.text, (service.ttl, 1, rdata))
    return list(found.values())


class RRsetBuilder:
    """Builds the RRsets of one name, and notes the records that are not answered."""

    def __init__(self, down: Container[bytes], limits: NameLimits) -> None:
        """Create a builder. down: addresses to drop while others are up."""
        self.cut: set[int] = set()
        """Types with more records than an RRset can hold."""
        self.withheld: dict[tuple[int, bytes], tuple[int, bytes]] = {}
        """Type and rdata of records whose address is down while others are up -> their weight and
        that address."""
        self._down = down
        self._limits = limits

    def others(
        self, services: Sequence[ServiceRecord], hosts: Sequence[ServiceRecord]
    ) -> Iterator[RRsets]:
        """Yield the RRsets except addresses, one type at a time; empty where a pause is possible.

        services: of the name, in the order of their keys; hosts: those ``with_host``.
        """
        yield from self._srv([service for service in hosts if service.rtype in {0, SRV}])
        yield self._join(
            MX, _mx(service for service in hosts if service.mail or service.rtype == MX)
        )
        if any(service.text for service in services):
            yield self._join(TXT, _txt(grouped(services)))

    def of_type(self, rtype: int, services: Sequence[ServiceRecord]) -> RRsets:
        """Return the RRset of a type other than an address, at a name with keys for that type."""
        kept = grouped(services)
        make = {NS: _ns, MX: _mx, TXT: _txt}[rtype]
        return self._join(rtype, make(service for service in kept if service.rtype in {0, rtype}))

    def reverse(self, services: Iterable[ServiceRecord]) -> RRsets:
        """Return the PTR records of a name below in-addr.arpa or ip6.arpa."""
        found: dict[bytes, tuple[int, int, bytes]] = {}
        for service in services:
            if service.kind == NAME:
                found.setdefault(service.host, (service.ttl, 1, service.host))
        return self._join(PTR, list(found.values()))

    def addresses(
        self, path: bytes, hosts: Sequence[ServiceRecord], follow: Follow
    ) -> Iterator[RRsets]:
        """Yield the A and AAAA records of services and of the names that they are aliases of.

        They come at the end; before that it yields an empty dict where a pause is possible.
        """
        found: dict[int, Addresses] = {A: {}, AAAA: {}}
        seen, aliases = {path}, 0
        level = [(path, hosts, 0, _MAX_TTL)]
        for _ in range(MAX_CHAIN + 1):
            after: list[tuple[bytes, Sequence[ServiceRecord], int, int]] = []
            for here, services, weight, ttl in level:
                for service in services:
                    if service.kind != NAME:
                        rtype = _FAMILIES[service.kind]
                        if service.rtype in {0, rtype} or (
                            service.rtype in _TARGETED and service.path == here
                        ):
                            _add(
                                found[rtype],
                                service.host,
                                weight or service.weight,
                                min(ttl, service.ttl),
                            )
                    elif service.rtype in {0, CNAME} and len(seen) <= self._limits.max_records:
                        aliases += 1
                        if aliases % self._limits.follow_step == 0:
                            yield {}
                        target = path_of(service.host)
                        if target not in seen and not _is_below(target, here):
                            seen.add(target)
                            least = min(ttl, service.ttl)
                            after.append((target, follow(target), weight or service.weight, least))
            level = after
        joined: RRsets = {}
        for rtype, known in found.items():
            joined |= self._join(rtype, self._addresses(rtype, known))
        yield joined

    def _srv(self, hosts: Sequence[ServiceRecord]) -> Iterator[RRsets]:
        """Yield the SRV records; the weights of a priority are shares of 100, as in SkyDNS.

        Each record keeps its own weight beside it, from which the core makes the shares of a
        question with wildcard labels.
        """
        sums: dict[int, int] = {}
        for service in hosts:
            sums[service.priority] = sums.get(service.priority, 0) + (service.weight or _WEIGHT)
        addresses: set[tuple[bytes, int]] = set()
        up: dict[bytes, tuple[int, int, bytes]] = {}
        rest: dict[bytes, tuple[int, int, bytes]] = {}
        out: dict[tuple[int, bytes], tuple[int, bytes]] = {}
        for number, service in enumerate(hosts, 1):
            if number % self._limits.step == 0:
                yield {}
            if service.port == NO_PORT:
                continue
            target = service.host
            if service.kind != NAME:
                # Two addresses with the same name and port are one service in SkyDNS.
                target = stripped(service.path, service.strip)
                if (target, service.port) in addresses:
                    continue
                addresses.add((target, service.port))
            # In this order, so that it is rounded as in CoreDNS.
            weight = service.weight or _WEIGHT
            part = max(1, int(100.0 / sums[service.priority] * weight))
            rdata = _PORT.pack(service.priority, part, service.port) + target
            known = up
            if service.kind != NAME and service.host in self._down:
                known = rest
                out.setdefault((SRV, rdata), (min(weight, _MAX_WEIGHT), service.host))
            known.setdefault(rdata, (service.ttl, weight, rdata))
        if up:
            self.withheld |= out
        yield self._join(SRV, list((up or rest).values()))

    def _addresses(self, rtype: int, known: Addresses) -> Made:
        up = [address for address in known if address not in self._down] or list(known)
        weighted = any(known[address][0] for address in up)
        made = {
            address: (ttl, min(weight or _WEIGHT, _MAX_WEIGHT) if weighted else 1, address)
            for address, (weight, ttl) in known.items()
        }
        for address in known.keys() - up if len(up) < len(known) else ():
            self.withheld[rtype, address] = made[address][1], address
        return [made[address] for address in up]

    def _join(self, rtype: int, records: Made) -> RRsets:
        """Return the RRset of some records, as many as a message holds; it has one TTL.

        See RFC 2181 section 5.2.
        """
        if not records:
            return {}
        fit: list[tuple[int, bytes]] = []
        size = 0
        for _, weight, rdata in records[: self._limits.max_records]:
            size += _RECORD_BYTES + len(rdata)
            if size > MAX_RRSET_BYTES:
                break
            fit.append((min(weight, _MAX_WEIGHT), rdata))
        if len(fit) < len(records):
            self.cut.add(rtype)
        return {rtype: pack(min([ttl for ttl, _, _ in records]), fit)}
