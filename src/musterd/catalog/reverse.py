"""PTR records made from addresses, as a source that comes after all others."""

from collections.abc import Iterable
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
_ADDRESS_LENGTHS = frozenset({4, 16})
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
        if before == after:
            return
        changes: list[tuple[bytes, Record | None]] = [
            (address_key(zone.apex, owner, address), None)
            for address in before.keys() - after.keys()
        ]
        for address, ttl in after.items():
            if before.get(address) != ttl:
                changes += _ptr(zone, owner, address, ttl)
        self.table.change_made(Head(0, time), changes)

    def add(self, rrsets: Iterable[tuple[Zone, Record]], time: float) -> None:
        """Follow new RRsets of addresses."""
        made = (
            change
            for zone, (owner, rtype, packed) in rrsets
            if not is_wildcard(owner)
            for address, ttl in _addresses({rtype: packed}).items()
            for change in _ptr(zone, owner, address, ttl)
        )
        self.table.change_made(Head(0, time), made)


def _ptr(zone: Zone, owner: bytes, address: bytes, ttl: bytes) -> list[tuple[bytes, Record]]:
    """Return the key and PTR record of an address; nothing if it has a wrong length."""
    if len(address) not in _ADDRESS_LENGTHS:
        return []
    record = Record(reverse_name(address), PTR, pack_single_ttl(ttl, owner))
    return [(address_key(zone.apex, owner, address), record)]


def _addresses(rrsets: RRsets) -> dict[bytes, bytes]:
    """Return the TTL of each address, 4 bytes."""
    return {
        rdata: ttl_bytes(rrsets[rtype])
        for rtype in (A, AAAA)
        if rtype in rrsets
        for _, rdata in unpack_records(rrsets[rtype])
    }
