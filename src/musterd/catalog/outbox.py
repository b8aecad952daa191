"""The outbox: updates that tables queue for the core."""

from collections.abc import Sequence

from musterd.catalog.merge import Candidate
from musterd.catalog.resolve import RRsets, resolve
from musterd.catalog.zone import Zone
from musterd.rr.rrset import Record
from musterd.rr.types import AAAA, A

Row = tuple[bytes, bytes, int, bytes | None]
"""Zone, owner, type, and packed RRset or None to remove it: the form in which the core takes it."""


class Outbox:
    """Updates queued for the core; the publisher empties it."""

    def __init__(self) -> None:
        """Create an empty outbox."""
        self.rows: list[Row] = []
        """RRsets that need no comparison, in the order in which tables found them."""
        self.addresses: list[tuple[Zone, Record]] = []
        """New addresses in zones with PTR records."""
        self.dirty_names: dict[Zone, dict[bytes, RRsets]] = {}
        """Names that may change -> their RRsets in the core, by zone."""

    def dirty(self, zone: Zone) -> dict[bytes, RRsets]:
        """Return the names of a zone that may change -> their RRsets in the core."""
        return self.dirty_names.setdefault(zone, {})

    def mark(self, zone: Zone, owner: bytes) -> None:
        """Record that a folded owner name is about to change; call it before the change."""
        names = self.dirty(zone)
        if owner not in names:
            names[owner] = resolve(zone, owner)

    def take_dirty(self) -> tuple[Zone, dict[bytes, RRsets]] | None:
        """Remove and return the dirty names of one zone; None if there are none."""
        return self.dirty_names.popitem() if self.dirty_names else None

    def take_addresses(self) -> list[tuple[Zone, Record]]:
        """Remove and return the new addresses."""
        addresses, self.addresses = self.addresses, []
        return addresses

    def take_rows(self) -> list[Row]:
        """Remove and return the rows."""
        rows, self.rows = self.rows, []
        return rows

    def add(self, zone: Zone, owner: bytes, candidates: Sequence[Candidate]) -> None:
        """Queue new candidates that affect no other answer at a folded owner name.

        The name must not be dirty.
        """
        rrsets = resolve(zone, owner, candidates)
        for rtype, packed in rrsets.items():
            self.rows.append((zone.apex, owner, rtype, packed))
        if zone.ptr:
            self.addresses += [
                (zone, Record(owner, rtype, rrsets[rtype]))
                for rtype in (A, AAAA)
                if rtype in rrsets
            ]
