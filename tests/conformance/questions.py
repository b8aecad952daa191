"""Seeded questions about a family of zones: existing and near names, every type, all of EDNS."""

import random
import string
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.zone

from tests.conformance.peers import ZoneText

RD, AD, CD, DO = 0x0100, 0x0020, 0x0010, 0x8000
NSID, ECS, EXPIRE, COOKIE, KEEPALIVE, PADDING = 3, 8, 9, 10, 11, 12

Labels = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Edns:
    """The OPT record of a question (RFC 6891): options are (code, data)."""

    size: int = 1232
    flags: int = 0
    version: int = 0
    options: tuple[tuple[int, bytes], ...] = ()

    def wire(self) -> bytes:
        data = b"".join(struct.pack("!HH", code, len(text)) + text for code, text in self.options)
        head = struct.pack("!BHHBBHH", 0, 41, self.size, 0, self.version, self.flags, len(data))
        return head + data


@dataclass(frozen=True, slots=True)
class Question:
    """A question: labels of the name without the root, header flags, transport."""

    labels: Labels
    rtype: int
    rclass: int = 1
    flags: int = 0
    edns: Edns | None = None
    tcp: bool = False

    def wire(self, ident: int = 0) -> bytes:
        name = b"".join(bytes([len(label)]) + label for label in self.labels) + b"\0"
        head = struct.pack("!HHHHHH", ident, self.flags, 1, 0, 0, int(self.edns is not None))
        tail = struct.pack("!HH", self.rtype, self.rclass)
        return head + name + tail + (self.edns.wire() if self.edns else b"")

    @property
    def limit(self) -> int:
        """Maximum size of an answer in bytes (1232 is every server's own limit)."""
        if self.tcp:
            return 65535
        return 512 if self.edns is None else min(max(self.edns.size, 512), 1232)

    def __str__(self) -> str:
        """Return the command line of ``dig``."""
        name = dns.name.Name([*self.labels, b""]).to_text()
        bits = ((RD, "recurse"), (AD, "adflag"), (CD, "cdflag"))
        words = [f"+{'' if self.flags & bit else 'no'}{word}" for bit, word in bits]
        words.append("+tcp" if self.tcp else "+notcp")
        if self.edns is None:
            words.append("+noedns")
        else:
            words += [f"+edns={self.edns.version} +bufsize={self.edns.size}"]
            words.append(f"+ednsflags={self.edns.flags:#x}")
            words += [f"+ednsopt={code}:{text.hex()}" for code, text in self.edns.options]
        return f"dig '{name}' TYPE{self.rtype} CLASS{self.rclass} {' '.join(words)}"


_COMMON = ("A", "AAAA", "SRV", "TXT", "MX", "NS", "SOA", "CNAME", "PTR", "CAA", "HTTPS", "SVCB")
_RARE = ("DS", "DNSKEY", "DNAME", "NAPTR", "TLSA", "SSHFP", "RRSIG", "NSEC", "NULL", "HINFO")
_TYPES = [int(dns.rdatatype.from_text(text)) for text in (*_COMMON, *_RARE)]
_ALIAS_TYPES = [int(dns.rdatatype.from_text(text)) for text in _COMMON]
"""Types asked of an alias: mostly types that its target may have."""
MAX_REDIRECTED = 10
"""Names that are asked for each DNAME, beside random ones."""
_LETTERS = string.ascii_letters.encode()
_WORDS = (b"*", b"x", b"on", b"www", b"host", b"ns", b"sub", b"_tcp", b"a", b"b")
_ODD_TYPES = [255, 65280, 731, 62000, 65534]
_META_TYPES = [251, 252, 253, 254, 249, 250, 41, 0, 128, 65535]


class Asker:
    """Generates questions about zones; a seed determines the list."""

    def __init__(self, zones: Sequence[ZoneText], rng: random.Random) -> None:
        self._rng = rng
        self._names: list[Labels] = []
        self._types: dict[Labels, list[int]] = {}
        redirections: list[tuple[Labels, Labels]] = []
        for text in zones:
            zone = dns.zone.from_text(
                text.text, origin=text.origin, relativize=False, check_origin=False
            )
            for name, node in zone.nodes.items():
                labels = name.labels[:-1]
                self._names.append(labels)
                types = [int(rdataset.rdtype) for rdataset in node.rdatasets]
                self._types[labels] = _ALIAS_TYPES if types == [dns.rdatatype.CNAME] else types
                dname = node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.DNAME)
                if dname is not None:
                    redirections.append((labels, dname[0].target.labels[:-1]))
        for owner, target in redirections:
            self._redirect(owner, target)

    def _redirect(self, owner: Labels, target: Labels) -> None:
        """Add the names that a DNAME redirects to names that exist."""
        below = [name for name in self._names if target and name[-len(target) :] == target]
        for name in below[:MAX_REDIRECTED]:
            labels = self._fit(name[: -len(target)] + owner)
            if labels not in self._types:
                self._names.append(labels)
                self._types[labels] = self._types[name]

    def questions(self, count: int, *, tcp_share: float = 0.1) -> Iterator[Question]:
        for _ in range(count):
            labels, types = self._name()
            yield Question(
                self._random_case(labels),
                self._rtype(types),
                self._rclass(),
                self._flags(),
                self._edns(),
                self._rng.random() < tcp_share,
            )

    def _name(self) -> tuple[Labels, list[int]]:
        """Return an existing name, or a name above, below or beside it, or in no zone."""
        rng = self._rng
        labels = rng.choice(self._names)
        types = self._types[labels]
        kind = rng.random()
        if kind < 0.5:
            return labels, types
        if kind < 0.6:
            return labels[rng.randint(0, len(labels)) :], types
        if kind < 0.85:
            below = tuple(self._label() for _ in range(rng.choice((1, 1, 1, 2, 3))))
            return self._fit(below + labels[rng.randint(0, min(1, len(labels))) :]), types
        if kind < 0.97:
            cut = rng.randint(0, max(0, len(labels) - 2))
            return self._fit((self._label(), *labels[cut:])), types
        return tuple(self._label() for _ in range(rng.randint(0, 3))), types

    def _label(self) -> bytes:
        rng = self._rng
        if rng.random() < 0.4:
            return rng.choice(_WORDS)
        if rng.random() < 0.1:
            return rng.randbytes(rng.choice((1, 2, 10, 63)))
        return b"".join(rng.choice((b"q", b"Z", b"-", b"7")) for _ in range(rng.randint(1, 8)))

    @staticmethod
    def _fit(labels: Labels) -> Labels:
        """Remove leftmost labels until the name has at most 255 bytes."""
        while sum(len(label) + 1 for label in labels) > 254:
            labels = labels[1:]
        return labels

    def _random_case(self, labels: Labels) -> Labels:
        if self._rng.random() < 0.5:
            return labels
        return tuple(self._flip(label) for label in labels)

    def _flip(self, label: bytes) -> bytes:
        return bytes(
            byte ^ (0x20 if byte in _LETTERS and self._rng.random() < 0.5 else 0) for byte in label
        )

    def _rtype(self, types: list[int]) -> int:
        rng = self._rng
        kind = rng.random()
        if kind < 0.5:
            return rng.choice(types)
        if kind < 0.93:
            return rng.choice(_TYPES)
        return rng.choice(_ODD_TYPES if kind < 0.98 else _META_TYPES)

    def _rclass(self) -> int:
        """Return mostly IN, never CH, which BIND answers only three times a second."""
        return 1 if self._rng.random() < 0.985 else self._rng.choice((4, 254, 255, 2, 0, 65280))

    def _flags(self) -> int:
        rng = self._rng
        checking = (AD if rng.random() < 0.2 else 0) | (CD if rng.random() < 0.1 else 0)
        return checking | rng.choice((0, RD))

    def _edns(self) -> Edns | None:
        rng = self._rng
        if rng.random() < 0.35:
            return None
        size = rng.choice((0, 511, 512, 513, 900, 1232, 1232, 1232, 1400, 4096, 65535))
        flags = rng.choice((0, 0, 0, DO, DO, 0x0001, 0x4000))
        version = 0 if rng.random() < 0.98 else rng.choice((1, 100, 255))
        options = tuple(self._option() for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 2))))
        return Edns(size, flags, version, tuple(dict(options).items()))

    def _option(self) -> tuple[int, bytes]:
        rng = self._rng
        return rng.choice(
            (
                (NSID, b""),
                (COOKIE, rng.randbytes(8)),
                (KEEPALIVE, b""),
                (PADDING, bytes(rng.randint(0, 40))),
                (65001, rng.randbytes(rng.randint(0, 20))),
                (100, b""),
            )
        )
