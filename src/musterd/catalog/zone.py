"""One zone: which rows give records at which owner name, and the RRsets that come of it."""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from musterd.catalog.merge import Candidate, Defaults, choose, fill, join, precedence
from musterd.catalog.rows import KEY_RRSET, RECORD, ROW, SOURCE_OCTETS
from musterd.clock import Clock, Timer
from musterd.rr.names import fold, name_from_text, name_to_text, split_name
from musterd.rr.rrset import Policy, pack, unpack_records
from musterd.rr.types import NS, SOA
from musterd.settings import SourceSettings, ZoneSettings

if TYPE_CHECKING:
    from musterd.catalog.table import Table

Keys = bytes | set[bytes]
"""The keys that give records at an owner name: one alone, which is the common case, or more."""
Row = tuple[bytes, bytes, int, bytes | None]
"""Zone, owner, type, packed RRset or None: what the core takes."""
RRsets = dict[int, bytes]
"""Packed RRsets of one owner name, by type."""

MADE: Final = "(zone)"
"""Name of the source of what a zone gives itself; no source in the settings can have it."""
REFUSED: Final = 1000
"""RRsets that the core refused and that are remembered; all are counted."""
_LAST: Final = 1 << 30
"""Rank after all sources."""
_SERIAL_MOST: Final = 0xFFFF_FFFF
_NO_RRSETS: Final[RRsets] = {}


class Zone:
    """What is known of a zone; made anew when its settings change."""

    def __init__(
        self,
        settings: ZoneSettings,
        tables: Sequence[tuple["Table", SourceSettings | None]],
    ) -> None:
        """Of some sources, in order of precedence; without settings those of the zone hold."""
        self.settings = settings
        self.union = settings.merge == "union"
        self.ptr = settings.ptr
        """Whether its addresses give PTR records."""
        self.apex = fold(name_from_text(settings.name))
        self.text = name_to_text(self.apex)
        self.tables: dict[bytes, Table] = {table.number: table for table, _ in tables}
        self.defaults: dict[bytes, Defaults] = {
            table.number: self._defaults(rank, table.name, source)
            for rank, (table, source) in enumerate(tables)
        }
        self.names: dict[bytes, Keys] = {}
        """Folded owner name -> keys."""
        self.records: dict[bytes, int] = dict.fromkeys(self.tables, 0)
        """Records by the number of their source, hidden ones too."""
        self.dirty: dict[bytes, RRsets] = {}
        """Owner name -> what the core has, of names that may have changed since it was told."""
        self.refused: dict[tuple[bytes, int], str] = {}
        """Owner name and type -> why the core did not take the RRset."""
        self.refused_total = 0
        self.serial = 0
        """Of the SOA that the zone gives itself: time of the last change, never falling."""
        self.changed = 0.0
        """Time of the last change, epoch seconds; and that of the serial, on the steady clock."""
        self.bumped = -math.inf
        self.bump: Timer | None = None
        """A change that waits for its serial."""
        self._made = Defaults(_LAST, MADE, settings.ttl.to_bytes(4, "big"), b"\0\0")

    def _defaults(self, rank: int, name: str, source: SourceSettings | None) -> Defaults:
        ttl, policy = self.settings.ttl, self.settings.policy
        if source is not None:
            ttl = ttl if source.ttl is None else source.ttl
            policy = source.policy or policy
        return Defaults(rank, name, ttl.to_bytes(4, "big"), Policy.parse(policy).octets)

    def start(self, clock: Clock, least: int) -> None:
        """Begin a zone that was not there: its first change makes its first serial.

        That is above ``least``, the last of an earlier run; 0 for none.
        """
        self.changed = clock.time()
        self.serial = max(int(self.changed), least + 1 if least else 0) - 1

    def succeed(self, old: "Zone") -> None:
        """Go on where the zone was under older settings."""
        self.serial, self.changed, self.bumped = old.serial, old.changed, old.bumped
        self.bump, self.refused, self.refused_total = old.bump, old.refused, old.refused_total

    def stop(self) -> None:
        """Let nothing happen any more."""
        if self.bump is not None:
            self.bump.cancel()

    def new_serial(self, clock: Clock) -> list[Row]:
        """Take the next serial; returns the SOA for the core, if the zone gives it itself."""
        self.bump = None
        old = self.merged(self.apex)[SOA]
        self.changed, self.bumped = clock.time(), clock.monotonic()
        self.serial = max(int(self.changed), self.serial + 1)
        new = self.merged(self.apex)[SOA]
        return [] if old == new else [(self.apex, self.apex, SOA, new)]

    def refuse(self, owner: bytes, rtype: int, reason: str) -> bool:
        """Count an RRset that the core did not take; whether it was remembered, too."""
        self.refused_total += 1
        if len(self.refused) >= REFUSED:
            return False
        self.refused[owner, rtype] = reason
        return True

    def mark(self, owner: bytes) -> None:
        """Note that a folded owner name is about to change; call it before it does."""
        if owner not in self.dirty:
            self.dirty[owner] = self.merged(owner)

    def add(self, owner: bytes, key: bytes) -> None:
        """Note that a key gives records at a folded owner name."""
        known = self.names.get(owner)
        if known is None:
            self.names[owner] = key
        elif isinstance(known, set):
            known.add(key)
        elif known != key:
            self.names[owner] = {known, key}

    def discard(self, owner: bytes, key: bytes) -> None:
        """Note that a key gives no records at a folded owner name any more."""
        known = self.names.get(owner)
        if isinstance(known, set):
            known.discard(key)
            if len(known) == 1:
                self.names[owner] = known.pop()
        elif known == key:
            del self.names[owner]

    def keys_at(self, owner: bytes) -> tuple[bytes, ...]:
        """The keys, of all sources, that give records at a folded owner name."""
        known = self.names.get(owner, ())
        return (known,) if isinstance(known, bytes) else tuple(known)

    def merged(self, owner: bytes) -> RRsets:
        """The RRsets to answer at a folded owner name."""
        known = self.names.get(owner)
        if owner == self.apex:
            return join(choose(self.given(owner), union=self.union, apex=True)[0])
        if known is None:
            return _NO_RRSETS
        if isinstance(known, bytes) and known.startswith(KEY_RRSET, SOURCE_OCTETS):
            return self._only(known)
        return join(choose(self.given(owner), union=self.union, apex=False)[0])

    def _only(self, key: bytes) -> RRsets:
        """What a key of one RRset gives: there is nothing to merge."""
        number = key[:SOURCE_OCTETS]
        row = self.tables[number].rows[key]
        at = ROW.size + 1 + row[ROW.size]
        rtype = RECORD.unpack_from(row, at)[0]
        return {rtype: fill(row[at + RECORD.size :], rtype, self.defaults[number])}

    def given(self, owner: bytes) -> list[Candidate]:
        """All that is given at a folded owner name, hidden or not."""
        given = [one for key in self.keys_at(owner) for one in self._of_key(owner, key)]
        if owner == self.apex:
            types = {one.rtype for one in given}
            if SOA not in types:
                ttl = self.settings.ttl
                given.append(Candidate(self._made, b"", SOA, pack(ttl, [(1, self._soa())])))
            if NS not in types:
                given.append(self._own_ns(given))
        return given

    def _of_key(self, owner: bytes, key: bytes) -> Iterator[Candidate]:
        number = key[:SOURCE_OCTETS]
        source = self.defaults[number]
        for rtype, packed in self.tables[number].records_at(key, owner):
            yield Candidate(source, key, rtype, packed)

    def _own_ns(self, given: Sequence[Candidate]) -> Candidate:
        """The NS of a zone whose sources have none: as set, else the primary of the SOA."""
        names = [name_from_text(name) for name in self.settings.ns]
        if not names:
            soa = min((one for one in given if one.rtype == SOA), key=precedence)
            try:
                names = [split_name(unpack_records(soa.packed)[0][1])[0]]
            except ValueError:
                # The core refuses such a SOA, and tells.
                names = [name_from_text(self.settings.soa.mname)]
        records = [(1, name) for name in dict.fromkeys(names)]
        return Candidate(self._made, b"", NS, pack(self.settings.ttl, records))

    def _soa(self) -> bytes:
        """Rdata (RFC 1035 section 3.3.13)."""
        soa = self.settings.soa
        names = name_from_text(soa.mname) + name_from_text(soa.rname)
        times = soa.refresh, soa.retry, soa.expire, soa.minimum
        return names + struct.pack("!5I", self.serial & _SERIAL_MOST, *times)

    def serial_shown(self) -> int:
        """The serial of the SOA that is answered: that of a source, if one gives it."""
        packed = self.merged(self.apex)[SOA]
        return int.from_bytes(packed[-20:-16], "big")


def deepest(zones: Mapping[bytes, Zone], owner: bytes) -> Zone | None:
    """The deepest of some zones that a folded wire name is in.

    Raises IndexError where it is no wire name.
    """
    at = 0
    while True:
        zone = zones.get(owner[at:])
        if zone is not None or owner[at] == 0:
            return zone
        at += 1 + owner[at]
