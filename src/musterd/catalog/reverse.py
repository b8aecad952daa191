"""PTR records made from addresses, as a source that comes after all others."""

from typing import Final

from musterd.catalog.resolve import RRsets
from musterd.catalog.rows import Head, address_key
from musterd.catalog.table import Table
from musterd.catalog.zone import Zone
from musterd.rr.names import IN_ADDR, IP6, ROOT, is_wildcard, reverse_name
from musterd.rr.rrset import Record, pack_single_ttl, ttl_bytes, unpack_records
from musterd.rr.types import AAAA, PTR, A

SOURCE: Final = "(ptr)"
"""Name of the source; no source in the settings can have it."""
_ADDRESS_OCTETS = frozenset({4, 16})
"""Lengths of an address; the core refuses others."""
_ABOVE = frozenset({ROOT, b"\x04arpa\0"})


def holds_reverse(apex: bytes) -> bool:
    """Return whether a zone can contain the names of addresses."""
    return apex in _ABOVE or apex.endswith((IN_ADDR, IP6))


class Reverse:
    """Keeps the PTR records of all zones that have ``ptr = true``.

    A record exists even while no zone for it is declared, so that one can be added later. The
    owner names of an address are united; wildcards give none.
    """

    def __init__(self, table: Table) -> None:
        """Keep rows in a table, with a key for each address of each owner name."""
        self.table = table
        table.anywhere = True

    def update(self, zone: Zone, owner: bytes, old: RRsets, new: RRsets, time: float) -> None:
        """Follow a change of the answers at a folded owner name."""
        if is_wildcard(owner):
            return
        before, after = _addresses(old), _addresses(new)
        for address in before.keys() - after.keys():
            self.table.delete(address_key(zone.apex, owner, address))
        for address, ttl in after.items():
            if before.get(address) != ttl:
                self._put(zone, owner, address, ttl, time)

    def add(self, zone: Zone, rrset: Record, time: float) -> None:
        """Follow a new RRset of addresses."""
        owner, rtype, packed = rrset
        if not is_wildcard(owner):
            for address, ttl in _addresses({rtype: packed}).items():
                self._put(zone, owner, address, ttl, time)

    def _put(self, zone: Zone, owner: bytes, address: bytes, ttl: bytes, time: float) -> None:
        if len(address) in _ADDRESS_OCTETS:
            record = Record(reverse_name(address), PTR, pack_single_ttl(ttl, owner))
            self.table.put_made(address_key(zone.apex, owner, address), Head(0, time), record)


def _addresses(rrsets: RRsets) -> dict[bytes, bytes]:
    """Return the TTL of each address, 4 bytes."""
    return {
        rdata: ttl_bytes(rrsets[rtype])
        for rtype in (A, AAAA)
        if rtype in rrsets
        for _, rdata in unpack_records(rrsets[rtype])
    }
