"""PROXY protocol version 2 headers (haproxy.org, proxy-protocol.txt, section 2.2)."""

import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0, 1
STREAM, DGRAM = 1, 2


def header(command: int, family: int, body: bytes, version: int = 2) -> bytes:
    """Return a header; ``family`` is address family and transport in one byte."""
    kind = struct.pack("!BBH", version << 4 | command, family, len(body))
    return SIGNATURE + kind + body


def proxied(client: str, transport: int = DGRAM, extra: bytes = b"") -> bytes:
    """Return a header on behalf of a client; ``extra`` are TLVs after the addresses."""
    source = ipaddress.ip_address(client)
    target = ipaddress.ip_address("192.0.2.53" if source.version == 4 else "2001:db8::53")
    family = (1 if source.version == 4 else 2) << 4 | transport
    body = source.packed + target.packed + struct.pack("!HH", 40000, 53) + extra
    return header(PROXY, family, body)


def local(extra: bytes = b"") -> bytes:
    """Return a header without a client, as for a health check."""
    return header(LOCAL, 0, extra)
