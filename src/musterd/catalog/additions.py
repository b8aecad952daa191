"""Additions: new rows that do not affect the other answers at their owner name."""

from collections.abc import Container, Mapping, Sequence

from musterd.catalog.merge import Candidate, Defaults
from musterd.catalog.outbox import Outbox
from musterd.catalog.rows import KEY_RRSET, Rows, is_independent
from musterd.catalog.zone import Zone, deepest
from musterd.rr.rrset import count, has_policy
from musterd.rr.types import CNAME

Records = Sequence[tuple[bytes, int, bytes]]
"""Owner, type and packed RRset of each record."""

_new = tuple.__new__


class Additions:
    """Collects the new rows of one source by owner name, and queues their answers.

    A row is taken if its name is new, or if it adds a type to the bulk rows at its name. Its
    answers are then resolved without a look at the other rows.
    """

    def __init__(self, rows: Rows, zones: Mapping[bytes, Zone], outbox: Outbox) -> None:
        """Create a collector for the rows of a source, which these zones list."""
        self._rows = rows
        self._bulk_prefix = rows.number + KEY_RRSET
        self._zones = zones
        self._outbox = outbox
        self._owner = b""
        self._is_known = False
        """True if the name had rows before."""
        self._candidates: list[Candidate] = []
        # Neighbours mostly share their parent, and with it their zone.
        self._parent: bytes | None = None
        self._zone: Zone | None = None
        self._dirty: Container[bytes] = ()
        self._defaults: Defaults
        self._records = 0

    def take(self, key: bytes, records: Records) -> bool:
        """Index a new key if all its records are additions to one name; return whether they are."""
        owner = records[0][0].lower()
        if owner != self._owner:
            if self._candidates:
                self.end()
            above = owner[1 + owner[0] :]
            if above != self._parent or owner in self._zones:
                self._locate(owner, above)
            zone = self._zone
            # The core may have RRsets of a dirty name, so they must be compared.
            if zone is None or owner in self._dirty or owner == zone.apex:
                return False
            self._is_known = owner in zone.names
        else:
            zone = self._zone
        if zone is None or (self._is_known and not self._adds_type(zone, owner, key, records)):
            return False
        if len(records) > 1 and not _share_owner(records, owner):
            return False
        self._owner = owner
        defaults = self._defaults
        for _, rtype, packed in records:
            self._records += count(packed)
            # Twice as fast as the constructor, in the hottest loop of loading.
            self._candidates.append(_new(Candidate, (defaults, key, rtype, packed)))
        zone.insert(owner, key)
        return True

    def _adds_type(self, zone: Zone, owner: bytes, key: bytes, records: Records) -> bool:
        """Return whether a new row adds a type to the bulk rows at a name, and affects no other.

        The key of a bulk row contains its type, so these differ.
        """
        prefix, rows = self._bulk_prefix, self._rows.data
        _, rtype, packed = records[0]
        if not key.startswith(prefix) or rtype == CNAME or has_policy(packed):
            return False
        known = zone.names[owner]
        for other in (known,) if isinstance(known, bytes) else known:
            if not other.startswith(prefix) or not is_independent(other, rows[other]):
                return False
        return True

    def is_outside(self, records: Records) -> bool:
        """Return whether a record is outside the zones of the source."""
        for name, _, _ in records:
            owner = name.lower()
            above = owner[1 + owner[0] :]
            if above != self._parent or owner in self._zones:
                self._locate(owner, above)
            if self._zone is None:
                return True
        return False

    def _locate(self, owner: bytes, above: bytes) -> None:
        self.end()
        self.count()
        self._zone = zone = deepest(self._zones, owner)
        self._parent = None if zone is not None and zone.apex == owner else above
        if zone is not None:
            self._dirty = self._outbox.dirty(zone)
            self._defaults = zone.defaults[self._rows.number]

    def count(self) -> None:
        """Add the number of records that were taken to the zone."""
        if self._zone is not None and self._records:
            self._zone.recount(self._rows.number, self._records)
        self._records = 0

    def end(self) -> None:
        """Queue the answers of the name."""
        if not self._candidates:
            return
        if self._zone is not None:
            self._outbox.add(self._zone, self._owner, self._candidates)
        self._candidates = []
        self._owner = b""


def _share_owner(records: Records, owner: bytes) -> bool:
    first = records[0][0]
    for name, _, _ in records:  # noqa: SIM110
        if name != first and name.lower() != owner:
            return False
    return True
