"""PTR records made from addresses, as one more source that comes after all others."""

import struct
from typing import Final

from musterd.catalog.rows import address_key
from musterd.catalog.table import Head, Table
from musterd.catalog.zone import RRsets, Zone
from musterd.rr.names import IN_ADDR, IP6, ROOT, is_wildcard, reverse_name
from musterd.rr.rrset import Record, pack, unpack_records
from musterd.rr.types import AAAA, PTR, A

SOURCE: Final = "(ptr)"
"""Its name; no source in the settings can have it."""
_OCTETS = frozenset({4, 16})
"""Of an address; the core refuses others."""
_REST = pack(0, [(1, b"")])[4:-2]
"""What a packed PTR RRset has between its TTL and the length of its rdata."""
_U16 = struct.Struct("!H")
_ABOVE = frozenset({ROOT, b"\x04arpa\0"})


def holds_reverse(apex: bytes) -> bool:
    """Whether names of addresses can be in a zone."""
    return apex in _ABOVE or apex.endswith((IN_ADDR, IP6))


class Reverse:
    """Keeps the PTR records of all zones that have ``ptr = true``.

    A record exists whether a zone for it is declared or not, so that one can come later. Several
    owner names of an address unite; wildcards give none.
    """

    def __init__(self, table: Table) -> None:
        """Its rows go into the table, a key for each address of each owner name."""
        self.table = table
        table.anywhere = True

    def update(self, zone: Zone, owner: bytes, old: RRsets, new: RRsets, time: float) -> None:
        """Follow a change of what is answered at a folded owner name."""
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
        if len(address) in _OCTETS:
            record = Record(reverse_name(address), PTR, ttl + _REST + _U16.pack(len(owner)) + owner)
            self.table.put_own(address_key(zone.apex, owner, address), Head(0, time), record)


def _addresses(rrsets: RRsets) -> dict[bytes, bytes]:
    """Address -> TTL, 4 octets."""
    return {
        rdata: rrsets[rtype][:4]
        for rtype in (A, AAAA)
        if rtype in rrsets
        for _, rdata in unpack_records(rrsets[rtype])
    }
