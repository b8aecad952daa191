"""Errors between client and server, each with its remedy."""

import json
import re
import socket
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException, RemoteDisconnected
from typing import Any, Final

from musterd.client.endpoint import Endpoint
from musterd.display import printable
from musterd.errors import MusterdError

MAX_DETAIL: Final = 2000
"""Maximum characters of a server's text that are shown."""
TOO_MUCH: Final = "urn:musterd:problem:too-much"
"""Problem type: the request exceeds what one transaction may do."""
ELSEWHERE: Final = "--server URL or MUSTERD_SERVER names another server"

MAX_FAULTS: Final = 20
"""Maximum faults of a request that are shown."""
_RECORD: Final = re.compile(r"records\.[0-9]+\.")
_OPTIONS: Final = {
    "client": "--client", "description": "--description", "expires": "--expires",
    "label": "--label", "labels": "--label", "limit": "--limit", "policy": "--policy",
    "registrant": "--registrant", "scopes": "--scope", "ttl": "--ttl", "weight": "--weight",
}  # fmt: skip
"""Fields of requests by the options that set them."""
_NONE: Final[Mapping[str, Any]] = {}


class ApiError(MusterdError):
    """The API rejected a request. status: HTTP status; members: its problem details (RFC 9457)."""

    def __init__(self, status: int, *problems: str, members: Mapping[str, Any] = _NONE) -> None:
        """Create an error from a reply."""
        super().__init__(*problems)
        self.status = status
        self.members = members


def rejection(
    endpoint: Endpoint, scope: str, status: int, headers: Mapping[str, str], body: bytes
) -> ApiError:
    """Return the error of an unsuccessful reply. scope: the scope that the request needs."""
    problem = _problem(headers, body)
    if not problem:
        return ApiError(status, *_foreign(endpoint, status, headers))
    details = _faults(problem) or [
        str(problem.get("detail") or problem.get("title") or "no reason given")
    ]
    remedy = _remedy(endpoint, str(problem.get("scope") or scope), status, headers)
    lines = [printable(line[:MAX_DETAIL]) for line in (*details, *([remedy] if remedy else []))]
    return ApiError(status, *lines, members=problem)


def _faults(problem: Mapping[str, Any]) -> list[str]:
    """Return the faults in the fields of a request, named by the options that set them."""
    faults = problem.get("errors")
    if not isinstance(faults, list):
        return []
    found = [fault for fault in faults[:MAX_FAULTS] if isinstance(fault, dict)]
    # Options apply to all records of a request, so all records have the same faults.
    return list(dict.fromkeys(f"{_option(str(f.get('where')))}: {f.get('problem')}" for f in found))


def _option(where: str) -> str:
    """Return the option that sets a field, given for example as ``records.0.labels.a``."""
    field = _RECORD.sub("", where)
    name, _, key = field.partition(".")
    option = _OPTIONS.get(name)
    if option is None:
        return field
    return f"{option} {key}" if name == "labels" and key else option


def _remedy(endpoint: Endpoint, scope: str, status: int, headers: Mapping[str, str]) -> str:
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return _unauthorized(endpoint)
        case HTTPStatus.FORBIDDEN:
            return _forbidden(endpoint, scope)
        case HTTPStatus.PRECONDITION_FAILED:
            return "musterd record show NAME shows the current records"
        case HTTPStatus.TOO_MANY_REQUESTS:
            return _later(headers)
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return "check the server: musterd status, or its /readyz"
        case _:
            return ""


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the members of problem details (RFC 9457), empty if the reply has none."""
    if headers.get("content-type", "").partition(";")[0].strip() != "application/problem+json":
        return {}
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _foreign(endpoint: Endpoint, status: int, headers: Mapping[str, str]) -> list[str]:
    """Describe a reply that is not from the API, for example from a proxy."""
    phrase = HTTPStatus(status).phrase if status in list(HTTPStatus) else ""
    text = f"{endpoint.url}: answered {status} {phrase}".rstrip()
    if location := headers.get("location"):
        text += f", redirects to {printable(location[:MAX_DETAIL])}"
    return [f"{text}; is this the API of musterd? {ELSEWHERE}"]


def _unauthorized(endpoint: Endpoint) -> str:
    if endpoint.token is None:
        return (
            "pass a token: --token-file FILE, MUSTERD_TOKEN_FILE, or token_file in "
            f"{endpoint.file}; the server wrote its first token to [state] dir/token"
        )
    return (
        f"the token is from {endpoint.token.origin}; to pass another: --token-file FILE or "
        "MUSTERD_TOKEN_FILE; to create one: musterd token create NAME --scope SCOPE"
    )


def _forbidden(endpoint: Endpoint, scope: str) -> str:
    origin = f"the token is from {endpoint.token.origin}; " if endpoint.token else ""
    return f"{origin}to create one with this scope: musterd token create NAME --scope {scope}"


def _later(headers: Mapping[str, str]) -> str:
    wait = headers.get("retry-after", "")
    return f"try again in {wait} s" if wait.isdigit() else "try again later"


def unreachable(endpoint: Endpoint, error: Exception) -> MusterdError:
    """Return the error of a failed connection."""
    describe = _tls if isinstance(error, ssl.SSLError) else _failure
    problem, remedy = describe(endpoint, error)
    return MusterdError(f"{endpoint.url}: {problem}; {remedy}")


def _tls(endpoint: Endpoint, error: Exception) -> tuple[str, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = f"the certificate is not trusted: {error.verify_message}"
        return problem, f'set ca = "FILE" in {endpoint.file}, or SSL_CERT_FILE'
    reason = getattr(error, "reason", None) or error
    return f"TLS failed: {reason}", "is it http:// ?"


def _failure(endpoint: Endpoint, error: Exception) -> tuple[str, str]:
    match error:
        case ConnectionRefusedError():
            return "connection refused", f"is musterd serve running with [api] listen? {ELSEWHERE}"
        case socket.gaierror():
            return f"host {endpoint.host} not found", ELSEWHERE
        case TimeoutError():
            return "timed out", ELSEWHERE
        case RemoteDisconnected() | ConnectionResetError() | BrokenPipeError():
            other = "https" if endpoint.scheme == "http" else "http"
            return "closed the connection without a reply", f"is it {other}:// ?"
        case HTTPException():
            return f"not an HTTP reply: {printable(repr(error)[:MAX_DETAIL])}", ELSEWHERE
        case _:
            return getattr(error, "strerror", None) or str(error), ELSEWHERE
