"""The publisher: resolves what changed, and sends it to the core."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final, Protocol

import structlog

from musterd.catalog.outbox import Outbox, Row
from musterd.catalog.resolve import RRsets, resolve
from musterd.catalog.reverse import Reverse
from musterd.catalog.states import StateCore
from musterd.catalog.zone import Zone
from musterd.clock import Clock
from musterd.rr.answer_size import LARGE, too_large
from musterd.rr.names import name_to_text
from musterd.rr.types import DNAME, NS, PTR, SOA, type_text

MAX_BATCH: Final = 10_000
"""Maximum RRsets that are sent at once, except that an owner name is never split."""
MAX_OVERSIZED = 1000
"""Maximum RRsets of a zone that fit no message and are remembered."""
_CUTTING = frozenset({NS, DNAME})

log = structlog.get_logger()


class Core(StateCore, Protocol):
    """The part of ``musterd._core.Core`` that the catalog uses."""

    def set_zone(self, apex: bytes) -> None: ...  # noqa: D102
    def drop_zone(self, apex: bytes) -> None: ...  # noqa: D102
    def set_wildcard_queries(self, apex: bytes, wanted: bool) -> None: ...  # noqa: D102
    def apply(self, batch: Sequence[Row]) -> list[tuple[int, str]]: ...  # noqa: D102


class Publisher:
    """Empties the outbox into the core, and advances the serials of changed zones."""

    def __init__(
        self, core: Core, clock: Clock, outbox: Outbox, reverse: Reverse, max_batch: int
    ) -> None:
        """Create a publisher without zones. max_batch: RRsets that are sent at once."""
        self.zones: Mapping[bytes, Zone] = {}
        self.changed: set[bytes] = set()
        """Apexes of the zones that have changed, until they are taken."""
        self._core = core
        self._clock = clock
        self._outbox = outbox
        self._reverse = reverse
        self._max_batch = max_batch
        self._refusing = False
        self._oversized = False
        """True once an RRset was oversized."""

    def flush(self) -> None:
        """Send everything in the outbox to the core."""
        outbox = self._outbox
        # PTR records may make a zone dirty again.
        while outbox.addresses or outbox.dirty_names:
            if outbox.addresses:
                self._reverse.add(outbox.take_addresses(), self._clock.time())
            dirty = outbox.take_dirty()
            if dirty is not None:
                zone, names = dirty
                for owner, old in names.items():
                    self.compare(zone, owner, old, resolve(zone, owner), ptr_before=zone.ptr)
        batch = outbox.take_rows()
        changed = {row[0] for row in batch if row[2] != SOA}
        self.changed |= changed
        for apex in changed:
            batch += self._advance_serial(self.zones[apex])
        self._send(batch)

    def compare(
        self, zone: Zone, owner: bytes, old: RRsets, new: RRsets, *, ptr_before: bool
    ) -> None:
        """Queue the difference between the old and new RRsets of a folded owner name.

        ptr_before: PTR records were made from the old ones.
        """
        if zone.ptr or ptr_before:
            before, after = (old if ptr_before else {}), (new if zone.ptr else {})
            self._reverse.update(zone, owner, before, after, self._clock.time())
        rows = self._outbox.rows
        for rtype in old.keys() - new.keys():
            rows.append((zone.apex, owner, rtype, None))
        for rtype, packed in new.items():
            if old.get(rtype) != packed:
                rows.append((zone.apex, owner, rtype, packed))

    def _send(self, batch: list[Row]) -> None:
        if not batch:
            return
        cuts = [row for row in batch if row[2] in _CUTTING]
        if cuts:
            batch += self._note_cuts(cuts)
        # The core applies neighbours of one owner name together.
        batch.sort(key=itemgetter(1, 0))
        for piece in _pieces(batch, self._max_batch):
            for apex, owner, rtype, _ in piece if self._refusing else ():
                self.zones[apex].accept(owner, rtype)
            refused = self._core.apply(piece)
            if refused:
                self._refuse([(piece[index], reason) for index, reason in refused])
            self._note_sizes(piece)

    def _note_cuts(self, rows: Iterable[Row]) -> list[Row]:
        """Record the cuts that rows make or remove.

        Return rows for the PTR records below them, which are answered no longer, or again.
        """
        changed: dict[bytes, set[bytes]] = {}
        for apex, owner, rtype, packed in rows:
            zone = self.zones[apex]
            is_new = zone.note_cut(owner, rtype, there=packed is not None)
            if is_new and zone.records.get(self._reverse.table.number):
                changed.setdefault(apex, set()).add(owner)
        return [
            (apex, owner, PTR, resolve(self.zones[apex], owner).get(PTR))
            for apex, cuts in changed.items()
            for owner in self.zones[apex].names
            # A match within a label costs a row that changes nothing.
            if owner.endswith(tuple(cuts))
        ]

    def _refuse(self, refused: Iterable[tuple[Row, str]]) -> None:
        removed: list[Row] = []
        for (apex, owner, rtype, packed), reason in refused:
            if self.zones[apex].refuse(owner, rtype, reason):
                rrset = f"{name_to_text(owner)} {type_text(rtype)}"
                log.warning("the core refused an RRset", rrset=rrset, reason=reason)
            self._refusing = True
            removed += self._note_cuts([(apex, owner, rtype, None)])
            if packed is not None:
                removed.append((apex, owner, rtype, None))
        # The RRset that was answered before is outdated.
        self._core.apply(removed)

    def _note_sizes(self, piece: list[Row]) -> None:
        """Warn of RRsets that are too large even for an answer over TCP."""
        if not self._oversized:
            piece = [row for row in piece if row[3] and len(row[3]) > LARGE]
        for apex, owner, rtype, packed in piece:
            oversized = self.zones[apex].oversized
            reason = too_large(owner, rtype, packed or b"")
            if not reason:
                oversized.pop((owner, rtype), None)
            elif len(oversized) < MAX_OVERSIZED:
                if (owner, rtype) not in oversized:
                    rrset = f"{name_to_text(owner)} {type_text(rtype)}"
                    log.warning("an RRset is too large for an answer", rrset=rrset, reason=reason)
                oversized[owner, rtype] = reason
                self._oversized = True

    def _advance_serial(self, zone: Zone) -> list[Row]:
        due = zone.serial.schedule(self._clock, lambda: self._serial_due(zone.apex))
        return self._new_serial(zone) if due else []

    def _serial_due(self, apex: bytes) -> None:
        zone = self.zones.get(apex)
        if zone is not None:
            self._send(self._new_serial(zone))

    def _new_serial(self, zone: Zone) -> list[Row]:
        """Advance the serial; return the SOA for the core if the zone generates it."""
        old = resolve(zone, zone.apex)[SOA]
        zone.serial.advance(self._clock)
        new = resolve(zone, zone.apex)[SOA]
        return [] if old == new else [(zone.apex, zone.apex, SOA, new)]


def _pieces(batch: list[Row], most: int) -> Iterator[list[Row]]:
    """Split a sorted batch, but not within an owner name."""
    if len(batch) <= most:
        yield batch
        return
    at = 0
    while at < len(batch):
        end = min(at + most, len(batch))
        while end < len(batch) and batch[end][:2] == batch[end - 1][:2]:
            end += 1
        yield batch[at:end]
        at = end
