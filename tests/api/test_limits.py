"""Limits of bodies, pages, rates and connections."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from musterd.api import limits
from musterd.api.body import Bodies
from musterd.api.problems import ProblemResponse
from tests.api.kit import ApiKit
from tests.servers import ServerFixture, connect

ONE = "/records/lab.internal/web/A/one"
SIZE = 1_048_576


async def pieces(size: int) -> AsyncIterator[bytes]:
    """A body of unknown length."""
    for _ in range(size // 1024):
        yield b" " * 1024


async def test_large_body_is_rejected(api: ApiKit) -> None:
    json = {"content-type": "application/json"}
    body = b'{"data": "10.0.0.1"}'
    exact = body + b" " * (SIZE - len(body))
    await api.ok("PUT", ONE, content=exact, headers=json)
    problem = await api.refused(413, "PUT", ONE, content=exact + b" ", headers=json)
    assert "[api] max_body" in problem["detail"]
    await api.refused(413, "GET", ONE, content=exact + b" ")


@pytest.mark.slow
async def test_large_chunked_body_is_rejected(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        response = await client.put(ONE, content=pieces(SIZE + 1024))
        assert response.status_code == 413
        response = await client.put(ONE, content=pieces(SIZE // 2))
        assert response.status_code == 422
        response = await client.post("/zones/lab.internal/import", content=pieces(3 * SIZE))
        assert response.status_code == 200


@pytest.mark.slow
async def test_token_is_checked_before_body_is_read(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        headers = {"authorization": "Bearer x"}
        response = await client.put(ONE, content=pieces(3 * SIZE), headers=headers)
        assert response.status_code == 401


async def test_total_body_memory_is_bounded() -> None:
    bodies = Bodies(limits.ApiLimits(bodies=100))
    bodies.hold(100)
    with pytest.raises(ProblemResponse):
        bodies.hold(1)
    bodies.release(100)
    bodies.hold(1)


@pytest.mark.slow
async def test_slow_body_times_out(fixture: ServerFixture) -> None:
    fixture.limits = replace(fixture.limits, body_seconds=0.1)
    async with fixture.serve() as server, fixture.client(server) as client:
        (await client.get("/status")).raise_for_status()
        reader, writer = await connect(server)
        head = (
            f"PUT /v1{ONE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {fixture.token}\r\n"
        )
        writer.write(f"{head}Content-Length: 10\r\n\r\n123".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()


@pytest.mark.slow
async def test_client_expecting_100_continue(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        (await client.get("/status")).raise_for_status()
        reader, writer = await connect(server)
        head = (
            f"PUT /v1{ONE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {fixture.token}\r\n"
        )
        more = (
            "Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"
        )
        writer.write((head + more).encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 100 ")
        await reader.readline()
        writer.write(b'{"data": "10.0.0.1"}')
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
        writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("slow", [True, False])
async def test_endless_head_is_rejected(fixture: ServerFixture, *, slow: bool) -> None:
    if slow:
        fixture.limits = replace(fixture.limits, head_seconds=0.1)
    async with fixture.serve() as server, fixture.client(server) as client:
        (await client.get("/status")).raise_for_status()
        reader, writer = await connect(server)
        writer.write(b"GET /v1/status HTTP/1.1\r\n")
        while not slow and not reader.at_eof() and not writer.is_closing():
            writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
            await asyncio.sleep(0)
            if reader._buffer:  # type: ignore[attr-defined]
                break
        status = b"408" if slow else b"431"
        assert (await reader.readline()).startswith(b"HTTP/1.1 " + status)
        writer.close()


@pytest.mark.slow
async def test_invalid_http_is_rejected(fixture: ServerFixture) -> None:
    async with fixture.serve() as server, fixture.client(server) as client:
        (await client.get("/status")).raise_for_status()
        reader, writer = await connect(server)
        writer.write(b"\x16\x03\x01\x02\x00 nonsense\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        assert (await client.get("/status")).status_code == 200


async def test_rate_limit_is_per_token(api: ApiKit) -> None:
    now = 0.0
    api.rate._clock = lambda: now
    api.rate_limit = 2
    other = await api.token("read")
    for token in (None, other):
        await api.ok("GET", "/zones", token=token)
        await api.ok("GET", "/zones", token=token)
        response = await api.call("GET", "/zones", token=token)
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    now = 0.5
    await api.ok("GET", "/zones")
    await api.refused(429, "GET", "/zones")
    now = 100
    await api.ok("GET", "/zones")
    await api.ok("GET", "/zones")
    await api.refused(429, "GET", "/zones")
    api.rate_limit = 0
    await api.ok("GET", "/zones")


def test_rate_table_is_bounded() -> None:
    rate = limits.Rate(lambda: 1, lambda: 0.0)
    for number in range(2 * limits.MAX_BUCKETS):
        rate.take(str(number))
    assert len(rate._buckets) <= limits.MAX_BUCKETS


async def test_unknown_method_is_rejected(api: ApiKit) -> None:
    response = await api.call("PATCH", ONE, {"data": "10.0.0.1"})
    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["allow"] == "DELETE, GET, PUT"
    await api.refused(404, "GET", "/nothing")
    await api.refused(404, "GET", "/records/")
    await api.refused(404, "GET", "/records/lab.internal/web/A/one/two")


async def test_store_failure_is_reported(api: ApiKit) -> None:
    await api.ok("PUT", ONE, {"data": "10.0.0.1"})
    await api.store.close()
    response = await api.call("PUT", ONE, {"data": "10.0.0.2"})
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert api.answers("web") == ["10.0.0.1"]


async def test_internal_error_hides_details(api: ApiKit, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(api.context.catalog, "zone_report", fail)
    problem = await api.refused(500, "GET", "/zones")
    assert "secret" not in str(problem)
    monkeypatch.setattr(api.context.registry, "get", fail)
    problem = await api.refused(500, "GET", ONE)
    assert "secret" not in str(problem)
