"""Reads keys of etcd's API v2, which those of v3 are apart from: HTTP and JSON.

A server gives a whole tree in one answer. etcd 3.4 still has this API where it was started with
``--enable-v2=true``; 3.6 has it no more.
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
"""Seconds without an octet until a server is given up."""
MAX_TREE_BYTES: Final = 2**29
"""The largest tree that is taken at once."""
_MAX_DEPTH: Final = 200
"""The most directories inside one another."""
_NOT_FOUND: Final = 404
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Node:
    """A key with a value. expires: whether etcd is to remove it if nobody renews it."""

    key: str
    value: str
    expires: bool


@dataclass(frozen=True, slots=True)
class V2Endpoint:
    """Where the API is: an ``http`` or ``https`` URL, and PEM files for the latter."""

    url: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def connection(self) -> HTTPConnection:
        """A new connection, not open yet. Raises UsageError, SourceError."""
        if "@" in self.url:
            raise UsageError("the URL of an etcd: expected none with a user or password (@)")
        parts = urlsplit(self.url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if parts.scheme not in {"http", "https"} or not host or parts.path.strip("/"):
            raise UsageError(f'"{self.url}" is no URL of an etcd: expected http://127.0.0.1:2379')
        if parts.scheme == "http":
            return HTTPConnection(host, port or 2379, timeout=TIMEOUT)
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise SourceError(f"the certificates can't be used: {error}") from error
        return HTTPSConnection(host, port or 2379, timeout=TIMEOUT, context=context)


def nodes(place: V2Endpoint, prefix: str) -> Iterator[Node]:
    """All keys below a prefix, in order. Raises UsageError, SourceError."""
    found = _tree(place, prefix)
    node = found.get("node")
    if not isinstance(node, dict):
        raise SourceError(f"{place.url}: gave no node: it is no API v2 of etcd")
    yield from _leaves(node, 0)


def _tree(place: V2Endpoint, prefix: str) -> dict[str, Any]:
    connection = place.connection()
    try:
        connection.request("GET", f"/v2/keys{quote(prefix)}?recursive=true&sorted=true")
        answer = connection.getresponse()
        body = answer.read(MAX_TREE_BYTES + 1)
    except (OSError, HTTPException) as error:
        raise SourceError(f"{place.url}: can't be read: {error}") from error
    finally:
        connection.close()
    if len(body) > MAX_TREE_BYTES:
        raise SourceError(
            f"{place.url}: {prefix} has more than {MAX_TREE_BYTES} octets: import it in parts, with "
            "--prefix"
        )
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if answer.status == _NOT_FOUND and isinstance(found, dict) and "errorCode" in found:
        raise SourceError(f"{place.url}: there is no key {prefix}: set --prefix")
    if answer.status != _OK or not isinstance(found, dict):
        raise SourceError(
            f"{place.url}: answered {answer.status} {answer.reason}: it has no API v2; etcd 3.4 "
            "has one with --enable-v2=true"
        )
    return found


def _leaves(node: dict[str, Any], depth: int) -> Iterator[Node]:
    if depth > _MAX_DEPTH:
        raise SourceError(f"{node.get('key')}: is below more than {_MAX_DEPTH} directories")
    if node.get("dir"):
        for one in node.get("nodes") or ():
            yield from _leaves(one, depth + 1)
    elif isinstance(node.get("key"), str) and isinstance(node.get("value"), str):
        yield Node(node["key"], node["value"], "expiration" in node)
