"""Names, RRsets, policies and the changes that sources report: frozen values, no input or output.

A *wire name* is length-prefixed labels that end in a zero octet, uncompressed, at most 255 octets
(RFC 1035 section 3.1). A *packed* RRset is the form in which the core takes it (see ``_core.pyi``).
In what a source reports two things may be left open in it, and the catalog fills them in:
``TTL_UNSET`` as TTL, and ``POLICY_UNSET`` as policy.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

NAME_OCTETS: Final = 255
"""The most octets of a wire name (RFC 1035 section 2.3.4)."""
LABEL_OCTETS: Final = 63
"""The most octets of a label (RFC 1035 section 2.3.4)."""
ROOT: Final = b"\0"

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
MX: Final = 15
TXT: Final = 16
KEY: Final = 25
AAAA: Final = 28
SRV: Final = 33
DNAME: Final = 39
RRSIG: Final = 46
NSEC: Final = 47

_TYPES: Final = {
    A: "A", NS: "NS", CNAME: "CNAME", SOA: "SOA", PTR: "PTR", 13: "HINFO", MX: "MX", TXT: "TXT",
    17: "RP", 18: "AFSDB", KEY: "KEY", AAAA: "AAAA", 29: "LOC", SRV: "SRV", 35: "NAPTR",
    37: "CERT", DNAME: "DNAME", 43: "DS", 44: "SSHFP", RRSIG: "RRSIG", NSEC: "NSEC",
    48: "DNSKEY", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 59: "CDS",
    60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS",
    256: "URI", 257: "CAA",
}  # fmt: skip

TTL_UNSET: Final = 0xFFFF_FFFF
"""The TTL of a record that has none; no real one is above 2**31 - 1 (RFC 2181 section 8)."""
POLICY_UNSET: Final = 0
"""The policy octet of a record that has none of its own."""
POLICY_OWN_ALL: Final = 255
"""The policy octet of a record whose own policy is ``all``, which is 0 in the core."""

_HEAD = struct.Struct("!IQBBH")
_RECORD = struct.Struct("!HH")
HEAD_OCTETS: Final = _HEAD.size
"""Octets of a packed RRset before its first record."""

SHOWN_MOST: Final = 300
"""The most characters of a text that others wrote, where it is shown."""
DIGEST_DIGITS: Final = 16
"""Of the SHA-256 that stands for what is cut, hexadecimal."""

IN_ADDR: Final = b"\x07in-addr\x04arpa\0"
IP6: Final = b"\x03ip6\x04arpa\0"
_IPV4, _IPV6 = 4, 16
"""Octets of an address."""
_DECIMAL = tuple(bytes([len(str(n))]) + str(n).encode() for n in range(256))
_NIBBLES = tuple(b"\x01%x\x01%x" % (n & 15, n >> 4) for n in range(256))

_ESCAPE = re.compile(rb"\\([0-9]{3}|[^0-9])|([^\\.])|(\.)")
_SPECIAL = frozenset(b'.\\"();@$')


def name_from_text(text: str) -> bytes:
    r"""A wire name from ASCII text, which is absolute with or without its final dot.

    ``\.`` and ``\DDD`` are escapes (RFC 1035 section 5.1). Raises ValueError saying what is wrong.
    """
    if text == ".":
        return ROOT
    try:
        octets = text.encode("ascii")
    except UnicodeEncodeError:
        raise ValueError(f'"{text}" is no name: it is not ASCII') from None
    wire = b"".join(bytes([len(label)]) + label for label in _labels(octets, text)) + ROOT
    if len(wire) > NAME_OCTETS:
        raise ValueError(f'"{text}" is no name: it has {len(wire)} octets, at most {NAME_OCTETS}')
    return wire


def _labels(octets: bytes, text: str) -> list[bytes]:
    labels = [bytearray()]
    at = 0
    while at < len(octets):
        found = _ESCAPE.match(octets, at)
        if found is None:
            raise ValueError(f'"{text}" is no name: a "\\" escapes nothing')
        at = found.end()
        escaped, plain, dot = found.groups()
        if dot:
            labels.append(bytearray())
        elif escaped and escaped.isdigit():
            if int(escaped) > 255:  # noqa: PLR2004
                raise ValueError(f'"{text}" is no name: \\{int(escaped)} is no octet')
            labels[-1].append(int(escaped))
        else:
            labels[-1] += escaped or plain
    if len(labels) > 1 and not labels[-1]:
        labels.pop()
    for label in labels:
        if not 0 < len(label) <= LABEL_OCTETS:
            raise ValueError(f'"{text}" is no name: a label has {len(label)} octets, not 1 to 63')
    return [bytes(label) for label in labels]


def name_to_text(wire: bytes) -> str:
    """A wire name as text with its final dot and what needs it escaped. Raises ValueError."""
    if wire == ROOT:
        return "."
    check_name(wire)
    text, at = "", 0
    while wire[at]:
        label = wire[at + 1 : at + 1 + wire[at]]
        text += "".join(map(_octet_text, label)) + "."
        at += 1 + wire[at]
    return text


def _octet_text(octet: int) -> str:
    if octet in _SPECIAL:
        return "\\" + chr(octet)
    return chr(octet) if 0x20 < octet < 0x7F else f"\\{octet:03}"  # noqa: PLR2004


def check_name(wire: bytes) -> None:
    """Raises ValueError where bytes are no wire name."""
    if split_name(wire)[1]:
        raise ValueError(f"{wire[:NAME_OCTETS]!r} is no wire name: something follows it")


def split_name(octets: bytes) -> tuple[bytes, bytes]:
    """The wire name that octets begin with, and the rest of them. Raises ValueError."""
    at = 0
    while at < len(octets) and 0 < octets[at] <= LABEL_OCTETS:
        at += 1 + octets[at]
    if at >= min(len(octets), NAME_OCTETS) or octets[at]:
        raise ValueError(f"{octets[:NAME_OCTETS]!r} is no wire name")
    return octets[: at + 1], octets[at + 1 :]


def fold(wire: bytes) -> bytes:
    """A wire name in lower case, as names are compared (RFC 4343).

    A length octet is below 64, so it is no letter and stays.
    """
    return wire.lower()


def is_wildcard(wire: bytes) -> bool:
    """Whether the first label is ``*`` (RFC 4592 section 2.1.1)."""
    return wire.startswith(b"\x01*")


def reverse_name(address: bytes) -> bytes:
    """The wire name of an address (4 or 16 octets) under in-addr.arpa or ip6.arpa.

    RFC 1035 section 3.5, RFC 3596 section 2.5. Raises ValueError.
    """
    if len(address) == _IPV4:
        return b"".join(map(_DECIMAL.__getitem__, reversed(address))) + IN_ADDR
    if len(address) == _IPV6:
        return b"".join(map(_NIBBLES.__getitem__, reversed(address))) + IP6
    raise ValueError(f"{len(address)} octets are no address: expected 4 or 16")


def type_text(rtype: int) -> str:
    """The mnemonic of a record type, else ``TYPE65280`` (RFC 3597 section 5)."""
    return _TYPES.get(rtype) or f"TYPE{rtype}"


@dataclass(frozen=True, slots=True)
class Policy:
    """Which addresses one client gets: one of the core's ``POLICY_*``, and its count."""

    kind: int
    k: int = 0

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """From ``all``, ``one``, ``rotate``, ``sticky``, ``subset:3``. Raises ValueError."""
        word, colon, count = text.partition(":")
        if word in _POLICIES[:4] and not colon:
            return cls(_POLICIES.index(word))
        if word == "subset" and re.fullmatch("[0-9]{1,3}", count) and 0 < int(count) < 256:  # noqa: PLR2004
            return cls(4, int(count))
        raise ValueError(f'"{text}" is no policy: expected all, one, rotate, sticky or subset:K')

    def __str__(self) -> str:
        """As in the settings."""
        return _POLICIES[self.kind] + (f":{self.k}" if self.k else "")

    @property
    def octets(self) -> bytes:
        """As the core takes it: policy and k."""
        return bytes((self.kind, self.k))


_POLICIES: Final = ("all", "one", "rotate", "sticky", "subset")


class RRset(NamedTuple):
    """An RRset unpacked: the value of its parts, for those who look at few.

    ttl: seconds, None if unset; expires: ns of the boot-time clock, 0 for never; policy: its own,
    None if it has none; records: (weight, rdata in wire form).
    """

    ttl: int | None
    records: tuple[tuple[int, bytes], ...]
    expires: int = 0
    policy: Policy | None = None


def pack(
    ttl: int | None,
    records: Sequence[tuple[int, bytes]],
    *,
    expires: int = 0,
    policy: Policy | None = None,
) -> bytes:
    """A packed RRset of a source; the arguments are the parts of ``RRset``.

    Raises ValueError where a part does not fit its field.
    """
    kind, k = (POLICY_UNSET, 0) if policy is None else (policy.kind or POLICY_OWN_ALL, policy.k)
    try:
        head = _HEAD.pack(TTL_UNSET if ttl is None else ttl, expires, kind, k, len(records))
        return head + pack_records(records)
    except struct.error as error:
        raise ValueError(f"an RRset of {len(records)} records can't be packed: {error}") from None


def pack_records(records: Iterable[tuple[int, bytes]]) -> bytes:
    """The records of a packed RRset, from (weight, rdata) pairs."""
    return b"".join(_RECORD.pack(weight, len(rdata)) + rdata for weight, rdata in records)


def unpack(packed: bytes) -> RRset:
    """The parts of a packed RRset of a source. Raises ValueError if it is none."""
    if len(packed) < HEAD_OCTETS:
        raise ValueError(f"{len(packed)} octets are no RRset: its head has {HEAD_OCTETS}")
    ttl, expires, kind, k, count = _HEAD.unpack_from(packed)
    records = unpack_records(packed)
    if len(records) != count or not count:
        raise ValueError(f"an RRset of {count} records holds {len(records)}")
    policy = None
    if kind != POLICY_UNSET:
        policy = Policy(0 if kind == POLICY_OWN_ALL else kind, k)
    return RRset(None if ttl == TTL_UNSET else ttl, tuple(records), expires, policy)


def unpack_records(packed: bytes) -> list[tuple[int, bytes]]:
    """The (weight, rdata) pairs of a packed RRset. Raises ValueError where one is cut off."""
    records, at = [], HEAD_OCTETS
    while at < len(packed):
        if at + _RECORD.size > len(packed):
            raise ValueError("the last record of an RRset is cut off")
        weight, length = _RECORD.unpack_from(packed, at)
        at += _RECORD.size + length
        if at > len(packed):
            raise ValueError("the last record of an RRset is cut off")
        records.append((weight, packed[at - length : at]))
    return records


class Record(NamedTuple):
    """What a key gives at one owner name: a wire name, a type, and a packed RRset."""

    owner: bytes
    rtype: int
    packed: bytes


@dataclass(frozen=True, slots=True)
class Begin:
    """A full list follows, up to ``Synced``; keys unseen in it are gone."""


class Put(NamedTuple):
    """All that one key gives now.

    key: the source's own, as text; revision: of the key, counted by the source; time: of its
    last change, seconds since 1970.
    """

    key: str
    revision: int
    time: float
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class PutMany:
    """Records whose keys are their own owner and type: the bulk form of ``Put``.

    rows: (owner, type, packed RRset) each. They are trusted to be well formed, as the core makes
    them: to check each would double the time of loading.
    """

    revision: int
    time: float
    rows: Sequence[tuple[bytes, int, bytes]]


@dataclass(frozen=True, slots=True)
class Delete:
    """A key gives nothing any more."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Several:
    """Changes of keys that are told at once, and are in answers at once or nearly so.

    What they put is trusted to be well formed, as the rows of ``PutMany`` are. whole: they are
    part of a list, in which no other key gives records at the owner names of these.
    """

    changes: Sequence[Put | Delete]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Synced:
    """The list is complete, and from now on every change is told."""

    revision: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The source can't be read, for a reason; what is known stays, until it is synced again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing of a source that was left out: where it is, and what is wrong with it."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Mended:
    """What a ``Fault`` told is so no more, where it was."""

    where: str


class LeftOut(NamedTuple):
    """A record that a source has of a name and doesn't give, and why."""

    rtype: int
    weight: int
    rdata: bytes
    reason: str


Change = Begin | Put | PutMany | Several | Delete | Synced | Lost | Fault | Mended


def shortened(text: str) -> str:
    """A text that others wrote, for people: of one with many characters its start and its end."""
    if len(text) <= SHOWN_MOST:
        return text
    return _cut(text, f"… ({len(text)} characters) …")


def named(text: str) -> str:
    """As ``shortened``, for what is known by it: two texts never become one."""
    if len(text) <= SHOWN_MOST:
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_DIGITS]
    return _cut(text, f"… ({len(text)} characters, SHA-256 {digest}…) …")


def _cut(text: str, between: str) -> str:
    end = SHOWN_MOST // 3
    return text[: SHOWN_MOST - len(between) - end] + between + text[-end:]
