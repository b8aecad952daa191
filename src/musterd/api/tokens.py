"""``/v1/tokens``: tokens and their scopes."""

from typing import Annotated, Any, Final

from fastapi import Path
from starlette.responses import Response

from musterd.api import responses, routing, schemas
from musterd.api.context import CallDep
from musterd.api.problems import documented
from musterd.registry import tokens

router = routing.router("tokens")
_PROBLEMS: Final = documented(400, 401, 403, 404, 408, 409, 413, 422, 429, 503)
_Id = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("", response_model=schemas.TokenListOut, responses=_PROBLEMS)
async def list_tokens(call: CallDep) -> Response:
    """List all tokens, without their texts."""
    call.admin()
    return responses.answer({"tokens": [_shown(token) for token in call.context.tokens.all()]})


@router.post("", response_model=schemas.NewTokenOut, status_code=201, responses=_PROBLEMS)
async def create_token(call: CallDep, body: schemas.TokenIn) -> Response:
    """Create a token. Its text is returned only now."""
    call.admin()
    text, token = await call.context.tokens.create(body.name, body.scopes, body.expires)
    call.wrote("create", f"credential {token.name}")
    return responses.answer({**_shown(token), "token": text}, 201, {"Cache-Control": "no-store"})


@router.delete("/{id}", status_code=204, response_class=Response, responses=_PROBLEMS)
async def revoke_token(call: CallDep, id: _Id) -> Response:
    """Revoke a token."""
    call.admin()
    token = await call.context.tokens.revoke(id)
    call.wrote("revoke", f"credential {token.name}")
    return responses.nothing()


def _shown(token: tokens.Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes,
        "created": token.created,
        "expires": token.expires,
    }
