"""The fast path and FastAPI accept and refuse the same requests, over a real connection."""

import asyncio
import gc
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest.mock import AsyncMock

import pytest

from musterd.api import fast_path
from musterd.server.api import ApiService
from tests.api.kit import ApiKit
from tests.servers import ServerFixture, connect, service

PATH = "/v1/records/lab.internal/web/A"
ONE = f"{PATH}/one"
BODY = b'{"data": "10.0.0.1"}'
TYPES = ("application/json", "application/json; charset=utf-8", "application/json;charset=latin-1",
         "Application/JSON", "application/merge-patch+json", "text/json", "")  # fmt: skip
TAGS = (1, 997, 998, 999, 1000, 1001, 3000)
BODIES = (
    b"", b"{}", b"[]", b"null", b"1", b"{", b"nonsense", b'{"data": 1}', b'{"data": null}',
    b'{"data": "10.0.0.1", "unknown": 1}', b'{"data": "10.0.0.1", "data": "10.0.0.2"}',
    b'{"data": "10.0.0.2", "data": "nonsense"}', b'{"data": "\\ud800"}', b'{"data": "\xff"}',
    b'{"data": "10.0.0.1", "ttl": 1.0}', b'{"data": "10.0.0.1", "ttl": "1"}',
    b'{"data": "10.0.0.1", "ttl": true}', b'{"data": "10.0.0.1", "ttl": -1}',
    b'{"data": "10.0.0.1", "ttl": NaN}', b'{"data": "10.0.0.1", "ttl": Infinity}',
    b'{"data": "10.0.0.1", "ttl": 2147483647}', b'{"data": "10.0.0.1", "ttl": 2147483648}',
    b'{"data": "10.0.0.1", "ttl": ' + b"9" * 5000 + b"}",
    b'{"data": "10.0.0.1", "weight": 65535}', b'{"data": "10.0.0.1", "weight": 65536}',
    b'{"data": "10.0.0.1", "policy": "one"}', b'{"data": "10.0.0.1", "policy": "some"}',
    b'{"data": "10.0.0.1", "policy": "one\\n"}', b'{"data": "10.0.0.1", "lease": "0"}',
    b'{"data": "10.0.0.1", "labels": {"a": "b"}}', b'{"data": "10.0.0.1", "labels": {"": "b"}}',
    b'{"data": "10.0.0.1", "labels": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    json.dumps({"data": "10.0.0.1", "description": "x" * 1000}).encode(),
    json.dumps({"data": "10.0.0.1", "description": "x" * 1001}).encode(),
    b"\xef\xbb\xbf" + BODY, BODY.decode().encode("utf-16"), BODY.decode().encode("utf-32"),
    b'{"data": "10.0.0.1;x"}', b'{"data": "10.0.0.1 x"}', b'{"data": "\\\\# 4 0a000001"}',
    b"  " + BODY + b"\n\n", BODY + b"x", BODY + b"\0",
)  # fmt: skip
PATHS = (
    ONE, f"{PATH}/o%6ee", f"{PATH}/one%0A", f"{PATH}/{'x' * 64}", f"{PATH}/{'x' * 65}",
    f"{PATH}/", f"{PATH}/a%2Fb", f"{PATH}/a%252Fb", f"{PATH}/%ff", f"{PATH}/%", f"{PATH}/%zz",
    f"{PATH}/%2E", f"{PATH}/..", f"{PATH}/a%20b", f"{PATH}/%C3%A4", f"{PATH}/one?x=1",
    f"{PATH}/one%3Fx", f"{PATH}/a+b", f"{PATH}/one/", f"{PATH}//one", "/v1/records//web/A/one",
    "/v1//records/lab.internal/web/A/one", "/v1/records/lab.internal/web/a/one",
    "/v1/records/lab.internal/web/TYPE65280/one", "/v1/records/lab.internal/web/NOTYPE/one",
    f"/v1/records/lab.internal/web/{'A' * 20}/one", f"/v1/records/lab.internal/web/{'A' * 21}/one",
    f"/v1/records/lab.internal/{'x.' * 549}xx/A/one",
    f"/v1/records/lab.internal/{'x.' * 550}x/A/one",
    "/v1/records/lab.internal/web.lab.internal/A/one", "/v1/records/lab.internal/@/CNAME/one",
    "/v1/records/lab.internal/w%2Fb/A/one", "/v1/records/lab.internal/w%5C047b/A/one",
    "/v1/records/lab.internal/%00/A/one", "/v1/records/lab.internal/%E3%80%82/A/one",
    "/v1/records/LAB.internal./web.lab.internal./A/one", "/v1/records/nope.test/web/A/one",
)  # fmt: skip


class FastPathCase(NamedTuple):
    """A request. pieces: the number of chunks of its body; 0 sends it with its length."""

    method: str = "PUT"
    path: str = ONE
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    body: bytes = BODY
    pieces: int = 0


def _cases() -> Iterator[FastPathCase]:
    json_type = ("Content-Type", "application/json")
    for method, path in (("PUT", ONE), ("POST", PATH)):
        for kind, pieces in itertools.product(TYPES, (0, 1, 2, 5)):
            yield FastPathCase(method, path, (("Content-Type", kind),), pieces=pieces)
        yield FastPathCase(method, path, ())
        yield FastPathCase(method, path, (json_type, json_type))
        yield FastPathCase(method, path, (json_type, ("Content-Type", "text/plain")))
        yield FastPathCase(method, path, (("Content-Type", "text/plain"), json_type))
        for body, pieces in itertools.product(BODIES, (0, 2)):
            yield FastPathCase(method, path, body=body, pieces=pieces)
    for name, size, kind in itertools.product(("If-Match", "If-None-Match"), TAGS, TYPES[:2]):
        tag = (name, '"' + "1" * size + '"')
        yield FastPathCase(headers=(("Content-Type", kind), tag))
        yield FastPathCase("DELETE", headers=(tag,), body=b"")
    for name in ("If-Match", "If-None-Match"):
        for value in ("", "*", " * ", '"1"', 'W/"1"', '"1", "2"', "1", '"\xe4"', "*, *", ","):
            yield FastPathCase(headers=(json_type, (name, value)))
            yield FastPathCase("DELETE", headers=((name, value),), body=b"")
            yield FastPathCase(headers=(json_type, (name, value), (name, '"7"')))
            yield FastPathCase(headers=(json_type, (name, '"7"'), (name, value)))
    for method, path in itertools.product(("PUT", "GET", "DELETE", "POST", "PATCH"), PATHS):
        yield FastPathCase(method, path, body=BODY if method in ("PUT", "POST") else b"")


CASES = tuple(_cases())


def _encode(case: FastPathCase, token: str) -> bytes:
    lines = [
        f"{case.method} {case.path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {token}",
        *(f"{name}: {value}" for name, value in case.headers),
    ]
    body = case.body
    if case.pieces:
        lines.append("Transfer-Encoding: chunked")
        step = max(1, -(-len(body) // case.pieces))
        chunks = [body[at : at + step] for at in range(0, len(body), step)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    elif body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body


class Reply(NamedTuple):
    """Return the response, without the values that differ between equal writes."""

    status: int
    body: Any


async def _ask(server: Any, case: FastPathCase, token: str) -> Reply:
    reader, writer = await connect(server)
    data = _encode(case, token)
    if case.pieces > 1:
        half = len(data) - 8
        writer.write(data[:half])
        await writer.drain()
        await asyncio.sleep(0.002)
        data = data[half:]
    writer.write(data)
    reply = await reader.read()
    writer.close()
    head, _, body = reply.partition(b"\r\n\r\n")
    found = json.loads(body) if body.startswith(b"{") else body.decode()
    if isinstance(found, dict):
        for name in ("revision", "created", "modified", "current"):
            found.pop(name, None)
        found["detail"] = re.sub(r'is "\d+"', "is", found.get("detail", ""))
    return Reply(int(head.split(b" ")[1]), found)


async def _replies(server: Any, token: str) -> list[Reply]:
    """Send every case, each after the same write."""
    found = []
    for case in CASES:
        await _ask(server, FastPathCase("DELETE", PATH, (), b""), token)
        await _ask(server, FastPathCase(), token)
        found.append(await _ask(server, case, token))
    return found


@pytest.mark.slow
async def test_fast_path_and_fastapi_agree(fixture: ServerFixture) -> None:
    taken = 0

    def counted(*request: Any) -> fast_path.Handler | None:
        nonlocal taken
        handler = fast_path.parse(*request)
        taken += handler is not None
        return handler

    async with fixture.serve() as server:
        async with fixture.client(server) as client:
            (await client.get("/status")).raise_for_status()
        gate = service(server, ApiService)._application
        assert gate is not None
        gate._parse = counted
        fast = await _replies(server, fixture.token)
        gate._parse = lambda *_: None
        general = await _replies(server, fixture.token)
    differing = [found for found in zip(CASES, fast, general, strict=True) if found[1] != found[2]]
    assert not differing, differing[:5]
    assert taken > len(CASES)
    assert {reply.status for reply in fast} >= {200, 201, 204, 400, 404, 405, 412, 422}


@pytest.mark.parametrize("kind", TYPES[:2])
async def test_if_match_is_limited_for_every_content_type(api: ApiKit, kind: str) -> None:
    headers = {"content-type": kind, "if-match": '"' + "1" * 3000 + '"'}
    await api.refused(422, "PUT", ONE[3:], content=BODY, headers=headers)


async def test_in_process_kit_takes_the_fast_path(api: ApiKit) -> None:
    app = api.gate._app = AsyncMock()
    await api.ok("PUT", ONE[3:], {"data": "10.0.0.1"})
    assert not app.called


@pytest.mark.parametrize(
    "case",
    [
        FastPathCase(),
        FastPathCase(body=b'{"data": "10.0.0.2"}'),
        FastPathCase("POST", PATH),
        FastPathCase("GET", ONE, (), b""),
    ],
    ids=["repeated", "changed", "added", "read"],
)
async def test_request_leaves_nothing_to_the_garbage_collector(
    fixture: ServerFixture, case: FastPathCase
) -> None:
    async with fixture.serve() as server:
        reader, writer = await connect(server)

        async def ask(case: FastPathCase) -> None:
            data = _encode(case, fixture.token)
            writer.write(data.replace(b"Connection: close\r\n", b""))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 20")
            await reader.readuntil(b"}\n")

        await ask(FastPathCase())
        await ask(case)
        gc.collect()
        gc.disable()
        try:
            for _ in range(50):
                await ask(FastPathCase())
                await ask(case)
            assert gc.collect() < 50
        finally:
            gc.enable()
            writer.close()
