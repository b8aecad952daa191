"""HTTP connections: data in the wrong order, too slow, too large, or missing."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from musterd.log_once import ThrottledLog
from musterd.server.connection import HttpLimits
from musterd.server.http import HttpServer
from musterd.server.request_head import RequestHead
from tests.catalogkit import until

LIMITS = HttpLimits(max_connections=5, max_rejected=3)
HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
UNREAD = b"POST /unread HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000000\r\n\r\n"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """Answers with the method and the headers, after the body; at ``/unread`` before it."""

    def __init__(self) -> None:
        self.requests = 0
        self.go_on = asyncio.Event()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.requests += 1
        body = b""
        while scope["path"] != "/unread":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"] == "/wait":
            await self.go_on.wait()
        if scope["path"] == "/large":
            body = b"x" * 50_000_000
        headers = [f"{n.decode()}={v.decode('latin-1')}" for n, v in scope["headers"]]
        size = str(len(body)) if scope["path"] in {"/wait", "/large"} else None
        found = body if size else _dump(scope["method"], body, headers)
        length = (b"content-length", str(len(found)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": found})


def _dump(method: str, body: bytes, headers: list[str]) -> bytes:
    return json.dumps([method, body.decode(), headers]).encode() + b"\n"


class ServedHttp:
    """A server in this loop."""

    def __init__(self, http: HttpServer, app: Echo) -> None:
        self.http = http
        self.app = app

    async def connect(self) -> Connection:
        host, _, port = self.http.address.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def ask(self, data: bytes, *more: bytes) -> bytes:
        """Send pieces, and return all data until the server closes."""
        reader, writer = await self.connect()
        writer.write(data)
        for piece in more:
            await asyncio.sleep(0.02)
            writer.write(piece)
        async with asyncio.timeout(10):
            found = await reader.read()
        writer.close()
        return found

    @property
    def open(self) -> int:
        server = self.http._server
        return 0 if server is None else len(server.server_state.connections)


@asynccontextmanager
async def serving(limits: HttpLimits = LIMITS) -> AsyncIterator[ServedHttp]:
    app = Echo()
    http = HttpServer("127.0.0.1:0", "api", limits)
    running = asyncio.create_task(http.run(RequestHead(app, ["musterd.example."])))
    try:
        yield ServedHttp(http, app)
    finally:
        app.go_on.set()
        http.stop()
        await running


def last(data: bytes) -> bytes:
    """Return a request with ``Connection: close``."""
    return data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def bodies(data: bytes) -> list[Any]:
    """Return the JSON lists in responses."""
    return [json.loads(line) for line in data.splitlines() if line.startswith(b"[")]


async def test_head_is_answered_on_a_kept_alive_connection() -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        for _ in range(3):
            writer.write(GET.replace(b"GET", b"HEAD"))
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert (await reader.readuntil(b"]\n")).startswith(b'["GET"')
        writer.close()


async def test_pipelined_head_requests_are_answered_in_order() -> None:
    async with serving() as served:
        head = GET.replace(b"GET", b"HEAD")
        found = await served.ask(head + GET + head + last(GET))
        assert found.count(b"HTTP/1.1 200 ") == 4
        assert [method for method, _, _ in bodies(found)] == ["GET", "GET"]


@pytest.mark.parametrize("cut", [0, 1, 5, 10, 40])
async def test_trailers_are_no_headers(cut: int) -> None:
    body = b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\nIf-Match: *\r\nHost: a\r\n\r\n"
    async with serving() as served:
        data = last(CHUNKED)
        ((method, found, headers),) = bodies(await served.ask(data + body[:cut], body[cut:]))
        assert (method, found) == ("POST", "abc")
        names = [header.partition("=")[0] for header in headers]
        assert names == ["host", "transfer-encoding", "connection"]


async def test_trailers_do_not_reach_the_next_request() -> None:
    async with serving() as served:
        body = b"0\r\nAuthorization: Bearer x\r\n\r\n"
        found = bodies(await served.ask(CHUNKED + body + last(GET)))
        assert [(each[0], len(each[2])) for each in found] == [("POST", 2), ("GET", 2)]


async def test_endless_trailer_is_rejected() -> None:
    async with serving(replace(LIMITS, max_head=1000)) as served:
        field = b"X: " + b"x" * 300 + b"\r\n"
        found = await served.ask(CHUNKED + b"0\r\n", *[field] * 10)
        assert found.startswith(b"HTTP/1.1 431 ")
        assert b"application/problem+json" in found


async def test_connection_is_closed_after_unread_body() -> None:
    async with serving(replace(LIMITS, linger_seconds=0.2)) as served:
        reader, writer = await served.connect()
        writer.write(UNREAD)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"\r\nconnection: close\r\n" in head
        writer.write(b"x")
        assert (await reader.read()).startswith(b"[")
        await until(lambda: served.open == 0)
        writer.close()


async def test_client_that_goes_on_sending_reads_the_response() -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(UNREAD)
        for _ in range(50):
            writer.write(b"x" * 100_000)
            await writer.drain()
        found = await reader.read()
        assert found.startswith(b"HTTP/1.1 200 ")
        writer.close()
        await until(lambda: served.open == 0)


async def test_slow_body_is_rejected_if_the_application_waits_for_it() -> None:
    async with serving(replace(LIMITS, body_seconds=0.2)) as served:
        found = await served.ask(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n"), b"x")
        assert found.startswith(b"HTTP/1.1 408 ")
        assert json.loads(found.partition(b"\r\n\r\n")[2])["status"] == 408
        await until(lambda: served.open == 0)


@pytest.mark.parametrize("first", [b"", b"GET / HT"])
async def test_slow_head_is_rejected(first: bytes) -> None:
    async with serving(replace(LIMITS, head_seconds=0.1)) as served:
        assert (await served.ask(first)).startswith(b"HTTP/1.1 408 ")
        await until(lambda: served.open == 0)


async def test_malformed_request_waits_for_the_response_before_it() -> None:
    async with serving() as served:
        wait = GET.replace(b"/ ", b"/wait ")
        reader, writer = await served.connect()
        writer.write(wait + b"\x16\x03nonsense\r\n\r\n")
        await until(lambda: served.app.requests == 1)
        await asyncio.sleep(0.05)
        served.app.go_on.set()
        found = await reader.read()
        assert found.startswith(b"HTTP/1.1 200 ")
        assert found.count(b"HTTP/1.1") == 1
        writer.close()


async def test_malformed_body_is_rejected() -> None:
    async with serving() as served:
        found = await served.ask(CHUNKED + b"3\r\nab", b"cd\r\nzz\r\n")
        assert found.startswith(b"HTTP/1.1 400 ")
        await until(lambda: served.open == 0)


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"


async def test_upgrade_is_ignored() -> None:
    async with serving() as served:
        found = await served.ask(GET.replace(HOST, HOST + UPGRADE) + last(GET))
        assert [each[0] for each in bodies(found)] == ["GET", "GET"]


@pytest.mark.parametrize("length", [b"Content-Length: 3", b"Transfer-Encoding: chunked"])
async def test_upgrade_with_a_body_is_rejected(length: bytes) -> None:
    async with serving() as served:
        head = GET.replace(HOST, HOST + UPGRADE + length + b"\r\n")
        found = await served.ask(head + b"3\r\n" + last(GET))
        assert found.startswith(b"HTTP/1.1 400 ")
        assert b"without Upgrade" in found
        assert served.app.requests == 0


async def test_idlest_connection_makes_room() -> None:
    async with serving() as served:
        silent = [await served.connect() for _ in range(3)]
        kept = await served.connect()
        unread = await served.connect()
        kept[1].write(GET)
        await kept[0].readuntil(b"]\n")
        unread[1].write(UNREAD)
        await unread[0].readuntil(b"]\n")
        assert served.open == 5
        for reader, _ in [*silent, kept, unread]:
            assert bodies(await served.ask(last(GET)))
            other = await served.connect()
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            silent.append(other)
        for _, writer in [*silent, kept, unread]:
            writer.close()


async def test_busy_connections_are_not_dropped() -> None:
    async with serving() as served:
        busy = [await served.connect() for _ in range(5)]
        for _, writer in busy:
            writer.write(last(GET.replace(b"/ ", b"/wait ")))
        await until(lambda: served.app.requests == 5)
        assert (await served.ask(GET)).startswith(b"HTTP/1.1 503 ")
        excess = [await served.connect() for _ in range(5)]
        await until(lambda: served.open <= 8)
        served.app.go_on.set()
        for reader, writer in busy:
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
        for _, writer in excess:
            writer.close()


async def test_client_that_does_not_read_is_dropped() -> None:
    limits = replace(LIMITS, send_seconds=0.2)
    async with serving(limits) as served:
        _, writer = await served.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET.replace(b"/ ", b"/large "))
        await until(lambda: served.app.requests == 1)
        await until(lambda: served.open == 0)
        writer.close()


def test_reason_is_logged_once_a_minute() -> None:
    times = iter([0, 0, 1, 1, 2, 2, 59, 59, 60, 60, 61, 61])
    log = ThrottledLog("HTTP request rejected", lambda: next(times))
    with capture_logs() as logs:
        for _ in range(6):
            log.warning("a")
            log.warning("b")
    assert [(entry["reason"], entry["times"]) for entry in logs] == [
        ("a", 1), ("b", 1), ("a", 4), ("b", 4),
    ]  # fmt: skip


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nUpgrade: x\r\n", UNREAD])
async def test_clients_do_not_fill_the_log(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as logs:
        async with serving(replace(LIMITS, max_head=100)) as served:
            for _ in range(20):
                _, writer = await served.connect()
                writer.write(data + b"x" * 100)
                await writer.drain()
                writer.close()
                await asyncio.sleep(0.01)
    assert len(logs) <= 1
    assert not caplog.records
