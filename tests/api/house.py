"""A whole server with an API on the network, for the tests that need one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import httpx

from musterd.server.server import Server
from musterd.settings.watch import Watcher
from tests.catalogkit import until

TOML = """
[dns]
listen = ["127.0.0.1:0"]
workers = 1
[metrics]
listen = ""
[api]
listen = "127.0.0.1:0"
[state]
dir = "{state}"
[[zones]]
name = "muster.local"
"""


class House:
    """The directory of a server, and the server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "musterd.toml"
        self.state = folder / "state"
        self.text = TOML.format(state=self.state)
        self.settings.write_text(self.text)

    def set(self, *changes: tuple[str, str]) -> None:
        """Change the settings: what was there at first, and what is to be there instead."""
        text = self.text
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.settings.write_text(text)

    @property
    def token(self) -> str:
        """The first token, from its file."""
        return (self.state / "token").read_text().strip()

    @asynccontextmanager
    async def serve(self, environ: dict[str, str] | None = None) -> AsyncIterator[Server]:
        """Run a server; it answers in the block and has ended after it."""
        server = Server(Watcher(self.settings, environ or {}))
        task = asyncio.create_task(server.run())
        await until(lambda: task.done() or bool(server.state.listening))
        try:
            yield server
        finally:
            server.stop()
            await task

    def client(self, server: Server, *, token: str | None = None, **more: Any) -> httpx.AsyncClient:
        """A client of a server, with the first token or another."""
        headers = {"authorization": f"Bearer {token or self.token}"}
        scheme = "https" if "verify" in more else "http"
        base = f"{scheme}://{server.api_address}/v1"
        return httpx.AsyncClient(
            base_url=base, headers=headers, timeout=30, trust_env=False, **more
        )


async def connect(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the API of a server, which nothing was said on."""
    host, port = server.api_address.rsplit(":", 1)
    return await asyncio.open_connection(host, int(port))


async def answers(server: Server, name: str, rtype: str = "A") -> list[str]:
    """What is answered over the network for a name in muster.local, sorted."""
    host, port = server.state.listening[0].rsplit(":", 1)
    query = dns.message.make_query(f"{name}.muster.local", rtype)
    reply = await dns.asyncquery.udp(query, host, port=int(port), timeout=10)
    return sorted(rdata.to_text() for rrset in reply.answer for rdata in rrset)
