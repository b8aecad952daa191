"""Seeded messages, from valid queries to noise, that a parser must survive."""

import random
import struct
from collections.abc import Callable, Iterator

from tests.conformance.questions import Asker, Edns, Question

HEADER = 12
_OPT = Edns().wire()
_A_RECORD = b"\x01a\0\0\x01\0\x01\0\0\0\x1e\0\x04\x0a\0\0\x01"


class Messages:
    """Valid and mutated messages about the zones of ``asker``."""

    def __init__(self, asker: Asker, rng: random.Random) -> None:
        self._asker = asker
        self._rng = rng
        self._mutations: tuple[Callable[[bytearray], bytearray], ...] = (
            self._flip_bits,
            self._truncate,
            self._append,
            self._counts,
            self._pointer,
            self._label,
            self._header,
            self._records,
            self._options,
            self._splice,
        )

    def messages(self, count: int) -> Iterator[tuple[bytes, bool]]:
        """Yield (message, whether over TCP): a third valid, most of the rest mutated."""
        for question in self._asker.questions(count, tcp_share=0.2):
            yield bytes(self._message(question)), question.tcp

    def _message(self, question: Question) -> bytearray:
        rng = self._rng
        message = bytearray(question.wire(rng.randrange(65536)))
        kind = rng.random()
        if kind < 0.03:
            return bytearray(rng.randbytes(rng.choice((0, 1, 11, 12, 13, rng.randint(0, 600)))))
        if kind < 0.35:
            return message
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            message = rng.choice(self._mutations)(message)
        return message

    def _flip_bits(self, message: bytearray) -> bytearray:
        for _ in range(self._rng.choice((1, 1, 2, 5))):
            if message:
                message[self._rng.randrange(len(message))] ^= 1 << self._rng.randrange(8)
        return message

    def _truncate(self, message: bytearray) -> bytearray:
        return message[: self._rng.randint(0, len(message))]

    def _append(self, message: bytearray) -> bytearray:
        return message + self._rng.choice((b"\0", b"x" * 40, self._rng.randbytes(5), _A_RECORD))

    def _counts(self, message: bytearray) -> bytearray:
        if len(message) >= HEADER:
            at = 4 + 2 * self._rng.randrange(4)
            number = self._rng.choice((0, 1, 2, 3, 255, 0xFFFF))
            message[at : at + 2] = struct.pack("!H", number)
        return message

    def _pointer(self, message: bytearray) -> bytearray:
        """Replace a label by a pointer: to itself, forward, to the header, in a loop."""
        if len(message) <= HEADER:
            return message
        at = self._rng.choice(_label_starts(message))
        targets = (at, at + 2, at + 4, 0, 4, HEADER, HEADER + 1, 0x3FFF, len(message) - 1)
        to = self._rng.choice(targets)
        pointer = struct.pack("!H", 0xC000 | (to & 0x3FFF))
        if self._rng.random() < 0.5:
            return message[:at] + pointer + message[_question_end(message) - 4 :]
        message[at : at + 2] = pointer
        return message

    def _label(self, message: bytearray) -> bytearray:
        """Make a label length invalid: extended types, 64, beyond the message; or no terminator."""
        if len(message) <= HEADER:
            return message
        at = self._rng.choice(_label_starts(message))
        kind = self._rng.randrange(3)
        if kind == 0:
            message[at] = self._rng.choice((0x40, 0x41, 0x80, 0xBF, 63, 255))
            return message
        if kind == 1:
            labels = self._rng.choice((bytes([63]) + b"n" * 63, b"\x01z"))
            many = labels * self._rng.randint(1, 140)
            return message[:at] + many + message[at:]
        return message[:HEADER] + message[HEADER:].replace(b"\0", b"\x01", 1)

    def _header(self, message: bytearray) -> bytearray:
        if len(message) >= 4:
            message[2:4] = self._rng.randbytes(2)
            if self._rng.random() < 0.8:
                message[2] &= 0x7F
            if self._rng.random() < 0.6:
                message[2] &= 0x87
        return message

    def _records(self, message: bytearray) -> bytearray:
        """Append records, in any section, with right or wrong counts."""
        if len(message) < HEADER:
            return message
        records = [self._record() for _ in range(self._rng.choice((1, 1, 2, 5)))]
        section = 6 + 2 * self._rng.randrange(3)
        if self._rng.random() < 0.9:
            number = struct.unpack_from("!H", message, section)[0] + len(records)
            message[section : section + 2] = struct.pack("!H", number & 0xFFFF)
        if self._rng.random() < 0.5:
            return message + b"".join(records)
        end = _question_end(message)
        return message[:end] + b"".join(records) + message[end:]

    def _record(self) -> bytes:
        rng = self._rng
        owner = rng.choice((b"\0", b"\x01a\0", b"\xc0\x0c", b"\xc0\xff", b"\x03abc"))
        rtype = rng.choice((1, 2, 6, 16, 33, 41, 41, 250, 64, 65280))
        data = rng.choice((b"", b"\x0a\0\0\x01", b"\xc0\x0c", rng.randbytes(rng.randint(0, 30))))
        length = len(data) if rng.random() < 0.8 else rng.choice((0, 1, len(data) + 1, 0xFFFF))
        rclass = rng.choice((1, 1, 1232, 255, 254))
        ttl = rng.choice((0, 30, 0x8000, 0x10000, 0xFFFFFFFF))
        return owner + struct.pack("!HHIH", rtype, rclass, ttl, length) + data

    def _options(self, message: bytearray) -> bytearray:
        """Append an OPT with options of every length, well or badly framed."""
        rng = self._rng
        if len(message) < HEADER:
            return message
        data = b""
        for _ in range(rng.randint(1, 3)):
            text = rng.randbytes(rng.choice((0, 1, 4, 7, 8, 9, 15, 16, 24, 40, 41)))
            length = len(text) if rng.random() < 0.85 else rng.choice((0, 1, 0xFFFF))
            code = rng.choice((3, 8, 9, 10, 10, 11, 12, 15, 65001))
            data += struct.pack("!HH", code, length) + text
        opt = struct.pack("!BHHIH", 0, 41, 1232, rng.choice((0, 0x8000, 0x10000)), len(data)) + data
        message = message[: _question_end(message)] + opt
        message[6:12] = b"\0\0\0\0\0\x01"
        return message

    def _splice(self, message: bytearray) -> bytearray:
        """Copy a run of bytes to another position, or add a second question."""
        if self._rng.random() < 0.3 and len(message) > HEADER:
            end = _question_end(message)
            message[4:6] = b"\0\x02"
            return message[:end] + message[HEADER:end] + message[end:]
        first, last = sorted(self._rng.randint(0, len(message)) for _ in range(2))
        at = self._rng.randint(0, len(message))
        return message[:at] + message[first:last] + message[at:]


def _label_starts(message: bytearray) -> list[int]:
    """Return the offsets of the labels of the first question, as far as they are valid."""
    starts, at = [HEADER], HEADER
    while at < len(message) and 0 < message[at] < 64:
        at += message[at] + 1
        if at < len(message):
            starts.append(at)
    return starts


def _question_end(message: bytearray) -> int:
    starts = _label_starts(message)
    return min(starts[-1] + 5, len(message))
