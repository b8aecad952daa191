"""Import of a zone file into the registry."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype

from musterd._core import parse_zone
from musterd.api.context import Context
from musterd.catalog.explain import explain
from musterd.catalog.hidden import hidden_by, servers
from musterd.catalog.merge import MADE_PTR
from musterd.catalog.resolve import resolve
from musterd.catalog.zone import MADE, Zone, deepest
from musterd.kv import DeleteOp, Entry, Operation, PutOp
from musterd.registry import rdata
from musterd.registry.keys import DELETED, RecordKey, parse, prefix
from musterd.registry.names import APEX, check_place, owner_text, owner_wire, zone_text
from musterd.registry.record import RecordSpec, decode, encode, encode_ttl
from musterd.registry.registry import tombstone
from musterd.registry.strays import entries
from musterd.rr.names import fold, name_to_text
from musterd.rr.rrset import ttl_bytes, unpack_records
from musterd.rr.types import NS, PTR, SOA
from musterd.settings import REGISTRY

AT_ONCE: Final = 400
"""Records of one transaction."""
TRANSACTION_BYTES: Final = 500_000
"""Bytes of one transaction."""
STEP: Final = 500
"""Records that are looked at without a break."""

Fault = tuple[int, str]
"""Line (0 if unknown), and a description of the fault."""
_Set = tuple[str, str]
"""Owner and type, as in keys."""
_Data = dict[bytes, tuple[bytes, int]]
"""Rdata in comparable form -> rdata, TTL in seconds."""
_Wanted = dict[_Set, _Data]
_Cuts = dict[tuple[bytes, int], set[bytes]]
"""Owner name and type NS or DNAME -> folded names in these records."""
_CUTTING: Final = frozenset({"NS", "DNAME"})


class _There(NamedTuple):
    """An existing record that the file has too.

    form: of its data, for comparing; ttl: in the file; own: of the record alone, None if invalid.
    """

    entry: Entry
    form: bytes
    ttl: int
    own: int | None


@dataclass(slots=True)
class _Compared:
    """Existing records that the file has too, and the RRsets from which records are removed."""

    there: dict[_Set, list[_There]] = field(default_factory=dict)
    removed: set[_Set] = field(default_factory=set)


@dataclass(slots=True)
class ImportPlan:
    """The changes of an import, or the problems of its file."""

    problems: list[Fault] = field(default_factory=list)
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    add: list[tuple[RecordKey, RecordSpec]] = field(default_factory=list)
    change: list[tuple[Entry, int]] = field(default_factory=list)
    """Existing entries and their new TTLs."""
    remove: list[bytes] = field(default_factory=list)


class Importer:
    """Imports into one zone."""

    def __init__(self, context: Context, into: Zone) -> None:
        """Create an importer."""
        self._context = context
        self._registry = context.registry
        self._zones = context.catalog.zones
        self._into = into
        self._zone = zone_text(into.apex)

    async def plan(self, text: bytes, *, replace: bool) -> ImportPlan:
        """Compare a file with the registered records; replace: delete records that it lacks.

        An existing record with the same data keeps the fields that a zone file doesn't have.
        """
        plan = ImportPlan()
        wanted = await self._read(text, plan)
        if not plan.problems:
            await self._compare(wanted, plan, replace=replace)
        return plan

    async def carry_out(self, plan: ImportPlan, who: str) -> int:
        """Write the changes in transactions of some hundreds; return the last revision.

        Overwrite changes that others made meanwhile. Raises StoreError.
        """
        revision = self._registry.applied.revision
        # One more records who deleted.
        most = min(AT_ONCE, self._registry.store.limits.operations - 1)
        for steps in _transactions(self._steps(plan, who), most):
            if any(isinstance(step, DeleteOp) for step in steps):
                steps.append(PutOp(DELETED, tombstone(who, self._registry.now())))
            revision = (await self._registry.store.transaction((), steps)).revision
        await self._registry.applied.reached(revision)
        return revision

    def _steps(self, plan: ImportPlan, who: str) -> Iterator[Operation]:
        now = self._registry.now()
        # Deletions come first, because a new CNAME stands alone at its name.
        for key in plan.remove:
            yield DeleteOp(key)
        for entry, ttl in plan.change:
            yield PutOp(entry.key, encode_ttl(entry, ttl, who, now), entry.lease)
        for new, draft in plan.add:
            yield PutOp(new.raw, encode(draft, who, now, None))

    async def _read(self, text: bytes, plan: ImportPlan) -> _Wanted:
        """Return the records of a file by owner and type. Problems go to the plan."""
        found = await asyncio.to_thread(parse_zone, text, self._into.apex, self._into.settings.ttl)
        plan.problems += [(line, reason) for _, line, reason in found.problems]
        wanted: _Wanted = {}
        for at in range(0, len(found.rrsets), STEP):
            for owner, rtype, packed in found.rrsets[at : at + STEP]:
                ttl = int.from_bytes(packed[:4], "big")
                for _, wire in unpack_records(packed):
                    self._take(wanted, plan, 0, (owner, rtype, ttl, wire))
            await asyncio.sleep(0)
        for _, line, origin, owner, ttl, word, words in found.foreign:
            try:
                rtype, wire = _foreign(origin, word, words)
            except (dns.exception.DNSException, ValueError) as error:
                plan.problems.append((line, f"{word}: {error or type(error).__name__}"))
            else:
                self._take(wanted, plan, line, (owner, rtype, ttl, wire))
        return wanted

    def _are_made(self, owner: bytes, rtype: int, data: _Data) -> bool:
        """Return whether the server generates these NS or PTR records, which an export contains."""
        if rtype != PTR and (rtype != NS or owner != self._into.apex):
            return False
        made = {
            (rdata.equal_form(rtype, wire), given.rrset.ttl)
            for given in explain(self._into, owner, rtype)
            if given.source in (MADE, MADE_PTR) and not given.hidden
            for _, wire in given.rrset.records
        }
        return made >= {(form, ttl) for form, (_, ttl) in data.items()}

    def _take(
        self, wanted: _Wanted, plan: ImportPlan, line: int, record: tuple[bytes, int, int, bytes]
    ) -> None:
        owner, rtype, ttl, wire = record
        owner = fold(owner)
        if rtype == SOA:
            # The zone gives it.
            return
        below = deepest(self._zones, owner)
        if below is not None and below.apex != self._into.apex:
            zone = zone_text(below.apex)
            plan.problems.append((line, f"{name_to_text(owner)} belongs to the zone {zone}"))
            return
        place = owner_text(owner, self._into.apex), rdata.type_text(rtype)
        try:
            check_place(place[0], rtype)
            rdata.check_targets(rtype, wire)
        except ValueError as error:
            plan.problems.append((line, f"{name_to_text(owner)}: {error}"))
            return
        wanted.setdefault(place, {})[rdata.equal_form(rtype, wire)] = wire, ttl

    async def _compare(self, wanted: _Wanted, plan: ImportPlan, *, replace: bool) -> None:
        types: dict[str, set[str]] = {}
        compared = _Compared()
        cuts = self._cuts()
        for (owner, word), data in wanted.items():
            types.setdefault(owner, set()).add(word)
            for wire, _ in data.values() if word in _CUTTING else ():
                self._note_cut(cuts, owner, word, wire)
        async for found in self._present():
            for entry in found:
                stays = self._compare_one(wanted, compared, plan, entry, replace=replace)
                if stays is None:
                    continue
                key, wire = stays
                if key.owner in types:
                    types[key.owner].add(key.rtype)
                if key.rtype in _CUTTING:
                    self._note_cut(cuts, key.owner, key.rtype, wire)
            await asyncio.sleep(0)
        plan.problems += [
            (0, f"{owner} would have {', '.join(sorted(words))} records, but a CNAME stands alone")
            for owner, words in types.items()
            if "CNAME" in words and len(words) > 1
        ]
        self._compare_ttls(compared, plan)
        every = servers(self._into, None) if cuts else set()
        every.update(*(names for (_, rtype), names in cuts.items() if rtype == NS))

        def targets(cut: bytes | None) -> Collection[bytes]:
            return every if cut is None else cuts[cut, NS]

        for (owner, word), data in wanted.items():
            rtype = rdata.parse_type(word)
            name = owner_wire(owner, self._zone)
            for known in compared.there.get((owner, word), ()):
                data.pop(known.form, None)
            if data and self._are_made(name, rtype, data):
                data.clear()
            reason = hidden_by(name, rtype, self._into.apex, cuts, targets)
            if data and reason:
                plan.problems.append((0, f"{name_to_text(name)} {word}: {reason}"))
            for wire, ttl in data.values():
                draft = RecordSpec(rtype, wire, rdata.shown(rtype, wire), ttl=ttl)
                plan.add.append((RecordKey(self._zone, owner, word, draft.id), draft))
        plan.added, plan.changed = len(plan.add), len(plan.change)
        plan.removed = len(plan.remove)

    def _cuts(self) -> _Cuts:
        """Return the delegations and DNAMEs that other sources of the zone give."""
        cuts: _Cuts = {}
        for owner, rtype in self._into.cuts:
            for given in explain(self._into, owner, rtype):
                if given.source != REGISTRY:
                    names = cuts.setdefault((owner, rtype), set())
                    names.update(fold(wire) for _, wire in given.rrset.records)
        return cuts

    def _note_cut(self, cuts: _Cuts, owner: str, word: str, wire: bytes) -> None:
        if owner != APEX or word != "NS":
            place = owner_wire(owner, self._zone), rdata.parse_type(word)
            cuts.setdefault(place, set()).add(fold(wire))

    async def _present(self) -> AsyncIterator[Sequence[Entry]]:
        """Yield the records of the zone, including those registered under another zone."""
        async for page in self._registry.store.scan(prefix(self._zone)):
            yield page.entries
        owners = list(self._into.names)
        for at in range(0, len(owners), STEP):
            strays = [
                stray
                for owner in owners[at : at + STEP]
                for stray in self._context.strays(owner, self._into.apex)
            ]
            yield await entries(self._registry, strays)

    def _compare_ttls(self, compared: _Compared, plan: ImportPlan) -> None:
        """Plan new TTLs of the records in the file.

        A record keeps its TTL if its RRset is already answered with the TTL in the file.
        """
        for place, records in compared.there.items():
            answered = None
            if place not in compared.removed and any(each.ttl != each.own for each in records):
                owner, word = place
                packed = resolve(self._into, owner_wire(owner, self._zone)).get(
                    rdata.parse_type(word)
                )
                answered = packed and int.from_bytes(ttl_bytes(packed), "big")
            for each in records:
                if each.ttl in (each.own, answered):
                    plan.unchanged += 1
                else:
                    plan.change.append((each.entry, each.ttl))

    def _own_ttl(self, value: Mapping[str, Any]) -> int | None:
        """Return the TTL that the registry source gives a record by itself."""
        ttl, lease_ttl = value.get("ttl"), value.get("lease_ttl")
        if ttl is None:
            ttl = next(
                int.from_bytes(defaults.ttl, "big")
                for defaults in self._into.defaults.values()
                if defaults.name == REGISTRY
            )
        if not isinstance(ttl, int) or not isinstance(lease_ttl, int | None):
            return None
        return ttl if lease_ttl is None else min(ttl, lease_ttl)

    def _compare_one(
        self,
        wanted: _Wanted,
        compared: _Compared,
        plan: ImportPlan,
        entry: Entry,
        *,
        replace: bool,
    ) -> tuple[RecordKey, bytes] | None:
        """Plan the change of an existing record. Return its key and rdata if it stays."""
        try:
            key = self._here(parse(entry.key))
            value = decode(entry.value)
            rtype = rdata.parse_type(key.rtype)
            wire = rdata.parse(rtype, value["data"])
            form = rdata.equal_form(rtype, wire)
        except ValueError:
            # A foreign value, not a record.
            if replace:
                plan.remove.append(entry.key)
            return None
        data = wanted.get((key.owner, key.rtype), {})
        found = data.get(form)
        if found is not None:
            known = _There(entry, form, found[1], self._own_ttl(value))
            compared.there.setdefault((key.owner, key.rtype), []).append(known)
        elif replace or (rtype in rdata.SINGLE and data):
            plan.remove.append(entry.key)
            compared.removed.add((key.owner, key.rtype))
            return None
        return key, wire

    def _here(self, key: RecordKey) -> RecordKey:
        """Return a key as it would be in the zone. Raises ValueError."""
        if key.zone == self._zone:
            return key
        owner = owner_text(owner_wire(key.owner, key.zone), self._into.apex)
        return key._replace(zone=self._zone, owner=owner)


def _foreign(origin: bytes, word: str, words: str) -> tuple[int, bytes]:
    """Parse a record of a type that the core can't parse."""
    rtype = dns.rdatatype.from_text(word)
    base, _ = dns.name.from_wire(origin, 0)
    found = dns.rdata.from_text("IN", rtype, words, origin=base, relativize=False)
    return int(rtype), found.to_wire() or b""


def _transactions(steps: Iterator[Operation], most: int) -> Iterator[list[Operation]]:
    """Split steps into transactions of at most ``most`` steps."""
    piece: list[Operation] = []
    size = 0
    for step in steps:
        step_size = sum(len(part) for part in step[:2])
        if piece and (len(piece) >= most or size + step_size > TRANSACTION_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(step)
        size += step_size
    if piece:
        yield piece
