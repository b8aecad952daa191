"""Sends questions over UDP and TCP, single or many at once."""

import asyncio
import socket
import struct
from collections.abc import Sequence

Address = tuple[str, int]

WINDOW = 64
"""Questions in flight to a server; fewer than a default socket buffer can hold."""
UDP_SECONDS = 1.0
TCP_SECONDS = 10.0
TRIES = 4
TCP_BATCH = 50
"""Questions pipelined on one TCP connection."""


def parse_address(text: str) -> Address:
    """Return ``127.0.0.1:53`` or ``[::1]:53`` as a socket address."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def udp(
    address: Address,
    query: bytes,
    *,
    timeout: float = UDP_SECONDS,
    tries: int = TRIES,
    source: str = "",
) -> bytes | None:
    """Ask over UDP, again after each timeout (seconds); return None without a reply."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as sock:
        if source:
            sock.bind((source, 0))
        sock.settimeout(timeout)
        sock.connect(address)
        for _ in range(tries):
            try:
                sock.send(query)
                return sock.recv(65535)
            except (TimeoutError, ConnectionRefusedError):
                continue
    return None


def tcp(address: Address, query: bytes, *, timeout: float = TCP_SECONDS) -> bytes | None:
    """Ask over a new TCP connection; return None if the server closes it or is silent."""
    try:
        with socket.create_connection(address, timeout=timeout) as sock:
            sock.sendall(frame(query))
            return receive(sock)
    except (TimeoutError, ConnectionError):
        return None


def frame(message: bytes) -> bytes:
    """Return a message preceded by its length (RFC 1035 section 4.2.2)."""
    return struct.pack("!H", len(message)) + message


def receive(sock: socket.socket) -> bytes | None:
    """Return a framed message from a connected socket, None at its end."""
    head = _exactly(sock, 2)
    return None if head is None else _exactly(sock, struct.unpack("!H", head)[0])


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            return None
        data += more
    return data


class _Flight(asyncio.DatagramProtocol):
    """The questions in flight on a UDP socket, by message id."""

    def __init__(self) -> None:
        self.waiting: dict[int, asyncio.Future[bytes]] = {}

    def datagram_received(self, data: bytes, _addr: object) -> None:
        future = self.waiting.pop(int.from_bytes(data[:2], "big"), None)
        if future is not None and not future.done():
            future.set_result(data)


async def udp_many(address: Address, queries: Sequence[bytes]) -> list[bytes | None]:
    """Ask all over a UDP socket, ``WINDOW`` at a time, with new message ids."""
    loop = asyncio.get_running_loop()
    replies: list[bytes | None] = [None] * len(queries)
    transport, flight = await loop.create_datagram_endpoint(_Flight, remote_addr=address)
    pending = iter(range(len(queries)))

    async def lane() -> None:
        for index in pending:
            ident = index & 0xFFFF
            query = struct.pack("!H", ident) + queries[index][2:]
            for _ in range(TRIES):
                future = flight.waiting[ident] = loop.create_future()
                transport.sendto(query)
                try:
                    async with asyncio.timeout(UDP_SECONDS):
                        replies[index] = await future
                    break
                except TimeoutError:
                    continue

    try:
        await asyncio.gather(*(lane() for _ in range(WINDOW)))
    finally:
        transport.close()
    return replies


async def tcp_many(address: Address, queries: Sequence[bytes]) -> list[bytes | None]:
    """Ask all over TCP, ``TCP_BATCH`` pipelined on each connection, matched by message id."""
    replies: list[bytes | None] = [None] * len(queries)
    for start in range(0, len(queries), TCP_BATCH):
        waiting = set(range(start, min(start + TCP_BATCH, len(queries))))
        for _ in range(TRIES):
            await _pipeline(address, queries, waiting, replies)
            if not waiting:
                break
    return replies


async def _pipeline(
    address: Address, queries: Sequence[bytes], waiting: set[int], replies: list[bytes | None]
) -> None:
    """Ask the waiting questions on a connection; remove the answered ones from ``waiting``."""
    try:
        async with asyncio.timeout(TCP_SECONDS):
            reader, writer = await asyncio.open_connection(*address)
            try:
                for index in sorted(waiting):
                    writer.write(frame(struct.pack("!H", index & 0xFFFF) + queries[index][2:]))
                by_id = {index & 0xFFFF: index for index in waiting}
                while waiting:
                    size = struct.unpack("!H", await reader.readexactly(2))[0]
                    message = await reader.readexactly(size)
                    index = by_id[struct.unpack("!H", message[:2])[0]]
                    replies[index] = message
                    waiting.discard(index)
            finally:
                writer.close()
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        return
