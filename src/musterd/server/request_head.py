"""Rules of HTTP for the head of a request (RFC 9110, 9112), for all applications."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

from musterd.api.problems import ProblemResponse
from musterd.display import excerpt

Fields = dict[bytes, bytes]
"""Headers by name. Lists in several lines are joined."""
Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]],
    Awaitable[None],
]

_NOTHING: Final[Mapping[str, Any]] = {}
_SINGLE: Final = frozenset(
    {b"authorization", b"content-length", b"content-type", b"host", b"last-event-id"}
)
"""Headers that are no lists."""
TARGET_HOST: Final = "musterd.target_host"
"""Key in the extensions of a scope: the host and port of an absolute request target."""
_HOST: Final = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/?#@\[\]\\]*))(?::[0-9]{0,5})?")


class RequestHead:
    """Rejects requests with an invalid or unsupported head, and joins lists in their headers."""

    def __init__(self, application: Application, hosts: Iterable[str] = ()) -> None:
        """Wrap an application. hosts: its names, absolute, as in the settings."""
        self._application = application
        self._hosts = {"localhost", *(host.rstrip(".").lower() for host in hosts)}
        self._kind_of_host = lru_cache(maxsize=256)(self._find_kind_of_host)

    def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> Awaitable[None]:
        """Answer one request. Not a coroutine itself, which would cost as much as the checks."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except ProblemResponse as problem:
                return problem.response()(scope, receive, send)
        return self._application(scope, receive, send)

    def _check(self, scope: MutableMapping[str, Any]) -> None:
        lines: list[tuple[bytes, bytes]] = scope["headers"]
        fields = dict(lines)
        if len(fields) != len(lines):
            fields = _joined(lines)
            scope["headers"] = list(fields.items())
        host = fields.get(b"host")
        if host is not None:
            kind = self._kind_of_host(host)
            if kind != "own":
                _check_host(scope, host, kind)
            target = scope.get("extensions", _NOTHING).get(TARGET_HOST)
            if target is not None and (kind := self._kind_of_host(target)) != "own":
                _check_host(scope, target, kind)
        elif scope["http_version"] != "1.0":
            raise ProblemResponse(400, "the header Host is missing")
        if b"transfer-encoding" in fields or b"content-encoding" in fields:
            _check_codings(fields)
        if b"expect" in fields:
            _check_expectations(fields[b"expect"])

    def _find_kind_of_host(self, host: bytes) -> str:
        """Return ``own``, ``foreign`` or ``invalid``."""
        found = _HOST.fullmatch(host)
        if found is None:
            return "invalid"
        if found[1] is not None:
            return "own" if _is_address(found[1].decode("ascii")) else "invalid"
        name = found[2].decode("latin-1").lower().removesuffix(".")
        return "own" if name in self._hosts or _is_address(name) else "foreign"


def _check_host(scope: MutableMapping[str, Any], host: bytes, kind: str) -> None:
    """Raise ProblemResponse for a name that is not ours on loopback.

    A web page elsewhere can let its name point to loopback (DNS rebinding), so that a browser
    on this host sends us requests, and gives the page the responses. With TLS, the browser
    rejects our certificate.
    """
    if kind == "invalid":
        raise ProblemResponse(400, f'the host "{_text(host)}" of the request is invalid')
    server = scope.get("server")
    if server and scope["scheme"] == "http" and _is_loopback(server[0]):
        raise ProblemResponse(
            421,
            f'"{_text(host)}" is not a name of this server: use its address or localhost, or'
            " add the name to hosts in [api] or [metrics]",
        )


def _check_codings(fields: Fields) -> None:
    coding = fields.get(b"transfer-encoding")
    if coding is not None and coding.strip().lower() != b"chunked":
        raise ProblemResponse(501, f"Transfer-Encoding: {_text(coding)} is not supported")
    coding = fields.get(b"content-encoding")
    if coding is not None and coding.strip().lower() not in {b"", b"identity"}:
        raise ProblemResponse(
            415,
            f"Content-Encoding: {_text(coding)} is not supported: send the body as it is",
            headers={"Accept-Encoding": "identity"},
        )


def _check_expectations(value: bytes) -> None:
    for member in value.lower().split(b","):
        if member.strip() not in {b"", b"100-continue"}:
            raise ProblemResponse(
                417, f"Expect: {_text(value)} is not supported: only 100-continue is"
            )


def _joined(lines: list[tuple[bytes, bytes]]) -> Fields:
    fields: Fields = {}
    for name, value in lines:
        if name not in fields:
            fields[name] = value
        elif name in _SINGLE:
            raise ProblemResponse(400, f"the header {_text(name)} is repeated")
        else:
            fields[name] += b", " + value
    return fields


def _text(value: bytes) -> str:
    return excerpt(value.decode("latin-1"))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=64)
def _is_loopback(address: str) -> bool:
    return _is_address(address) and ip_address(address).is_loopback
