"""``/v1/leases``: time for which records stay."""

from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from musterd.api import responses, schemas
from musterd.api.context import Call, CallDep
from musterd.api.params import LeasePath
from musterd.api.problems import documented
from musterd.registry.leases import Granted

router = APIRouter(prefix="/v1/leases", tags=["leases"])
_PROBLEMS: Final = documented(400, 401, 403, 404, 408, 409, 413, 422, 429, 503)


@router.post("", response_model=schemas.LeaseOut, status_code=201, responses=_PROBLEMS)
async def grant(call: CallDep, body: schemas.LeaseIn) -> Response:
    """Grant a lease, to this token alone."""
    call.writes_any()
    lease = await call.context.leases.grant(body.ttl, call.token.id)
    call.wrote("grant", f"lease {lease.id}")
    return responses.answer(_shown(lease), 201, {"Location": f"/v1/leases/{lease.id}"})


@router.get("/{id}", response_model=schemas.LeaseOut, responses=_PROBLEMS)
async def show(call: CallDep, id: LeasePath) -> Response:
    """A lease and the records that hang on it."""
    call.reads()
    return responses.answer(_shown(await call.context.leases.show(id)))


@router.delete("/{id}", status_code=204, response_class=Response, responses=_PROBLEMS)
async def revoke(call: CallDep, id: LeasePath) -> Response:
    """End a lease and remove the records that hang on it."""
    call.writes_any()
    revision = await call.context.leases.revoke(id, _owner(call))
    await call.context.registry.applied.reached(revision)
    call.wrote("revoke", f"lease {id}", revision)
    return responses.nothing()


@router.post("/{id}/keepalive", response_model=schemas.LeaseOut, responses=_PROBLEMS)
async def keepalive(call: CallDep, id: LeasePath) -> Response:
    """Give a lease its whole time again."""
    call.writes_any()
    return responses.answer(_shown(await call.context.leases.renew(id, _owner(call))))


def _owner(call: Call) -> str | None:
    return None if call.token.admin else call.token.id


def _shown(lease: Granted) -> dict[str, Any]:
    found = lease._asdict()
    if lease.keys is None:
        del found["keys"]
    return found
