"""Who asks: the token of a request, and what it may do."""

from collections.abc import Mapping
from typing import Final

from musterd.api.problems import ProblemResponse
from musterd.registry.tokens import Token, Tokens

BEARER: Final = b"bearer "
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="musterd"'}


def authenticate(tokens: Tokens, headers: Mapping[bytes, bytes]) -> Token:
    """The token of a request. Raises ProblemResponse where it has none that is good."""
    if not tokens.ready:
        raise ProblemResponse(
            503,
            "the store can't be read yet, so nobody's token is known: try again later",
            "store",
            {"Retry-After": "5"},
        )
    value = headers.get(b"authorization")
    if value is None:
        raise ProblemResponse(
            401, "a token is needed: send it as Authorization: Bearer TOKEN", "no-token", _CHALLENGE
        )
    token = None
    if value[: len(BEARER)].lower() == BEARER:
        token = tokens.check(value[len(BEARER) :].strip().decode("latin-1"))
    if token is None:
        raise ProblemResponse(
            401,
            "the token is not known, or has ended, or was revoked: use another",
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
