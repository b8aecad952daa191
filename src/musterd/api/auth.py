"""Authentication and authorization of requests."""

from collections.abc import Mapping
from typing import Final

from musterd.api.problems import ProblemResponse
from musterd.registry.tokens import Token, Tokens

BEARER: Final = b"bearer "
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="musterd"'}


def authenticate(tokens: Tokens, headers: Mapping[bytes, bytes]) -> Token:
    """Return the token of a request. Raises ProblemResponse if it has no valid token."""
    if not tokens.ready:
        raise ProblemResponse(
            503,
            "the store can't be read yet, so tokens can't be checked: try again later",
            "store",
            {"Retry-After": "5"},
        )
    value = headers.get(b"authorization")
    if value is None:
        raise ProblemResponse(
            401, "missing token: send Authorization: Bearer TOKEN", "no-token", _CHALLENGE
        )
    token = None
    if value[: len(BEARER)].lower() == BEARER:
        token = tokens.check(value[len(BEARER) :].strip())
    if token is None:
        raise ProblemResponse(
            401,
            "the token is unknown, expired or revoked: use another",
            "bad-token",
            {"WWW-Authenticate": 'Bearer realm="musterd", error="invalid_token"'},
        )
    return token


def need(token: Token, scope: str, *, has: bool) -> None:
    """Raise ProblemResponse unless a token has a scope."""
    if not has:
        raise ProblemResponse(
            403, f"the token {token.name} lacks the scope {scope}", "no-scope", scope=scope
        )
