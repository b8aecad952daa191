"""Shared by the tests of the catalog: a recording core, a manual clock, records as text."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype

from musterd.catalog import Catalog
from musterd.catalog.outbox import Row
from musterd.rr.names import check_name, name_from_text, name_to_text
from musterd.rr.rrset import Policy, Record, pack, unpack
from musterd.rr.types import type_text
from musterd.settings import Settings

NOW = 1_700_000_000.0
STATES = ("live", "loading", "stale", "restoring")
SOURCES = ("one", "two", "three")


class RecordingCore:
    """Stands in for ``musterd._core.Core`` and records updates; see ``test_catalog_core``."""

    def __init__(self) -> None:
        self.rrsets: dict[bytes, dict[tuple[bytes, int], bytes]] = {}
        self.state: dict[bytes, int] = {}
        self.batches: list[list[Row]] = []
        self.wildcards: frozenset[bytes] = frozenset()
        """Zones whose questions may have wildcard labels."""
        self.until = 0
        """Time from which all answers are stale, in ns."""

    def set_zone(self, apex: bytes) -> None:
        self.rrsets.setdefault(apex.lower(), {})
        self.state.setdefault(apex.lower(), 1)

    def drop_zone(self, apex: bytes) -> None:
        self.rrsets.pop(apex.lower(), None)
        self.state.pop(apex.lower(), None)

    def set_wildcard_queries(self, apex: bytes, wanted: bool) -> None:
        self.wildcards = self.wildcards | {apex} if wanted else self.wildcards - {apex}

    def set_state(self, apex: bytes, state: int) -> None:
        if apex.lower() not in self.state:
            raise KeyError(apex)
        self.state[apex.lower()] = state

    def live_until(self, time: int) -> None:
        self.until = time

    def apply(self, batch: Sequence[Row]) -> list[tuple[int, str]]:
        self.batches.append(list(batch))
        refused = []
        for index, row in enumerate(batch):
            try:
                self._apply(row)
            except (ValueError, dns.exception.DNSException) as error:
                refused.append((index, str(error)))
        return refused

    def _apply(self, row: Row) -> None:
        apex, owner, rtype, packed = row
        zone = self.rrsets.get(apex.lower())
        if zone is None:
            raise ValueError("unknown zone: call set_zone first")
        check_name(owner)
        name = dns.name.from_wire(owner, 0)[0]
        if not name.is_subdomain(dns.name.from_wire(apex, 0)[0]):
            raise ValueError("the owner is outside the zone")
        if packed is None:
            zone.pop((owner.lower(), rtype), None)
            return
        records = unpack(packed).records
        if packed[12] > 4:
            raise ValueError(f"policy {packed[12]} is not one of 0 to 4")
        if rtype in (5, 6) and len(records) > 1:
            raise ValueError(f"{len(records)} records, expected one")
        for _, rdata in records:
            parse(rtype, rdata)
        zone[owner.lower(), rtype] = packed

    def text(self, zone: str, *, own: bool = False) -> list[str]:
        """Return the answers, sorted; generated SOA and NS records on demand."""
        rrsets = self.rrsets[name_from_text(zone)].items()
        lines = [
            line for (owner, rtype), packed in rrsets for line in lines_of(owner, rtype, packed)
        ]
        return sorted(line for line in lines if own or f"ns.{zone}." not in line)

    def state_of(self, zone: str) -> str:
        return STATES[self.state[name_from_text(zone)]]

    def forget(self) -> None:
        """Remember no batch."""
        self.batches.clear()


class ManualTimer:
    """A call that is made when the clock passes its time."""

    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = NOW
        self.steady = 0.0
        self.timers: list[ManualTimer] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.steady

    def call_later(self, delay: float, callback: Callable[[], object]) -> ManualTimer:
        timer = ManualTimer(self.steady + delay, callback)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Advance both times, and make the calls that are due, in order."""
        end = self.steady + seconds
        start = self.now - self.steady
        while due := [t for t in self.timers if not t.cancelled and t.at <= end]:
            timer = min(due, key=lambda timer: timer.at)
            timer.cancelled = True
            self.steady = max(self.steady, timer.at)
            self.now = start + self.steady
            timer.callback()
        self.steady, self.now = end, start + end


def lines_of(owner: bytes, rtype: int, packed: bytes) -> list[str]:
    """Return an RRset as lines of a zone file, each with an unusual policy or weight at its end."""
    ttl, records, *_ = unpack(packed)
    policy = Policy(packed[12], packed[13])
    more = "" if packed[12] == 0 else f" ; {policy}"
    return [
        f"{name_to_text(owner)} {ttl} {type_text(rtype)} {parse(rtype, rdata).to_text()}{more}"
        for _, rdata in records
    ]


def parse(rtype: int, rdata: bytes) -> dns.rdata.Rdata:
    """Return rdata in wire form. Raises DNSException."""
    return dns.rdata.from_wire("IN", dns.rdatatype.RdataType.make(rtype), rdata, 0, len(rdata))


def records(*lines: str, zone: str = "lab.internal") -> tuple[Record, ...]:
    """Return records from ``owner [ttl] type rdata [; policy]``, owners relative to the zone."""
    return tuple(_record(line, dns.name.from_text(zone)) for line in lines)


def rows(*lines: str) -> list[tuple[bytes, int, bytes]]:
    """Return the same as bulk rows, one line for each RRset."""
    return [(owner, rtype, packed) for owner, rtype, packed in records(*lines)]


def _record(line: str, origin: dns.name.Name) -> Record:
    text, _, policy = line.partition(" ; ")
    owner, *words = text.split()
    ttl = int(words.pop(0)) if words[0].isdigit() else None
    rtype, rdata = words[0], " ".join(words[1:])
    parsed = dns.rdata.from_text("IN", rtype, rdata, origin=origin, relativize=False)
    weight = getattr(parsed, "weight", 1)
    own = Policy.parse(policy) if policy else None
    packed = pack(ttl, [(weight, parsed.to_wire() or b"")], policy=own)
    name = dns.name.from_text(owner, origin).to_wire() or b""
    return Record(name, int(dns.rdatatype.from_text(rtype)), packed)


def settings(
    *zones: Mapping[str, Any], sources: Sequence[Mapping[str, Any]] | None = None
) -> Settings:
    """Return settings with these zones, each with the sources one, two, three, or given ones."""
    declared = zones or ({"name": "lab.internal"},)
    if sources is None:
        first = declared[0]["name"]
        sources = [{"name": name, "zone": first} for name in SOURCES]
    files = [{"path": "unused.zone", **source} for source in sources]
    raw = {"state": {"dir": ""}, "zones": list(declared), "sources": {"zonefile": files}}
    return Settings.model_validate(raw)


async def new_catalog(
    *zones: Mapping[str, Any], sources: Sequence[Mapping[str, Any]] | None = None
) -> tuple[Catalog, RecordingCore, ManualClock]:
    """A catalog of the zones (see ``settings``) that updates a recording core."""
    core, clock = RecordingCore(), ManualClock()
    catalog = Catalog(core, clock)
    await catalog.reconfigure(settings(*zones, sources=sources))
    return catalog, core, clock


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition without an event; the time limit of the test applies."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)
