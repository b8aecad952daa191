"""Reads the keys of etcd's API v2 (HTTP and JSON), which API v3 doesn't show.

A server returns a whole tree in one reply. etcd 3.4 has this API if it is started with
``--enable-v2=true``; etcd 3.6 no longer has it.
"""

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from musterd.errors import SourceError, UsageError

TIMEOUT: Final = 60.0
"""Seconds without a byte after which a request fails."""
MAX_TREE_BYTES: Final = 2**29
"""Maximum bytes of a tree."""
_MAX_DEPTH: Final = 200
"""Maximum depth of nested directories."""
_NOT_FOUND: Final = 404
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Node:
    """A key with a value. expires: True if it has a TTL."""

    key: str
    value: str
    expires: bool


@dataclass(frozen=True, slots=True)
class V2Endpoint:
    """An ``http`` or ``https`` URL of the API, with PEM files for the latter."""

    url: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def connection(self) -> HTTPConnection:
        """Return a new, unopened connection. Raises UsageError, SourceError."""
        if "@" in self.url:
            raise UsageError("the URL of an etcd must not hold a user or password (@)")
        parts = urlsplit(self.url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if parts.scheme not in {"http", "https"} or not host or parts.path.strip("/"):
            raise UsageError(
                f'"{self.url}" is not the URL of an etcd: expected for example http://127.0.0.1:2379'
            )
        if parts.scheme == "http":
            return HTTPConnection(host, port or 2379, timeout=TIMEOUT)
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise SourceError(f"invalid certificate files: {error}") from error
        return HTTPSConnection(host, port or 2379, timeout=TIMEOUT, context=context)


def nodes(endpoint: V2Endpoint, prefix: str) -> Iterator[Node]:
    """Return all keys below a prefix, in order. Raises UsageError, SourceError."""
    found = _tree(endpoint, prefix)
    node = found.get("node")
    if not isinstance(node, dict):
        raise SourceError(f'{endpoint.url}: response has no "node"; not an etcd v2 API')
    yield from _leaves(node, 0)


def _tree(endpoint: V2Endpoint, prefix: str) -> dict[str, Any]:
    connection = endpoint.connection()
    try:
        connection.request("GET", f"/v2/keys{quote(prefix)}?recursive=true&sorted=true")
        answer = connection.getresponse()
        body = answer.read(MAX_TREE_BYTES + 1)
    except (OSError, HTTPException) as error:
        raise SourceError(f"{endpoint.url}: can't be read: {error}") from error
    finally:
        connection.close()
    if len(body) > MAX_TREE_BYTES:
        raise SourceError(
            f"{endpoint.url}: {prefix} has more than {MAX_TREE_BYTES} bytes: import it in parts"
            " with --prefix"
        )
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if answer.status == _NOT_FOUND and isinstance(found, dict) and "errorCode" in found:
        raise SourceError(f"{endpoint.url}: no key {prefix}: set --prefix")
    if answer.status != _OK or not isinstance(found, dict):
        raise SourceError(
            f"{endpoint.url}: answered {answer.status} {answer.reason}: no API v2; etcd 3.4 "
            "has one with --enable-v2=true"
        )
    return found


def _leaves(node: dict[str, Any], depth: int) -> Iterator[Node]:
    if depth > _MAX_DEPTH:
        raise SourceError(f"{node.get('key')}: more than {_MAX_DEPTH} nested directories")
    if node.get("dir"):
        for child in node.get("nodes") or ():
            yield from _leaves(child, depth + 1)
    elif isinstance(node.get("key"), str) and isinstance(node.get("value"), str):
        yield Node(node["key"], node["value"], "expiration" in node)
