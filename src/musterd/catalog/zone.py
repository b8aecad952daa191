"""A zone: an index of the rows that give records at each owner name."""

import struct
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from musterd.catalog.merge import MADE_PTR, Candidate, Defaults, precedence
from musterd.catalog.rows import SOURCE_BYTES, Rows, key_text
from musterd.catalog.serial import Serial
from musterd.clock import Clock
from musterd.rr.names import fold, name_from_text, name_to_text, split_name, suffixes
from musterd.rr.rrset import ALL, Policy, pack, unpack_records
from musterd.rr.types import DNAME, NS, SOA
from musterd.settings import EtcdSettings, SourceSettings, ZoneSettings

_T = TypeVar("_T")

Keys = bytes | set[bytes]
"""The keys that give records at an owner name: a single one, the common case, or several."""

MADE: Final = "(zone)"
"""Source name of the records that a zone makes itself; no source in the settings can have it."""
MAX_REFUSED: Final = 1000
"""Maximum RRsets refused by the core that are remembered; all are counted."""
_LAST: Final = 1 << 30
"""Rank after all sources."""

_new = tuple.__new__


class Zone:
    """The records of a zone by owner name; replaced when its settings change.

    Owner names are folded. ``resolve`` computes the answers.
    """

    def __init__(
        self,
        settings: ZoneSettings,
        sources: Sequence[tuple[Rows, SourceSettings | None]],
    ) -> None:
        """Create an empty index; sources are in order of precedence.

        A source without settings has the TTL and policy of the zone.
        """
        self.settings = settings
        self.union = settings.merge == "union"
        self.ptr = settings.ptr or any(source.ptr for _, source in sources if source is not None)
        """True if PTR records are made from the addresses of one of its sources."""
        self.wildcard_queries = any(
            isinstance(source, EtcdSettings) and source.wildcard_queries for _, source in sources
        )
        """True if wildcard labels in a question match every label."""
        self.apex = fold(name_from_text(settings.name))
        self.text = name_to_text(self.apex)
        self.sources: dict[bytes, Rows] = {rows.number: rows for rows, _ in sources}
        self.defaults: dict[bytes, Defaults] = {
            rows.number: self._defaults(rank, rows.name, source)
            for rank, (rows, source) in enumerate(sources)
        }
        self.names: dict[bytes, Keys] = {}
        """Owner name -> keys. Only methods of the zone change it."""
        self.records: dict[bytes, int] = dict.fromkeys(self.sources, 0)
        """Records by the number of their source, shadowed ones too."""
        self.serial = Serial()
        self.refused: dict[tuple[bytes, int], str] = {}
        """Owner name and type -> why the core refused the RRset."""
        self.refused_total = 0
        self.oversized: dict[tuple[bytes, int], str] = {}
        """Owner name and type -> why an answered RRset fits no message."""
        self.has_made_ptr = any(rows.name == MADE_PTR for rows, _ in sources)
        """True if it may have PTR records made from addresses."""
        self.cuts: set[tuple[bytes, int]] = set()
        """Owner name and type of each NS and DNAME RRset, except for the NS of the apex."""
        self.has_deeper = False
        """True if another zone is below it."""
        self.hidden: dict[tuple[bytes, int], str] = {}
        """Owner name and type -> why the RRset is never answered; see ``report_hidden``."""
        self.hidden_total = 0
        self._made = Defaults(_LAST, MADE, settings.ttl.to_bytes(4, "big"), ALL)

    def _defaults(self, rank: int, name: str, source: SourceSettings | None) -> Defaults:
        ttl, policy, ptr = self.settings.ttl, self.settings.policy, self.settings.ptr
        if source is not None:
            ptr = ptr if source.ptr is None else source.ptr
            ttl = ttl if source.ttl is None else source.ttl
            policy = source.policy or policy
        return Defaults(rank, name, ttl.to_bytes(4, "big"), Policy.parse(policy).packed, ptr)

    def start(self, clock: Clock, last: int) -> None:
        """Start a new zone; ``last`` is its serial in an earlier run, or 0."""
        self.serial.start(clock, last)

    def succeed(self, old: "Zone") -> None:
        """Take over the state of the zone under older settings."""
        self.serial = old.serial
        self.refused, self.refused_total = old.refused, old.refused_total
        self.oversized = old.oversized
        self.cuts = old.cuts
        self.hidden, self.hidden_total = old.hidden, old.hidden_total

    def take_index(self, old: "Zone") -> None:
        """Take over the index of the zone under older settings."""
        self.names, self.records = old.names, old.records

    def stop(self) -> None:
        """Cancel a scheduled serial."""
        self.serial.stop()

    def refuse(self, owner: bytes, rtype: int, reason: str) -> bool:
        """Count an RRset that the core refused; return whether it is remembered too."""
        self.refused_total += 1
        if len(self.refused) >= MAX_REFUSED:
            return False
        self.refused[owner, rtype] = reason
        return True

    def note_cut(self, owner: bytes, rtype: int, *, there: bool) -> bool:
        """Record that an NS or DNAME RRset is answered, or not; return False if it is known."""
        is_cut = there and (rtype != NS or owner != self.apex)
        if is_cut == ((owner, rtype) in self.cuts):
            return False
        if is_cut:
            self.cuts.add((owner, rtype))
        else:
            self.cuts.discard((owner, rtype))
        return True

    def is_cut_off(self, owner: bytes) -> bool:
        """Return whether a delegation or a DNAME is at or above a folded owner name."""
        return any(
            (above, NS) in self.cuts or (above != owner and (above, DNAME) in self.cuts)
            for above in suffixes(owner)
        )

    def accept(self, owner: bytes, rtype: int) -> None:
        """Forget that the core refused an RRset."""
        self.refused.pop((owner, rtype), None)

    def add(self, owner: bytes, key: bytes, records: int) -> None:
        """Record that a key gives a number of records at an owner name."""
        self.records[key[:SOURCE_BYTES]] += records
        self.insert(owner, key)

    def insert(self, owner: bytes, key: bytes) -> None:
        """Add a key to the index, without its number of records; see ``recount``."""
        known = self.names.get(owner)
        if known is None:
            self.names[owner] = key
        elif isinstance(known, set):
            known.add(key)
        elif known != key:
            self.names[owner] = {known, key}

    def recount(self, key: bytes, more: int) -> None:
        """Record that a key gives more, or fewer, records at one of its owner names."""
        self.records[key[:SOURCE_BYTES]] += more

    def discard(self, owner: bytes, key: bytes, records: int) -> None:
        """Record that a key no longer gives its records at an owner name."""
        self.records[key[:SOURCE_BYTES]] -= records
        known = self.names.get(owner)
        if isinstance(known, set):
            known.discard(key)
            if len(known) == 1:
                self.names[owner] = known.pop()
        elif known == key:
            del self.names[owner]

    def keys_at(self, owner: bytes) -> tuple[bytes, ...]:
        """Return the keys, of all sources, that give records at an owner name."""
        known = self.names.get(owner, ())
        return (known,) if isinstance(known, bytes) else tuple(known)

    def keys_of(self, source: str, owner: bytes) -> list[str]:
        """Return the keys of one source, as text, that give records at an owner name."""
        return [
            key_text(key)
            for key in self.keys_at(owner)
            if self.sources[key[:SOURCE_BYTES]].name == source
        ]

    def candidates(self, owner: bytes) -> list[Candidate]:
        """Return every RRset at an owner name, with those that the zone makes itself."""
        found: list[Candidate] = []
        for key in self.keys_at(owner):
            number = key[:SOURCE_BYTES]
            source = self.defaults[number]
            for rtype, packed in self.sources[number].records_at(key, owner):
                # Twice as fast as the constructor, in a hot loop.
                found.append(_new(Candidate, (source, key, rtype, packed)))
        if owner == self.apex:
            types = {candidate.rtype for candidate in found}
            if SOA not in types:
                ttl = self.settings.ttl
                found.append(Candidate(self._made, b"", SOA, pack(ttl, [(1, self._soa())])))
            if NS not in types:
                found.append(self._own_ns(found))
        return found

    def _own_ns(self, candidates: Sequence[Candidate]) -> Candidate:
        """Return the NS RRset of a zone whose sources have none: as set, else from the SOA."""
        names = [name_from_text(name) for name in self.settings.ns]
        if not names:
            soa = min((each for each in candidates if each.rtype == SOA), key=precedence)
            try:
                names = [split_name(unpack_records(soa.packed)[0][1])[0]]
            except ValueError:
                # The core refuses such a SOA and says why.
                names = [name_from_text(self.settings.soa.mname)]
        records = [(1, name) for name in dict.fromkeys(names)]
        return Candidate(self._made, b"", NS, pack(self.settings.ttl, records))

    def _soa(self) -> bytes:
        """Return the SOA's rdata (RFC 1035 section 3.3.13)."""
        soa = self.settings.soa
        names = name_from_text(soa.mname) + name_from_text(soa.rname)
        times = soa.refresh, soa.retry, soa.expire, soa.minimum
        return names + struct.pack("!5I", self.serial.answered, *times)


def deepest(zones: Mapping[bytes, _T], owner: bytes) -> _T | None:
    """Return the value of the deepest apex that contains a folded wire name.

    Raises IndexError if the name is malformed.
    """
    at = 0
    while True:
        zone = zones.get(owner[at:])
        if zone is not None or owner[at] == 0:
            return zone
        at += 1 + owner[at]
