"""SipHash-2-4 (Aumasson and Bernstein 2012) in plain Python, and RFC 9018 cookies.

A second implementation to compare musterd's with. The hash is tested with its authors' vector, the
cookies with those of RFC 9018 appendix A.
"""

import ipaddress
import struct

_MASK = 0xFFFFFFFFFFFFFFFF


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


class _State:
    def __init__(self, key: bytes) -> None:
        first, second = struct.unpack("<QQ", key)
        self.v0 = first ^ 0x736F6D6570736575
        self.v1 = second ^ 0x646F72616E646F6D
        self.v2 = first ^ 0x6C7967656E657261
        self.v3 = second ^ 0x7465646279746573

    def rounds(self, count: int) -> None:
        for _ in range(count):
            self.v0 = (self.v0 + self.v1) & _MASK
            self.v1 = _rotate(self.v1, 13) ^ self.v0
            self.v0 = _rotate(self.v0, 32)
            self.v2 = (self.v2 + self.v3) & _MASK
            self.v3 = _rotate(self.v3, 16) ^ self.v2
            self.v0 = (self.v0 + self.v3) & _MASK
            self.v3 = _rotate(self.v3, 21) ^ self.v0
            self.v2 = (self.v2 + self.v1) & _MASK
            self.v1 = _rotate(self.v1, 17) ^ self.v2
            self.v2 = _rotate(self.v2, 32)


def siphash(key: bytes, message: bytes) -> bytes:
    """Return the 8 bytes of SipHash-2-4 with a key of 16 bytes."""
    state = _State(key)
    tail = len(message) & 7
    padded = message + bytes(7 - tail) + bytes([len(message) & 255])
    for (word,) in struct.iter_unpack("<Q", padded):
        state.v3 ^= word
        state.rounds(2)
        state.v0 ^= word
    state.v2 ^= 0xFF
    state.rounds(4)
    return struct.pack("<Q", state.v0 ^ state.v1 ^ state.v2 ^ state.v3)


def cookie(secret: bytes, client_cookie: bytes, client: str, time: int, reserved: int = 0) -> bytes:
    """Return client and server cookie at a time (s since 1970): RFC 9018 section 4."""
    head = client_cookie + b"\x01" + reserved.to_bytes(3, "big") + struct.pack("!I", time)
    return head + siphash(secret, head + ipaddress.ip_address(client).packed)
