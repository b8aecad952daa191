"""``/v1/leases``: time limits of records."""

from typing import Any, Final

from starlette.responses import Response

from musterd.api import responses, routing, schemas
from musterd.api.context import Call, CallDep
from musterd.api.params import LeasePath
from musterd.api.problems import documented
from musterd.registry.leases import Granted

router = routing.router("leases")
_PROBLEMS: Final = documented(400, 401, 403, 404, 408, 409, 413, 422, 429, 503)


@router.post("", response_model=schemas.LeaseOut, status_code=201, responses=_PROBLEMS)
async def create_lease(call: CallDep, body: schemas.LeaseIn) -> Response:
    """Grant a lease, which only this token can use."""
    call.writes_any()
    lease = await call.context.leases.grant(body.ttl, call.token.id)
    call.wrote("grant", f"lease {lease.id}")
    return responses.answer(_shown(lease), 201, {"Location": f"/v1/leases/{lease.id}"})


@router.get("/{id}", response_model=schemas.LeaseOut, responses=_PROBLEMS)
async def get_lease(call: CallDep, id: LeasePath) -> Response:
    """Return a lease and the records attached to it."""
    call.reads()
    return responses.answer(_shown(await call.context.leases.show(id)))


@router.delete("/{id}", status_code=204, response_class=Response, responses=_PROBLEMS)
async def revoke_lease(call: CallDep, id: LeasePath) -> Response:
    """Revoke a lease and remove the records attached to it."""
    call.writes_any()
    revision = await call.context.leases.revoke(id, _owner(call))
    await call.context.registry.applied.reached(revision)
    call.wrote("revoke", f"lease {id}", revision)
    return responses.nothing()


@router.post("/{id}/keepalive", response_model=schemas.LeaseOut, responses=_PROBLEMS)
async def keep_lease_alive(call: CallDep, id: LeasePath) -> Response:
    """Renew a lease for its full TTL."""
    call.writes_any()
    return responses.answer(_shown(await call.context.leases.renew(id, _owner(call))))


def _owner(call: Call) -> str | None:
    return None if call.token.admin else call.token.id


def _shown(lease: Granted) -> dict[str, Any]:
    found = lease._asdict()
    if lease.keys is None:
        del found["keys"]
    return found
