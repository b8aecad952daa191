"""The contract of the Rust core: the packet path, and bulk reading of zone files.

Names are *wire names*: length-prefixed labels ending in a zero octet, uncompressed, at most 255
octets (RFC 1035 section 3.1). Case is kept where a name is data and folded where it is looked up.

An RRset crosses this border *packed* (all integers big-endian)::

    ttl u32 | expires u64 | policy u8 | k u8 | count u16 | count x (weight u16 | length u16 | rdata)

``expires`` is a time of the boot-time clock (``time.clock_gettime_ns(time.CLOCK_BOOTTIME)``), 0 if
never; ``policy`` is one of the ``POLICY_*`` numbers below; ``k`` is the size of a subset; rdata is
in wire form with its names uncompressed. ``musterd.rr.rrset`` packs and unpacks it.
"""

from collections.abc import Sequence

POLICY_ALL: int  # every address, in random order
POLICY_ONE: int  # one address at random, by weight
POLICY_ROTATE: int  # one address, the next at each answer
POLICY_STICKY: int  # one address, the same for the same client
POLICY_SUBSET: int  # k addresses, the same for the same client

STATE_LIVE: int  # negatives are true
STATE_LOADING: int  # what is unknown is SERVFAIL with EDE 14
STATE_STALE: int  # answers carry EDE 3
STATE_RESTORING: int  # what is unknown is SERVFAIL with EDE 14, what is known carries EDE 3

class Core:
    """The name server: zones in memory, and the workers that answer from them.

    Methods may be called from one thread at a time. None but ``close`` waits for a worker.
    """

    def __init__(self) -> None: ...
    def configure(
        self,
        *,
        version: str = "",
        server_id: str = "",
        udp_size: int = 1232,
        allow: Sequence[str] = ("0.0.0.0/0", "::/0"),
        proxy_from: Sequence[str] = (),
        ecs_from: Sequence[str] = (),
        cookies: bool = True,
        cookie_secrets: Sequence[bytes] = (),
        rate_limit: int = 0,
        rate_slip: int = 2,
        rate_exempt: Sequence[str] = (),
        tcp_clients: int = 1000,
        tcp_idle: float = 10.0,
    ) -> None:
        """Set what holds for each packet, all at once, without dropping one.

        version, server_id: texts of CH TXT ``version.bind`` and ``id.server``, the latter also of
            NSID (RFC 5001); empty is REFUSED.
        udp_size: largest UDP answer in octets, 512 to 4096.
        allow: networks (``10.0.0.0/8``) that are answered; others get REFUSED with EDE 18.
        proxy_from: networks whose packets and connections begin with a PROXY v2 header.
        ecs_from: networks whose EDNS client subnet (RFC 7871) is believed.
        cookie_secrets: 16 octets each; the first signs, all verify; empty: one made at random.
        rate_limit: like answers a second to one client network (IPv4 /24, IPv6 /56), 0: no limit.
        rate_slip: every n-th answer over the limit is sent truncated; 0: none.
        tcp_clients: connections kept at once, in all; tcp_idle: seconds.

        Raises ValueError naming the bad value.
        """

    def listen(self, addresses: Sequence[str], workers: int) -> list[str]:
        """Listen on exactly these ``host:port`` (``[::1]:53``); 0 workers: one a core.

        Listeners that stay are not touched, new ones open before old ones close. Port 0 takes a
        free one, the same for UDP and TCP. Returns the addresses bound, in order. Raises OSError
        with the address in its text; then nothing has changed.
        """

    def close(self) -> None:
        """Close every listener and wait for the workers."""

    def set_zone(self, apex: bytes) -> None:
        """Make a zone known, loading and empty; no effect on one that is known."""

    def drop_zone(self, apex: bytes) -> None:
        """Forget a zone and its records."""

    def set_state(self, apex: bytes, state: int) -> None:
        """Set one of the ``STATE_*`` for a known zone. Raises KeyError."""

    def live_until(self, time: int) -> None:
        """Let answers be marked with EDE 3 from a time on, whatever the state of their zone.

        time: ns of the boot-time clock, compared at each answer. Until the first call: never.
        """

    def apply(
        self, batch: Sequence[tuple[bytes, bytes, int, bytes | None]]
    ) -> list[tuple[int, str]]:
        """Put (zone, owner, type, packed RRset) or remove (None) RRsets.

        Neighbours in the batch that share zone and owner change at once, so sort it. Returns
        (index, reason) of what was refused, which changes nothing; the rest is in answers when
        this returns.
        """

    def answer(self, query: bytes, client: str = "127.0.0.1", tcp: bool = False) -> bytes | None:
        """Answer one message as a listener would; None where a listener stays silent."""

    def counters(self) -> dict[str, int]:
        """What was counted since the start, by name (``queries_udp``, ``rcode_noerror``)."""

    def zones(self) -> list[tuple[bytes, int, int, int]]:
        """(apex, state, owner names incl. empty non-terminals, octets) of each zone."""

class ZoneFile:
    """What one master file (RFC 1035 section 5, with $TTL, $ORIGIN, $INCLUDE) gives."""

    rrsets: list[tuple[bytes, int, bytes]]
    """(owner, type, packed RRset: lowest TTL, duplicates removed, policy 0, weight 1 or SRV's)."""
    foreign: list[tuple[str, int, bytes, bytes, int, str, str]]
    """(file, line, origin, owner, ttl, type, rdata text) the core can't read."""
    problems: list[tuple[str, int, str]]
    """(file, line, what is wrong and what was expected) of each record that was left out."""
    files: list[str]
    """Every file read: the first and what it includes."""

def read_zone(path: str, origin: bytes, default_ttl: int) -> ZoneFile:
    """Read a master file in bulk, without the GIL. Raises OSError if the first can't be read."""

def pack_records(ttl: int, rtype: int, rdatas: Sequence[tuple[int, bytes]]) -> bytes:
    """A packed RRset of policy ``all`` from (weight, rdata) pairs. Raises ValueError."""

def name_from_text(text: str) -> bytes:
    r"""Return the wire name of ASCII text, which is absolute with or without its final dot.

    ``\X`` and ``\DDD`` are escapes (RFC 1035 section 5.1). Raises ValueError with the text and the
    reason: an empty label, a label over 63 bytes, a name over 255 bytes, a bad escape, or
    characters that are not ASCII.
    """

def name_to_text(wire: bytes) -> str:
    r"""Return the text of a wire name: with its final dot, and escaped as in zone files.

    ``.``, ``\``, ``"``, ``(``, ``)``, ``;``, ``@`` and ``$`` in a label are written after a
    backslash, bytes that are not printable ASCII as ``\DDD``. Raises ValueError if the bytes are
    not one wire name.
    """
