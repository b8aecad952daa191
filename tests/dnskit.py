"""Helpers for tests of the core: load zones, query, listen, pack RRsets."""

import contextlib
import struct
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from musterd._core import POLICY_ALL, STATE_LIVE, Core, read_zone
from musterd.sources.zonefile import foreign_rrsets

ORIGIN = "example."
DEFAULT_TTL = 300

Rows = list[tuple[bytes, bytes, int, bytes | None]]


def wire(name: str, origin: str = ".") -> bytes:
    """Convert a name to wire form; a relative name belongs to the origin."""
    return dns.name.from_text(name, dns.name.from_text(origin)).to_wire() or b""


def rdata(rtype: str, text: str, origin: str = ORIGIN) -> bytes:
    """Convert rdata from text to uncompressed wire form."""
    parsed = dns.rdata.from_text(
        dns.rdataclass.IN, rtype, text, dns.name.from_text(origin), relativize=False
    )
    return parsed.to_wire() or b""


def pack(
    ttl: int,
    records: Sequence[tuple[int, bytes]],
    *,
    policy: int = POLICY_ALL,
    k: int = 0,
    expires: int = 0,
) -> bytes:
    """Pack an RRset (see ``_core.pyi``) from (weight, rdata) pairs."""
    head = struct.pack("!IQBBH", ttl, expires, policy, k, len(records))
    return head + b"".join(struct.pack("!HH", weight, len(data)) + data for weight, data in records)


def new_core(**configure: Any) -> Core:
    """Create a core without zones; arguments are those of ``Core.configure``."""
    core = Core()
    core.configure(**configure)
    return core


def load(core: Core, text: str, origin: str = ORIGIN, *, state: int = STATE_LIVE) -> None:
    """Load a zone from the text of a zone file, in the order of the server.

    Raises AssertionError with the records that the core cannot read or rejects.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".zone") as file:
        file.write(text)
        file.flush()
        zone = read_zone(file.name, wire(origin), DEFAULT_TTL)
    foreign, wrong = foreign_rrsets(zone)
    if zone.problems or wrong:
        raise AssertionError(zone.problems + wrong)
    apex = wire(origin)
    rrsets = [*zone.rrsets, *foreign]
    rows: Rows = [(apex, owner, rtype, packed) for owner, rtype, packed in rrsets]
    core.set_zone(apex)
    if refused := core.apply(sorted(rows, key=lambda row: row[1].lower())):
        raise AssertionError([(rows[index], reason) for index, reason in refused])
    core.set_state(apex, state)


def core_with_zone(text: str, origin: str = ORIGIN, **configure: Any) -> Core:
    """Create a live core with one zone; more arguments are those of ``Core.configure``."""
    core = new_core(**configure)
    load(core, text, origin)
    return core


def ask(
    core: Core,
    name: str,
    rtype: str = "A",
    *,
    client: str = "127.0.0.1",
    tcp: bool = False,
    **options: Any,
) -> dns.message.Message:
    """Query the core in process; options are those of ``dns.message.make_query``.

    Names are relative to ``ORIGIN``. Raises AssertionError if there is no reply.
    """
    query = make_query(name, rtype, **options)
    reply = core.answer(query.to_wire(), client, tcp)
    if reply is None:
        raise AssertionError(f"no reply to {name} {rtype}")
    return dns.message.from_wire(reply)


def make_query(name: str, rtype: str = "A", **options: Any) -> dns.message.QueryMessage:
    """Create a query, by default without RD; the name is relative to ``ORIGIN``."""
    absolute = dns.name.from_text(name, dns.name.from_text(ORIGIN))
    options.setdefault("flags", 0)
    return dns.message.make_query(absolute, rtype, **options)


@contextlib.contextmanager
def listening(
    core: Core, addresses: Sequence[str] = ("127.0.0.1:0",), workers: int = 1
) -> Iterator[list[str]]:
    """Listen while the block runs, and give the bound addresses as ``host:port``."""
    try:
        yield core.listen(addresses, workers)
    finally:
        core.close()
