"""What can go wrong between client and server, each with its remedy."""

import json
import socket
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException, RemoteDisconnected
from typing import Any, Final

from musterd.client.endpoint import Endpoint
from musterd.client.text import printable
from musterd.errors import MusterdError

DETAIL: Final = 2000
"""The most characters of a server's words that are shown."""
TOO_MUCH: Final = "urn:musterd:problem:too-much"
"""The type of a problem: more than the server does in one step."""
ELSEWHERE: Final = "--server URL or MUSTERD_SERVER names another server"

_NONE: Final[Mapping[str, Any]] = {}


class ApiError(MusterdError):
    """The API refused a request. status: of HTTP; members: what its problem details have."""

    def __init__(self, status: int, *problems: str, members: Mapping[str, Any] = _NONE) -> None:
        """Keep the status, the problems, and the members."""
        super().__init__(*problems)
        self.status = status
        self.members = members


def refused(
    place: Endpoint, scope: str, status: int, headers: Mapping[str, str], body: bytes
) -> ApiError:
    """What an answer that is no success means. scope: what the request needs of its token."""
    problem = _problem(headers, body)
    if not problem:
        return ApiError(status, *_foreign(place, status, headers))
    said = str(problem.get("detail") or problem.get("title") or "no reason is given")
    remedy = _remedy(place, str(problem.get("scope") or scope), status, headers)
    told = [printable(said[:DETAIL]), *([printable(remedy)] if remedy else [])]
    return ApiError(status, *told, members=problem)


def _remedy(place: Endpoint, scope: str, status: int, headers: Mapping[str, str]) -> str:
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return _unauthorized(place)
        case HTTPStatus.FORBIDDEN:
            return _forbidden(place, scope)
        case HTTPStatus.PRECONDITION_FAILED:
            return "musterd record show NAME shows what is there now"
        case HTTPStatus.TOO_MANY_REQUESTS:
            return _later(headers)
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return "musterd status shows how the server is; if that can't, its /readyz does"
        case _:
            return ""


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The members of problem details (RFC 9457); none if the answer has no such."""
    if headers.get("content-type", "").partition(";")[0].strip() != "application/problem+json":
        return {}
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _foreign(place: Endpoint, status: int, headers: Mapping[str, str]) -> list[str]:
    """An answer that can't be of the API: of something before it, or elsewhere."""
    phrase = HTTPStatus(status).phrase if status in list(HTTPStatus) else ""
    text = f"{place.url}: answers {status} {phrase}".rstrip()
    if goal := headers.get("location"):
        text += f", see {printable(goal[:DETAIL])}"
    return [f"{text}; is this the API of musterd? {ELSEWHERE}"]


def _unauthorized(place: Endpoint) -> str:
    if place.token is None:
        return (
            "pass a token: --token-file FILE, MUSTERD_TOKEN_FILE, or token_file in "
            f"{place.file}; the server wrote its first one to [state] dir/token"
        )
    return (
        f"the token is from {place.token.origin}; another: --token-file FILE, "
        "MUSTERD_TOKEN_FILE; musterd token create NAME --scope SCOPE makes one"
    )


def _forbidden(place: Endpoint, scope: str) -> str:
    origin = f"the token is from {place.token.origin}; " if place.token else ""
    return f"{origin}musterd token create NAME --scope {scope} makes one that has it"


def _later(headers: Mapping[str, str]) -> str:
    wait = headers.get("retry-after", "")
    return f"try again in {wait} s" if wait.isdigit() else "try again later"


def unreachable(place: Endpoint, error: Exception) -> MusterdError:
    """What a failure of the connection means."""
    what, remedy = _tls(place, error) if isinstance(error, ssl.SSLError) else _failure(place, error)
    return MusterdError(f"{place.url}: {what}; {remedy}")


def _tls(place: Endpoint, error: ssl.SSLError) -> tuple[str, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"its certificate is not trusted: {error.verify_message}"
        return said, f'set ca = "FILE" in {place.file}, or SSL_CERT_FILE'
    return f"speaks no TLS: {error.reason or error}", "does it want http:// ?"


def _failure(place: Endpoint, error: Exception) -> tuple[str, str]:
    match error:
        case ConnectionRefusedError():
            return "connection refused", f"is musterd serve running, with [api] listen? {ELSEWHERE}"
        case socket.gaierror():
            return f"the name {place.host} has no address", ELSEWHERE
        case TimeoutError():
            return "no answer in time", ELSEWHERE
        case RemoteDisconnected() | ConnectionResetError() | BrokenPipeError():
            other = "https" if place.scheme == "http" else "http"
            return "closed the connection without an answer", f"does it want {other}:// ?"
        case HTTPException():
            return f"speaks no HTTP: {printable(repr(error)[:DETAIL])}", ELSEWHERE
        case _:
            return getattr(error, "strerror", None) or str(error), ELSEWHERE
