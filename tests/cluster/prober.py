"""A prober queries a server for one name after the other and records each answer."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from itertools import count, cycle
from typing import Final

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from tests.cluster.invariants import Answer, Seen, Value
from tests.cluster.server import ZONE, ClusterServer

PAUSE: Final = 0.004
"""Seconds between two queries."""
PATIENCE: Final = 1.0
"""Timeout of a query, seconds; then it is repeated."""
TRIES: Final = 4
_STALE: Final = dns.edns.EDECode.STALE_ANSWER
_NOT_READY: Final = dns.edns.EDECode.NOT_READY


class Prober:
    """Queries one server while it runs."""

    def __init__(self, server: ClusterServer, names: Sequence[str]) -> None:
        self.server = server
        self.seen: list[Seen] = []
        self.names = names
        self._queries = {
            name: dns.message.make_query(f"{name}.{ZONE}", "A", use_edns=0).to_wire()
            for name in names
        }
        self._idents = count()

    async def run(self) -> None:
        """Query until cancelled."""
        names = cycle(self.names)
        while True:
            if self.server.dns is None:
                await asyncio.sleep(PAUSE)
                continue
            run, where = self.server.runs, self.server.dns
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.setblocking(False)
                asking.connect(where)
                while self.server.dns == where:
                    await self._ask(asking, run, next(names))
                    await asyncio.sleep(PAUSE)

    async def _ask(self, asking: socket.socket, run: int, name: str) -> None:
        loop = asyncio.get_running_loop()
        asked, where = loop.time(), self.server.dns
        reply = None
        for _ in range(TRIES):
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(PATIENCE):
                    reply = await self._once(asking, name)
                break
            if self.server.dns != where:
                # The server was stopped meanwhile.
                return
            await asyncio.sleep(PAUSE)
        kind, value, stale, detail = read(reply)
        self.seen.append(
            Seen(self.server.name, run, name, kind, value, stale, asked, loop.time(), detail)
        )

    async def _once(self, asking: socket.socket, name: str) -> dns.message.Message:
        loop = asyncio.get_running_loop()
        ident = (next(self._idents) & 0xFFFF).to_bytes(2, "big")
        await loop.sock_sendall(asking, ident + self._queries[name][2:])
        while True:
            wire = await loop.sock_recv(asking, 4096)
            # An answer to an earlier query may come late.
            if wire[:2] == ident:
                return dns.message.from_wire(wire)


def read(reply: dns.message.Message | None) -> tuple[Answer, Value, bool, str]:
    """Return kind, value, staleness and error text of an answer."""
    if reply is None:
        return Answer.WRONG, Value(), False, "no answer"
    codes = {option.code for option in reply.options if isinstance(option, dns.edns.EDEOption)}
    value = Value(
        rdata.to_text()
        for rrset in reply.answer
        if rrset.rdtype == dns.rdatatype.A
        for rdata in rrset
    )
    if reply.rcode() == dns.rcode.SERVFAIL and _NOT_READY in codes:
        return Answer.LOADING, value, False, ""
    if reply.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        return Answer.WRONG, value, False, dns.rcode.to_text(reply.rcode())
    return Answer.VALUE, value, _STALE in codes, ""
