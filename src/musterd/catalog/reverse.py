"""PTR records made from addresses, as a source that comes after all others."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from musterd.catalog.merge import SHARED, Candidate
from musterd.catalog.resolve import RRsets
from musterd.catalog.rows import Head, address_key
from musterd.catalog.table import Table
from musterd.catalog.zone import Zone
from musterd.rr.names import IN_ADDR, IP6, ROOT, is_wildcard, reverse_name
from musterd.rr.rrset import Record, pack_single_ttl, ptr_of, ttl_bytes, unpack_records
from musterd.rr.types import AAAA, PTR, A

_FAMILIES: Final = frozenset({A, AAAA})
_ALONE: Final = 1
"""Weight of a PTR record whose name has no other address of its family; see ``SHARED``."""
_ADDRESS_LENGTHS = frozenset({4, 16})
"""Lengths of an address; the core refuses others."""
_Ptr = tuple[bytes, int]
"""TTL (4 bytes) and weight of a PTR record."""
_ABOVE = frozenset({ROOT, b"\x04arpa\0"})


def holds_reverse(apex: bytes) -> bool:
    """Return whether a zone can contain the names of addresses."""
    return apex in _ABOVE or apex.endswith((IN_ADDR, IP6))


class Reverse:
    """Keeps the PTR records of all zones that have ``ptr = true``.

    A record exists even while no zone for it is declared, so that one can be added later. The
    owner names of an address are united, except that names which have only this address come
    first and alone; wildcards give none.
    """

    def __init__(self, table: Table) -> None:
        """Keep rows in a table, with a key for each address of each owner name."""
        self.table = table
        table.anywhere = True

    def update(self, zone: Zone, owner: bytes, old: RRsets, new: RRsets, time: float) -> None:
        """Follow a change of the answers at a folded owner name."""
        if is_wildcard(owner):
            return
        after = _addresses(zone, owner, new)
        changes: list[tuple[bytes, Record | None]] = [
            (address_key(zone.apex, owner, address), None)
            for rtype in _FAMILIES & old.keys()
            for _, address in unpack_records(old[rtype])
            if address not in after
        ]
        changes += self._changed(zone, owner, after)
        self.table.change_made(Head(0, time), changes)

    def add(self, rrsets: Iterable[tuple[Zone, Record]], time: float) -> None:
        """Follow new RRsets of addresses."""
        made = (
            change
            for zone, (owner, rtype, packed) in rrsets
            if not is_wildcard(owner)
            for change in self._changed(zone, owner, _addresses(zone, owner, {rtype: packed}))
        )
        self.table.change_made(Head(0, time), made)

    def _changed(
        self, zone: Zone, owner: bytes, addresses: Mapping[bytes, _Ptr]
    ) -> Iterator[tuple[bytes, Record]]:
        """Yield the key and PTR record of each address that has none, or another."""
        for address, (ttl, weight) in addresses.items():
            if len(address) in _ADDRESS_LENGTHS:
                key = address_key(zone.apex, owner, address)
                record = Record(reverse_name(address), PTR, pack_single_ttl(ttl, owner, weight))
                if not self.table.has(key, record):
                    yield key, record


def _addresses(zone: Zone, owner: bytes, rrsets: RRsets) -> dict[bytes, _Ptr]:
    """Return the addresses that give a PTR record."""
    families = _FAMILIES & rrsets.keys()
    if not families:
        return {}
    given = [each for each in zone.candidates(owner) if each.rtype in families]
    giving = [each for each in given if _gives_ptr(each)]
    found: dict[bytes, _Ptr] = {}
    for rtype in families:
        records = unpack_records(rrsets[rtype])
        ptr = ttl_bytes(rrsets[rtype]), SHARED if len(records) > 1 else _ALONE
        found |= dict.fromkeys((address for _, address in records), ptr)
    if len(giving) < len(given):
        allowed = {address for each in giving for _, address in unpack_records(each.packed)}
        found = {address: ptr for address, ptr in found.items() if address in allowed}
    return found


def _gives_ptr(candidate: Candidate) -> bool:
    own = ptr_of(candidate.packed)
    return candidate.source.ptr if own is None else own
