"""The head of a request: Host, repeated headers, codings."""

import json

import pytest

from tests.test_http import GET, bodies, last, serving

CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


def request(*lines: str, version: str = "1.1", body: bytes = b"") -> bytes:
    """Create a request."""
    return "\r\n".join([f"POST / HTTP/{version}", *lines, "", ""]).encode("latin-1") + body


async def status(data: bytes) -> int:
    """Return the status of the response, and check that an error is a problem."""
    async with serving() as served:
        found = await served.ask(last(data))
        code = int(found.split(b" ")[1])
        if code >= 400:
            head, _, body = found.partition(b"\r\n\r\n")
            assert b"application/problem+json" in head
            assert json.loads(body)["status"] == code
            assert served.app.requests == 0
        # The server goes on.
        assert bodies(await served.ask(last(GET)))
        return code


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200), ("LOCALHOST:8053", 200), ("localhost.", 200), ("127.0.0.1", 200),
        ("127.0.0.1:1", 200), ("[::1]:8053", 200), ("10.1.2.3", 200), ("musterd.example", 200),
        ("Musterd.Example.:80", 200), ("evil.test", 421), ("evil.test:9353", 421), ("", 421),
        ("localhost.evil.test", 421), ("evil.localhost", 421), ("musterd.example.evil", 421),
        ("2130706433", 421), ("127.1", 421), ("localhost..", 421), ("a b", 400), ("[::1", 400),
        ("::1", 400), ("user@localhost", 400), ("localhost/", 400), ("localhost, evil.test", 400),
        ("[nonsense]", 400), ("[fe80::1%25lo]", 400), ("localhost:x", 400), ("\xe4.test", 421),
    ],
)  # fmt: skip
async def test_host_on_loopback(host: str, expected: int) -> None:
    assert await status(request(f"Host: {host}")) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], 400),
        (["Host: localhost", "Host: localhost"], 400),
        (["Host: localhost", "hOST: evil.test"], 400),
        (["Host: localhost", "Authorization: a", "Authorization: a"], 400),
        (["Host: localhost", "Authorization: a", "AUTHORIZATION: b"], 400),
        (["Host: localhost", "Content-Type: a/b", "Content-Type: a/b"], 400),
        (["Host: localhost", "Last-Event-ID: 1", "Last-Event-ID: 2"], 400),
        (["Host: localhost", "Accept: a/b", "Accept: a/b"], 200),
    ],
)
async def test_missing_and_repeated_headers(lines: list[str], expected: int) -> None:
    assert await status(request(*lines)) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://localhost/", 200), ("http://127.0.0.1:8053/a?b", 200), ("HTTP://LOCALHOST", 200),
        ("http://localhost?x=http://evil.test/", 200), ("http://[::1]:8053/", 200),
        ("http://evil.test/", 421), ("http://evil.test", 421), ("https://evil.test:1/a", 421),
        ("http://evil.test?localhost/", 421), ("http://localhost.evil.test/", 421),
        ("http://user@localhost/", 400), ("http://localhost@evil.test/", 400),
        ("//evil.test/", 200), ("/http://evil.test/", 200),
    ],
)  # fmt: skip
async def test_host_of_an_absolute_target_is_checked(target: str, expected: int) -> None:
    lines = f"POST {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert await status(lines.encode()) == expected
    if expected == 200:
        assert await status(lines.replace("Host: localhost", "Host: evil.test").encode()) == 421


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Expect: 100-continue"], 100), (["Expect: 100-CONTINUE"], 100), (["Expect:"], 200),
        (["Expect: foo"], 417), (["Expect: 100-continue, foo"], 417), (["expect: 100"], 417),
        (["Expect: 100-continue", "Expect: foo"], 417), (["Expect: 100-continue=1"], 417),
    ],
)  # fmt: skip
async def test_unknown_expectation_is_refused(lines: list[str], expected: int) -> None:
    assert await status(request("Host: localhost", *lines, "Content-Length: 0")) == expected


async def test_http_1_0_needs_no_host() -> None:
    assert await status(request(version="1.0")) == 200
    assert await status(request("Host: localhost", "Host: localhost", version="1.0")) == 400


async def test_lists_in_several_lines_are_joined() -> None:
    async with serving() as served:
        lines = ['If-Match: "1"', "Accept: a/b", 'If-Match: "2", "3"', 'if-match: W/"4"']
        ((_, _, headers),) = bodies(await served.ask(last(request("Host: localhost", *lines))))
        assert headers == [
            "host=localhost", 'if-match="1", "2", "3", W/"4"', "accept=a/b", "connection=close",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        ("chunked", 200), ("Chunked", 200), ("gzip, chunked", 501), ("deflate,chunked", 501),
        ("identity, chunked", 501), ("gzip\r\nTransfer-Encoding: chunked", 501),
    ],
)  # fmt: skip
async def test_transfer_encoding(coding: str, expected: int) -> None:
    data = request("Host: localhost", f"Transfer-Encoding: {coding}", body=CHUNKS)
    assert await status(data) == expected


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        ("", 200), ("identity", 200), ("IDENTITY", 200), ("gzip", 415), ("identity, gzip", 415),
        ("identity\r\nContent-Encoding: br", 415), ("x", 415),
    ],
)  # fmt: skip
async def test_content_encoding(coding: str, expected: int) -> None:
    data = request("Host: localhost", f"Content-Encoding: {coding}", "Content-Length: 3")
    assert await status(data + b"abc") == expected


async def test_supported_coding_is_named() -> None:
    async with serving() as served:
        data = request("Host: localhost", "Content-Encoding: gzip", "Content-Length: 3")
        head = (await served.ask(last(data) + b"abc")).lower()
        assert b"\r\naccept-encoding: identity\r\n" in head
