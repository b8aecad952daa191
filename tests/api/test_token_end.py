"""Responses end with their token: revoked, expired, changed or deleted by another server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from musterd.api.abort import ABORT
from musterd.api.listing import LINES
from musterd.registry.tokens import TOKENS, Token, Tokens
from musterd.server.api import ApiService
from tests.api.kit import ApiKit
from tests.servers import ServerFixture, connect, service

pytestmark = pytest.mark.slow
End = Callable[[Tokens, Token], Awaitable[None]]


async def revoked(tokens: Tokens, token: Token) -> None:
    await tokens.revoke(token.id)


async def expired(tokens: Tokens, token: Token) -> None:
    tokens._clock = lambda: 1.0 + (token.expires or 0)
    tokens._wake()


async def deleted_elsewhere(tokens: Tokens, token: Token) -> None:
    await tokens._store.delete(TOKENS + token.digest.hex().encode())
    await tokens.load()


async def rewritten_elsewhere(tokens: Tokens, token: Token) -> None:
    key = TOKENS + token.digest.hex().encode()
    entry = await tokens._store.get(key)
    assert entry is not None
    await tokens._store.put(key, entry.value.replace(b'"read"', b'"write:*"'))
    await tokens.load()


ENDS = [revoked, expired, deleted_elsewhere, rewritten_elsewhere]


async def _new(server: Any, client: httpx.AsyncClient) -> tuple[Tokens, str, Token]:
    (await client.get("/status")).raise_for_status()
    context = service(server, ApiService).context
    assert context is not None
    text, token = await context.tokens.create("x", ["read"], context.clock() + 1000)
    return context.tokens, text, token


@pytest.mark.parametrize("end", ENDS)
async def test_idle_watch_ends_with_its_token(fixture: ServerFixture, end: End) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        tokens, text, token = await _new(server, client)
        async with (
            fixture.client(server, token=text) as other,
            other.stream("GET", "/watch") as response,
            client.stream("GET", "/watch") as kept,
        ):
            lines, others = response.aiter_lines(), kept.aiter_lines()
            assert (await anext(lines)).startswith(": from")
            await end(tokens, token)
            async with asyncio.timeout(5):
                assert len([line async for line in lines]) == 2
            assert (await other.get("/watch")).status_code in {401, 403}
            (await client.put("/records/lab.internal/web/A/x", json={"data": "10.0.0.1"}))
            async with asyncio.timeout(5):
                while not (await anext(others)).startswith("event: put"):
                    pass


async def test_watch_ends_at_expiry(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        (await client.get("/status")).raise_for_status()
        context = service(server, ApiService).context
        assert context is not None
        text, _ = await context.tokens.create("x", ["read"], context.clock() + 0.5)
        async with (
            fixture.client(server, token=text) as other,
            asyncio.timeout(5),
            other.stream("GET", "/watch") as response,
        ):
            assert (await response.aread()).startswith(b": from")


PATHS = ["/v1/records", "/v1/records/lab.internal", "/v1/zones/lab.internal/export"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("end", ENDS)
async def test_long_response_is_cut_with_its_token(api: ApiKit, path: str, end: End) -> None:
    for owner in range(250):
        await api.ok("PUT", f"/records/lab.internal/w{owner}/A/x", {"data": "10.0.0.1"})
    tokens = api.context.tokens
    text, token = await tokens.create("x", ["read"], api.context.clock() + 1000)
    sent: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = [{"type": "http.request", "body": b"", "more_body": False}]
    closed = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not waiting:
            await closed.wait()
            return {"type": "http.disconnect"}
        return waiting.pop()

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and len(sent) == 2:
            await end(tokens, token)

    headers = [(b"authorization", f"Bearer {text}".encode()), (b"accept", LINES.encode())]
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
        "query_string": b"" if "zones" in path else b"limit=1", "headers": headers,
        "http_version": "1.1", "scheme": "http", "root_path": "",
        "asgi": {"version": "3.0", "spec_version": "2.3"}, "extensions": {ABORT: closed.set},
    }  # fmt: skip
    async with asyncio.timeout(10):
        await api.gate(scope, receive, send)
    assert closed.is_set()
    assert [message.get("more_body") for message in sent] == [None, True]


async def test_connection_of_a_cut_response_is_closed(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        tokens, text, token = await _new(server, client)
        for owner in range(16):
            records = [{"data": f"10.0.{owner}.{n}", "description": "x" * 900} for n in range(250)]
            path = f"/records/lab.internal/w{owner}/A"
            (await client.put(path, json={"records": records})).raise_for_status()
        headers = {"accept": LINES}
        async with (
            fixture.client(server, token=text) as other,
            other.stream("GET", "/records", headers=headers) as response,
        ):
            found = response.aiter_raw(1000)
            await anext(found)
            await tokens.revoke(token.id)
            with pytest.raises(httpx.HTTPError):
                [piece async for piece in found]


async def test_token_that_ends_during_the_body_is_rejected(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        tokens, _, _ = await _new(server, client)
        text, token = await tokens.create("y", ["write:*"], None)
        reader, writer = await connect(server)
        head = f"PUT /v1/records/lab.internal/web/A/x HTTP/1.1\r\nAuthorization: Bearer {text}\r\n"
        body = b'{"data": "10.0.0.1"}'
        writer.write(f"{head}Host: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        writer.write(body[:5])
        await asyncio.sleep(0.1)
        await tokens.revoke(token.id)
        writer.write(body[5:])
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()
