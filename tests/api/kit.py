"""Shared helpers: the parts of the API in one process, called without a network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dns.message
import httpx

from musterd._core import Core
from musterd.api import fast_path
from musterd.api.app import application
from musterd.api.context import Context
from musterd.api.limits import Rate
from musterd.catalog import Catalog
from musterd.catalog.zone import deepest
from musterd.clock import LoopClock
from musterd.registry.applied import Applied
from musterd.registry.leases import LeaseService
from musterd.registry.registry import Registry
from musterd.registry.tokens import Tokens, new_text
from musterd.rr.names import name_from_text
from musterd.server.request_head import RequestHead
from musterd.server.source_runner import SourceRunner
from musterd.server.store import LIMITS
from musterd.settings import Settings
from musterd.sources.registry import RegistrySource
from musterd.store.embedded import EmbeddedOptions, EmbeddedStore
from tests.dnskit import ask

ZONE = "lab.internal"
ZONES = ({"name": ZONE}, {"name": "sub.lab.internal"}, {"name": "other.test", "ttl": 7})
LATER = 4e9
"""A time in the distant future, seconds since 1970."""


class ApiKit:
    """An API over a store, a catalog and a core of its own."""

    def __init__(self, context: Context, core: Core, store: EmbeddedStore, admin: str) -> None:
        self.context = context
        self.core = core
        self.store = store
        self.admin = admin
        self.fast = True
        """False if requests must not take the fast path."""
        self.rate_limit = 0
        self.rate = Rate(lambda: self.rate_limit, context.catalog._clock.monotonic)
        self.gate = application(context, self.rate, self._parse)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(RequestHead(self.gate)),
            base_url="http://musterd",
        )

    def _parse(
        self, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes
    ) -> fast_path.Handler | None:
        return fast_path.parse(method, path, headers, body) if self.fast else None

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send a request with the admin token, or another one ("" for none)."""
        bearer = self.admin if token is None else token
        given = {"authorization": f"Bearer {bearer}"} if bearer else {}
        url = f"/v1{path}"
        fields: list[tuple[str, str | bytes]] = [*{**given, **(headers or {})}.items()]
        encoded = [(k, v.encode("latin-1") if isinstance(v, str) else v) for k, v in fields]
        more: dict[str, Any] = {"headers": [(k.encode(), v) for k, v in encoded]}
        if content is not None:
            more["content"] = content
        elif body is not None:
            more["json"] = body
        return await self.client.request(method, url, **more)

    async def ok(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """Return the content of a successful response, or None if it has no content."""
        response = await self.call(method, path, body, **more)
        assert response.status_code in range(200, 300), response.text
        return response.json() if response.content else None

    async def refused(
        self, status: int, method: str, path: str, body: object = None, **more: Any
    ) -> dict[str, Any]:
        """Return the problem of a rejected request."""
        response = await self.call(method, path, body, **more)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = response.json()
        assert problem["status"] == status
        assert problem["detail"]
        return problem

    async def token(self, *scopes: str, name: str = "") -> str:
        """Create a token and return its text."""
        text, _ = await self.context.tokens.create(
            name or f"t{len(self.context.tokens)}", scopes, None
        )
        return text

    def answers(self, name: str, rtype: str = "A", *, client: str = "127.0.0.1") -> list[str]:
        """Return the sorted answers for a name (absolute, or in the first zone)."""
        full = name if name.endswith(".") else f"{name}.{ZONE}."
        reply = ask(self.core, full, rtype, client=client)
        return sorted(rdata.to_text() for rrset in reply.answer for rdata in rrset)

    def reply(self, name: str, rtype: str = "A") -> dns.message.Message:
        """Return the whole answer for an absolute name."""
        return ask(self.core, name, rtype)


def settings(zones: Sequence[Mapping[str, Any]] = ZONES, **more: Any) -> Settings:
    """Settings with the zones."""
    return Settings.model_validate({"zones": [dict(zone) for zone in zones], **more})


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    zones: Sequence[Mapping[str, Any]] = ZONES,
    *,
    options: EmbeddedOptions | None = None,
    other: Any = None,
) -> AsyncIterator[ApiKit]:
    """An API whose registry is in a folder, or in another store."""
    config, clock, core = settings(zones), LoopClock(), Core()
    catalog = Catalog(core, clock)
    await catalog.reconfigure(config)
    async with contextlib.AsyncExitStack() as stack:
        store: EmbeddedStore = other or await stack.enter_async_context(
            await EmbeddedStore.open(folder / "store.db", options or EmbeddedOptions(limits=LIMITS))
        )
        applied, tokens = Applied(), Tokens(store, clock.time)
        ttls = {name_from_text(str(zone["name"])): int(zone.get("ttl", 30)) for zone in zones}
        source = RegistrySource(store, applied, lambda name: deepest(ttls, name) or 0)
        feeding = asyncio.create_task(SourceRunner(source, catalog, None, lambda _: None).run())
        await applied.synced(10)
        admin = new_text()
        await tokens.load()
        await tokens.ensure_first(admin)
        context = Context(
            registry=Registry(store, applied, clock.time),
            servers=None, leases=LeaseService(store), tokens=tokens, catalog=catalog, core=core,
            settings=lambda: config.api, listening=lambda: ["127.0.0.1:53"],
            clock=clock.time, started=clock.time(), version="1",
        )  # fmt: skip
        api = ApiKit(context, core, store, admin)
        try:
            yield api
        finally:
            await api.client.aclose()
            feeding.cancel()
            await asyncio.wait([feeding])
