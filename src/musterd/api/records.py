"""``/v1/records``: registered records."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from musterd.api import responses, routing, schemas
from musterd.api.context import Call, CallDep, Target
from musterd.api.listing import LINES, FiltersQuery, listing, rrset_tag
from musterd.api.params import Id, IfMatch, IfNoneMatch, Owner, Type, ZoneName
from musterd.api.problems import documented
from musterd.kv import NO_LEASE
from musterd.registry import preconditions
from musterd.registry.errors import Invalid
from musterd.registry.keys import RecordKey, check_id
from musterd.registry.names import zone_text
from musterd.registry.record import RecordSpec, record_spec
from musterd.registry.registry import Written

router = routing.router("records")
RECORD: Final = "/{zone}/{owner}/{type}/{id}"
_RRSET: Final = "/{zone}/{owner}/{type}"
_READ: Final = documented(400, 401, 403, 404, 422, 429, 503)
_CONDITIONAL: Final = {**_READ, **documented(412), 304: {"description": "The client has it"}}
_WRITE: Final = documented(400, 401, 403, 404, 408, 409, 412, 413, 422, 429, 503)
_LISTED: Final = {
    **_READ,
    200: {"description": "A page, or all", "content": {LINES: {"schema": {"type": "string"}}}},
}
_TAG: Final = {"ETag": {"schema": {"type": "string"}, "description": "for If-Match"}}
_ONE: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "The record", "headers": _TAG}}
_CREATED: Final[dict[int | str, dict[str, Any]]] = {
    **_ONE,
    201: {
        "description": "The new record",
        "model": schemas.RecordOut,
        "headers": {**_TAG, "Location": {"schema": {"type": "string"}}},
    },
}


@router.get("", response_model=schemas.RecordListOut, responses=_LISTED)
async def list_records(call: CallDep, request: Request, filters: FiltersQuery) -> Response:
    """List all records, in pages or as a stream."""
    call.reads()
    return await listing(call.context.registry, request, (), filters)


@router.get("/{zone}", response_model=schemas.RecordListOut, responses=_LISTED)
async def list_zone_records(
    call: CallDep, request: Request, zone: ZoneName, filters: FiltersQuery
) -> Response:
    """List the records of a zone."""
    call.reads()
    parts = (zone_text(call.context.known(zone)),)
    return await listing(call.context.registry, request, parts, filters)


@router.get("/{zone}/{owner}", response_model=schemas.RecordListOut, responses=_LISTED)
async def list_owner_records(
    call: CallDep, request: Request, zone: ZoneName, owner: Owner, filters: FiltersQuery
) -> Response:
    """List the records of an owner name."""
    call.reads()
    target = call.target(zone, owner, "A")
    return await listing(call.context.registry, request, target.key[:2], filters, target.strays)


@router.get(_RRSET, response_model=schemas.RecordListOut, responses={**_CONDITIONAL, **_LISTED})
async def get_rrset(
    call: CallDep,
    request: Request,
    zone: ZoneName,
    owner: Owner,
    type: Type,
    filters: FiltersQuery,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """List the records of an owner name and a type."""
    call.reads()
    target = call.target(zone, owner, type)
    key = target.key
    strays = tuple(stray for stray in target.strays if stray.rtype == key.rtype)
    expected = preconditions.parse(if_match, if_none_match)
    return await listing(call.context.registry, request, key[:3], filters, strays, expected)


@router.put(_RRSET, response_model=schemas.RecordListOut, responses=_WRITE)
async def put_rrset(
    call: CallDep,
    zone: ZoneName,
    owner: Owner,
    type: Type,
    body: schemas.RRsetIn,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Replace all records of an owner name and a type in one transaction."""
    target = call.write_target(zone, owner, type)
    key = target.key
    wanted: dict[str, RecordSpec] = {}
    if body.records:
        call.check_place(target)
    for record in body.records:
        checked = await _draft(call, target, record)
        name = checked.id if record.id is None else check_id(record.id)
        if name in wanted:
            what = f"data {checked.data}" if record.id is None else f"id {name}"
            raise Invalid(f"two records have the {what}: remove one of them")
        wanted[name] = checked
    call.check_cut(target, wanted.values())
    expected = await call.adopted(target, preconditions.parse(if_match, if_none_match))
    done = await call.context.registry.put_rrset(key, wanted, call.token.name, expected)
    if done.changed:
        call.wrote("put", f"{key.path}* ({len(done.records)})", done.revision)
    found = {"records": done.records, "next": None, "revision": done.revision}
    return responses.answer(found, headers=rrset_tag(done.records))


@router.delete(_RRSET, status_code=204, response_class=Response, responses=_WRITE)
async def delete_rrset(
    call: CallDep,
    zone: ZoneName,
    owner: Owner,
    type: Type,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Remove all records of an owner name and a type."""
    target = call.delete_target(zone, owner, type)
    expected = await call.adopted(target, preconditions.parse(if_match, if_none_match))
    key = target.key
    done = await call.context.registry.delete_rrset(key, call.token.name, expected)
    call.wrote("delete", f"{key.path}* ({len(done.before.entries)})", done.revision)
    return responses.nothing()


@router.post(_RRSET, response_model=schemas.RecordOut, responses={**_WRITE, **_CREATED})
async def add_record(
    call: CallDep,
    zone: ZoneName,
    owner: Owner,
    type: Type,
    body: schemas.RecordIn,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Add a record whose id is a hash of its data, or change the record with the same data.

    The entity tags are those of the RRset.
    """
    target = call.write_target(zone, owner, type)
    checked = await _one(call, target, body)
    expected = preconditions.parse(if_match, if_none_match)
    key = target.key._replace(id=checked.id)
    if expected:
        expected = await call.adopted(target, expected)
    else:
        await call.adopted(target._replace(key=key), expected)
    done = await call.context.registry.put(key, checked, call.token.name, of_rrset=expected)
    return _written(call, key, done)


@router.get(RECORD, response_model=schemas.RecordOut, responses={**_CONDITIONAL, **_ONE})
async def get_record(
    call: CallDep,
    zone: ZoneName,
    owner: Owner,
    type: Type,
    id: Id,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return a record."""
    call.reads()
    target = call.target(zone, owner, type, check_id(id))
    key = target.key
    record = await call.context.registry.get(key, target.strays)
    expected = preconditions.parse(if_match, if_none_match)
    revision: int = record["revision"]
    if expected and expected.unchanged(key.path, (str(revision),)):
        return responses.not_modified(f'"{revision}"')
    return responses.record(record)


@router.put(RECORD, response_model=schemas.RecordOut, responses={**_WRITE, **_CREATED})
async def put_record(
    call: CallDep,
    zone: ZoneName,
    owner: Owner,
    type: Type,
    id: Id,
    body: schemas.RecordIn,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Create or replace a record."""
    target = call.write_target(zone, owner, type, check_id(id))
    checked = await _one(call, target, body)
    return await _put(call, target, checked, preconditions.parse(if_match, if_none_match))


@router.delete(RECORD, status_code=204, response_class=Response, responses=_WRITE)
async def delete_record(
    call: CallDep,
    zone: ZoneName,
    owner: Owner,
    type: Type,
    id: Id,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Remove a record."""
    target = call.delete_target(zone, owner, type, check_id(id))
    expected = await call.adopted(target, preconditions.parse(if_match, if_none_match))
    key = target.key
    revision = await call.context.registry.delete(key, call.token.name, expected)
    call.wrote("delete", key.path, revision)
    return responses.nothing()


async def _one(call: Call, target: Target, body: schemas.RecordIn) -> RecordSpec:
    """Check a record to register, and its place. Raises as ``_draft``, and ProblemResponse."""
    call.check_place(target)
    checked = await _draft(call, target, body)
    call.check_cut(target, (checked,))
    return checked


async def _draft(call: Call, target: Target, body: schemas.RecordIn) -> RecordSpec:
    """Check a record to register. Raises Invalid, LeaseNotFound, Clash."""
    lease, lease_ttl = NO_LEASE, None
    if body.lease is not None:
        owner = None if call.token.admin else call.token.id
        lease, lease_ttl = await call.context.leases.use(body.lease, owner)
    return record_spec(
        target.rtype,
        body.data,
        body.policy,
        target.key.zone,
        ttl=body.ttl,
        weight=body.weight,
        ptr=body.ptr,
        description=body.description,
        labels=body.labels,
        lease=lease,
        lease_ttl=lease_ttl,
    )


async def _put(
    call: Call, target: Target, wanted: RecordSpec, expected: preconditions.Preconditions
) -> Response:
    expected = await call.adopted(target, expected)
    done = await call.context.registry.put(target.key, wanted, call.token.name, expected)
    return _written(call, target.key, done)


def _written(call: Call, key: RecordKey, done: Written) -> Response:
    if done.changed:
        call.wrote("put", key.path, done.record["revision"])
    return responses.record(done.record, created=done.created)
