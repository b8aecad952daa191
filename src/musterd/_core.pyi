"""Interface of the Rust core: the packet path, and bulk reading of zone files.

Names are *wire names*: length-prefixed labels that end in a zero byte, uncompressed, at most 255
bytes (RFC 1035 section 3.1). Case is kept in data, and ignored when names are looked up.

RRsets are passed *packed* (all integers big-endian)::

    ttl u32 | expires u64 | policy u8 | k u8 | count u16 | count x (weight u16 | length u16 | rdata)

``expires`` is a time of the boot-time clock (``time.clock_gettime_ns(time.CLOCK_BOOTTIME)``), 0 for
never; ``policy`` is one of the ``POLICY_*`` numbers below; ``k`` is the size of a subset; rdata is
in wire form with its names uncompressed. ``musterd.rr.rrset`` packs and unpacks it.
"""

from collections.abc import Sequence

POLICY_ALL: int  # all addresses, in random order
POLICY_ONE: int  # one address at random, by weight
POLICY_ROTATE: int  # one address, the next one for each answer
POLICY_STICKY: int  # one address, the same one for the same client
POLICY_SUBSET: int  # k addresses, the same ones for the same client

STATE_LIVE: int  # negative answers are final
STATE_LOADING: int  # negative answers are SERVFAIL with EDE 14
STATE_STALE: int  # answers carry EDE 3
STATE_RESTORING: int  # negative answers are SERVFAIL with EDE 14, the others carry EDE 3

ZONE_RCODES: Sequence[str]
"""Response codes of ``Core.zone_queries``."""
DURATION_BOUNDS: Sequence[int]
"""Upper bounds of the buckets of ``Core.durations`` in ns, ascending. One more bucket has none."""

class Core:
    """A name server: zones in memory, and the workers that answer from them.

    Call its methods from one thread at a time. Only ``close`` and ``listen`` wait for workers.
    """

    def __init__(self) -> None: ...
    def configure(
        self,
        *,
        version: str = "",
        server_id: str = "",
        udp_size: int = ...,
        allow: Sequence[str] = ("0.0.0.0/0", "::/0"),
        proxy_from: Sequence[str] = (),
        ecs_from: Sequence[str] = (),
        cookies: bool = True,
        cookie_secrets: Sequence[bytes] = (),
        rate_limit: int = 0,
        rate_slip: int = ...,
        rate_exempt: Sequence[str] = (),
        tcp_clients: int = ...,
        tcp_idle: float = ...,
    ) -> None:
        """Replace all options at once, without dropping a packet.

        version, server_id: texts of CH TXT ``version.bind`` and ``id.server``; server_id is also
            the NSID (RFC 5001). An empty text is REFUSED.
        udp_size: largest UDP answer in bytes, 512 to 4096. The defaults are those of ``Dns`` in the
            settings.
        allow: networks such as ``10.0.0.0/8`` that get answers; others get REFUSED with EDE 18.
        proxy_from: networks whose packets and connections begin with a PROXY v2 header.
        ecs_from: networks whose EDNS client subnet (RFC 7871) is trusted.
        cookie_secrets: 16 bytes each; the first signs, all of them verify. Empty: a random secret.
        rate_limit: equal answers per second to a client network (IPv4 /24, IPv6 /56); 0: no limit.
        rate_slip: one in this many answers over the limit is sent truncated; 0: none.
        tcp_clients: most open connections in all; tcp_idle: seconds before an idle one is closed.

        Raises ValueError that names the invalid value.
        """

    def listen(self, addresses: Sequence[str], workers: int) -> list[str]:
        """Listen on exactly these addresses (``127.0.0.1:53``, ``[::1]:53``).

        workers: threads each for UDP and TCP per address; 0: one per CPU. Listeners on addresses
        that stay are not interrupted, and new ones open before old ones close. Port 0 selects a
        free port, the same for UDP and TCP. Returns the bound addresses in order. Raises
        ValueError for an invalid address, and OSError with the address in its text; both change
        nothing.
        """

    def close(self) -> None:
        """Close all listeners and wait for their workers."""

    def set_zone(self, apex: bytes) -> None:
        """Add a zone, loading and empty, unless it exists. Raises ValueError if apex is invalid."""

    def drop_zone(self, apex: bytes) -> None:
        """Remove a zone and its records, if it exists."""

    def set_state(self, apex: bytes, state: int) -> None:
        """Set the state of a zone to one of ``STATE_*``.

        Raises ValueError for another number, and KeyError if there is no such zone.
        """

    def set_wildcard_queries(self, apex: bytes, wanted: bool) -> None:
        """Set whether ``*`` and ``any`` in a question to a zone stand for every label there.

        Such a question gets the records of all names of the zone that match, merged. If they are
        too many, it gets SERVFAIL with EDE 21. Turning it on takes time in proportion to the names
        of the zone, without the GIL. Raises KeyError if there is no such zone.
        """

    def live_until(self, time: int) -> None:
        """Set the time from which all answers carry EDE 3, whatever the state of their zone.

        time: ns of the boot-time clock, compared for each answer. Never, until the first call.
        """

    def apply(
        self, batch: Sequence[tuple[bytes, bytes, int, bytes | None]]
    ) -> list[tuple[int, str]]:
        """Put or remove RRsets, given as (zone, owner, type, packed RRset or None).

        Consecutive changes to one owner name take effect at the same time, so sort the batch.
        Returns (index, reason) of each rejected change. The others are in answers on return.
        """

    def occluded(
        self, apex: bytes, most: int, has_deeper: bool
    ) -> tuple[int, list[tuple[bytes, int]]]:
        """Return how many RRsets of a zone are never answered, and (owner, type) of ``most``.

        An RRset is never answered below a DNAME, at or below a zone cut unless it is glue, and, if
        it is NS or DNAME, at a wildcard. Searches all names of a zone that has a cut or DNAME,
        without the GIL.
        """

    def matching(self, question: bytes, most: int) -> list[bytes] | None:
        """Return at most ``most`` of the names that a question with wildcard labels matches.

        None if it has none, or if its zone takes them literally. Raises ValueError if the question
        is no name.
        """

    def answer(self, query: bytes, client: str = "127.0.0.1", tcp: bool = False) -> bytes | None:
        """Answer one message as a listener does; None if a listener sends no reply."""

    def probe(self, query: bytes, client: str) -> bytes | None:
        """Answer one message over TCP as a listener does, without counting it."""

    def counters(self) -> dict[str, int]:
        """Return the counters since the start by name (``queries_udp``, ``rcode_noerror``)."""

    def durations(self) -> list[tuple[str, list[int], int]]:
        """Return (``tcp`` or ``udp``, replies in each bucket, sum in ns) since the start.

        A duration begins when a worker has read a batch of queries from its socket, and ends when
        the kernel has taken the replies to the batch. It counts for each of these replies. Over
        TCP, a batch is what one read returned; replies that the client does not read yet count
        when they are ready.
        """

    def tap(self, old: Feed | None, new: Feed | None) -> None:
        """Report queries, after they were answered, to a new feed instead of an old one."""

    def tapped(self) -> dict[str, int]:
        """Return the totals of all feeds since the start by name (``query_log_dropped``)."""

    def zone_queries(self) -> list[tuple[bytes, list[int]]]:
        """Return (apex, queries by ``ZONE_RCODES``) of each zone that was queried.

        The zone is that of the question, also if an alias leads to another one. The code is that of
        the answer before the rate limit.
        """

    def zones(self) -> list[tuple[bytes, int, int, int]]:
        """Return (apex, state, number of owner names, memory in bytes) of each zone.

        The names include empty non-terminals.
        """

class Feed:
    """A consumer of reports about queries, with a thread of its own, that ``Core.tap`` connects.

    Reports wait in rings of a fixed size. When the consumer is slow, they are dropped and counted.
    sample: fraction of the queries; names: wire names of which one must contain the name of the
    query; clients: networks; rcodes: response codes. Empty: all. Raises ValueError and OSError.
    """

    @staticmethod
    def query_log(
        core: Core,
        descriptor: int,
        sample: float,
        names: Sequence[bytes],
        clients: Sequence[str],
        rcodes: Sequence[int],
    ) -> Feed:
        """Create a feed that writes JSON lines to a descriptor, which it closes."""

    @staticmethod
    def dnstap(
        core: Core,
        path: str,
        queries: bool,
        identity: str,
        version: str,
        sample: float,
        names: Sequence[bytes],
        clients: Sequence[str],
        rcodes: Sequence[int],
    ) -> Feed:
        """Create a feed that sends dnstap messages to the reader at a unix socket.

        queries: send AUTH_QUERY besides AUTH_RESPONSE. Connects again whenever the reader is gone.
        """

    def problem(self) -> str | None:
        """Return why reports are being dropped; empty if none is, None before the first."""

    def close(self, wait: float) -> None:
        """Let the thread write what there is, and end; wait for it at most this many seconds."""

class ZoneFile:
    """The contents of a zone file (RFC 1035 section 5, with $TTL, $ORIGIN, $INCLUDE)."""

    rrsets: list[tuple[bytes, int, bytes]]
    """(owner, type, packed RRset: lowest TTL, no duplicates, policy 0, weight 1 or that of SRV)."""
    foreign: list[tuple[str, int, bytes, bytes, int, str, str]]
    """(file, line, origin, owner, ttl, type, rdata text) of records that the core can't read."""
    problems: list[tuple[str, int, str]]
    """(file, line, description) of each record that was ignored, with what was expected."""
    files: list[str]
    """The files named: the first one and its includes, readable or not."""
    unread: list[str]
    """The includes that can't be read."""
    cut: list[str]
    """The files whose last line has no line end."""

def read_zone(path: str, origin: bytes, default_ttl: int) -> ZoneFile:
    """Read a zone file in bulk, without the GIL. Raises OSError if the first file can't be read."""

def parse_zone(text: bytes, origin: bytes, default_ttl: int) -> ZoneFile:
    """Read the text of a zone file without the GIL; an ``$INCLUDE`` is a problem."""

def pack_records(ttl: int, rtype: int, rdatas: Sequence[tuple[int, bytes]]) -> bytes:
    """Pack (weight, rdata) pairs into an RRset of policy ``all``. Raises ValueError."""

def fold_rdata(rtype: int, rdata: bytes) -> bytes:
    """Return rdata with its names in lower case, as rdata is compared (RFC 4034 section 6.2)."""

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
