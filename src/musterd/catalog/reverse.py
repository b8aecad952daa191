"""PTR records made from addresses, as one more source that comes after all others."""

from typing import Final

from musterd.catalog.rows import KEY_TEXT
from musterd.catalog.table import Head, Table
from musterd.catalog.zone import RRsets, Zone
from musterd.model import (
    AAAA,
    IN_ADDR,
    IP6,
    PTR,
    ROOT,
    A,
    Record,
    is_wildcard,
    name_to_text,
    pack,
    reverse_name,
    unpack_records,
)

SOURCE: Final = "(ptr)"
"""Its name; no source in the settings can have it."""
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
        name = name_to_text(owner)
        for address in before.keys() - after.keys():
            self.table.delete(_key(zone, name, address))
        for address, ttl in after.items():
            if before.get(address) != ttl:
                packed = pack(ttl, [(1, owner)])
                record = Record(reverse_name(address), PTR, packed)
                self.table.put(_key(zone, name, address), Head(0, time), [record])


def _key(zone: Zone, owner: str, address: bytes) -> bytes:
    # A name can be in two zones, in one as glue.
    return KEY_TEXT + f"{zone.text} {owner} {address.hex(':')}".encode()


def _addresses(rrsets: RRsets) -> dict[bytes, int]:
    """Address -> TTL in seconds."""
    return {
        rdata: int.from_bytes(rrsets[rtype][:4], "big")
        for rtype in (A, AAAA)
        if rtype in rrsets
        for _, rdata in unpack_records(rrsets[rtype])
    }
