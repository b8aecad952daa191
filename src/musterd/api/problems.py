"""Problem details of error responses (RFC 9457)."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.responses import Response

from musterd.errors import MusterdError
from musterd.kv import (
    Compacted,
    Conflict,
    LeaseNotFound,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreLimit,
)
from musterd.registry.errors import Clash, Invalid, Mismatch, NotRegistered, TooLarge
from musterd.registry.tokens import TEXT, TokenError, TokenExists, TokenNotFound

MEDIA: Final = "application/problem+json"
_URN: Final = "urn:musterd:problem:"
_LATER: Final = {"Retry-After": "1"}


class ProblemDetails(BaseModel):
    """Problem details (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="URI of the type of the problem", examples=[f"{_URN}mismatch"])
    title: str = Field(description="name of the type")
    status: int = Field(description="status code of the response")
    detail: str = Field(description="cause, location and remedy")


class ProblemResponse(Exception):  # noqa: N818 - the word of RFC 9457
    """An error response: raise it anywhere below the application.

    name: last part of the type URI; ``about:blank`` if it is empty.
    more: other members.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        name: str = "",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        """Create the problem."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.name = name
        self.headers = headers
        self.more = more

    def response(self) -> Response:
        """Return the HTTP response."""
        members = {
            "type": _URN + self.name if self.name else "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        # A token in the wrong place must not end up in a log of the client.
        body = TEXT.sub(b"mst_[hidden]", to_json(members)) + b"\n"
        return Response(body, self.status, self.headers, MEDIA)


def of_error(error: MusterdError) -> ProblemResponse:
    """Return the problem for an error."""
    for kind, make in _KINDS:
        if isinstance(error, kind):
            return make(error)
    return ProblemResponse(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal error: see the log of the server"
    )


def _kind(
    kind: type[MusterdError], status: int, name: str, headers: Mapping[str, str] | None = None
) -> tuple[type[MusterdError], Callable[[Any], ProblemResponse]]:
    return kind, lambda error: ProblemResponse(status, str(error), name, headers)


_KINDS: Final[tuple[tuple[type[MusterdError], Callable[[Any], ProblemResponse]], ...]] = (
    _kind(Invalid, 422, "invalid"),
    _kind(TooLarge, 422, "too-much"),
    _kind(NotRegistered, 404, "not-registered"),
    _kind(Clash, 409, "clash"),
    (Mismatch, lambda e: ProblemResponse(412, str(e), "mismatch", current=e.current)),
    _kind(TokenExists, 409, "token-exists"),
    _kind(TokenNotFound, 404, "no-such-token"),
    _kind(TokenError, 422, "invalid"),
    _kind(LeaseNotFound, 409, "lease-ended"),
    (Compacted, lambda e: ProblemResponse(410, str(e), "compacted", oldest=e.revision)),
    _kind(Conflict, 409, "conflict", _LATER),
    _kind(StoreLimit, 422, "too-much"),
    _kind(StoreBusy, 503, "busy", _LATER),
    _kind(StoreFull, 503, "store-full", {"Retry-After": "30"}),
    _kind(StoreError, 503, "store", {"Retry-After": "5"}),
)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that a route can respond with."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status in sorted(statuses)
    }
