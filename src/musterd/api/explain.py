"""``/v1/explain``: reasons for the answer to a query."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any, Final

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from musterd.api import responses, routing, schemas
from musterd.api.context import CallDep, Context, CoreAnswers
from musterd.api.problems import ProblemResponse, documented
from musterd.catalog import Contribution
from musterd.catalog.resolve import resolve
from musterd.catalog.states import STATE_TEXT
from musterd.catalog.zone import Zone, deepest
from musterd.registry import rdata
from musterd.registry.names import MAX_TEXT, parse_name, within, zone_text
from musterd.rr.names import name_to_text
from musterd.rr.rrset import Policy, policy_of
from musterd.rr.types import ADDRESSED, CNAME

router = routing.router("explain")
_A: Final = 1
_MAX_TCP_MESSAGE: Final = 65_535
MAX_LEFT_OUT: Final = 20
MAX_MATCHING: Final = 20
_REMOTE: Final = "127.0.0.1"


class ExplainQuery(BaseModel):
    """A query and its client."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_TEXT, description="absolute name")
    type: str | None = Field(
        None, min_length=1, max_length=20, description="default: the only type at the name, or A"
    )
    client: str = Field(_REMOTE, max_length=64, description="address of the client")


@router.get(
    "",
    response_model=schemas.ExplanationOut,
    responses=documented(400, 401, 403, 404, 422, 429, 503),
)
async def explain(call: CallDep, wanted: Annotated[ExplainQuery, Query()]) -> Response:
    """Return the records of all sources at a name, what hides them, and the answer to a client."""
    call.reads()
    context = call.context
    name, client = _name(wanted.name), _client(wanted.client)
    zone = deepest(context.catalog.zones, name)
    if zone is None:
        raise context.no_zone(zone_text(name))
    matching = context.core.matching(name, MAX_MATCHING) or []
    owner = matching[0] if matching else _owner(zone, name)
    given = [
        entry for each in matching or [owner] for entry in context.catalog.explain(zone.apex, each)
    ]
    if wanted.type is None:
        types = {entry.rtype for entry in given}
        rtype = types.pop() if len(types) == 1 else _A
    else:
        rtype = _type(wanted.type)
        # An alias answers for every type.
        given = [entry for entry in given if entry.rtype in {rtype, CNAME}]
    answer = _answer(context.core, name, rtype, client)
    if owner != name and not matching and not answer["records"]:
        # The wildcard does not apply: there are names below this one.
        given = []
    found = {
        "name": name_to_text(name),
        "type": rdata.type_text(rtype),
        "client": client,
        "zone": zone_text(zone.apex),
        "state": STATE_TEXT[context.catalog.states.reported(zone.apex)[0]],
        "policy": _policy(zone, owner, rtype),
        "matching": [name_to_text(each) for each in matching],
        "records": [record for entry in given for record in _records(entry)],
        "left_out": list(islice(_left_out(context, zone, name, given), MAX_LEFT_OUT)),
        "answer": answer,
    }
    return responses.answer(found)


def _owner(zone: Zone, name: bytes) -> bytes:
    """Return the owner name that answers for a name: itself or a matching wildcard."""
    above = name
    while above not in zone.names and above != zone.apex:
        above = above[1 + above[0] :]
        if b"\1*" + above in zone.names:
            return b"\1*" + above
    return name


def _name(text: str) -> bytes:
    try:
        return parse_name(text)
    except ValueError as error:
        raise ProblemResponse(422, str(error), "invalid") from None


def _type(text: str) -> int:
    """Return the number of a type, including SOA, which can't be registered."""
    return dns.rdatatype.SOA if text.upper() == "SOA" else rdata.parse_type(text)


def _client(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        raise ProblemResponse(
            422,
            f'client: "{text}" is not an IP address: expected, for example, 10.0.0.1',
            "invalid",
        ) from None


def _policy(zone: Zone, owner: bytes, rtype: int) -> str:
    packed = resolve(zone, owner).get(rtype)
    if packed is None or rtype not in ADDRESSED:
        return zone.settings.policy
    return str(Policy(*policy_of(packed)))


def _records(given: Contribution) -> Iterator[dict[str, Any]]:
    for weight, wire in given.rrset.records:
        yield {
            "source": given.source,
            "key": given.key,
            "revision": given.revision,
            "time": given.time,
            "type": rdata.type_text(given.rtype),
            "ttl": given.rrset.ttl or 0,
            "data": rdata.shown(given.rtype, wire),
            "weight": weight,
            "hidden": given.hidden,
            "refused": given.refused,
        }


def _left_out(
    context: Context, zone: Zone, name: bytes, given: Sequence[Contribution]
) -> Iterator[dict[str, str]]:
    """Yield what the sources of a zone have left out at a name.

    Where nothing is known at the name, also what may be of any name: the lines of zone files.
    """
    for rows in zone.sources.values():
        table = context.catalog.tables.get(rows.name)
        for problem in () if table is None else table.problems.last:
            # A name of an etcd source has the records of the names below it.
            below = name != zone.apex and within(problem.owner, name)
            if problem.owner == name or below or not (problem.owner or given):
                yield {"source": rows.name, "where": problem.where, "reason": problem.reason}


def _answer(core: CoreAnswers, name: bytes, rtype: int, client: str) -> dict[str, Any]:
    """Return the answer of the core to a client, over TCP to avoid truncation; it is not counted.

    authority: of a referral, or of a negative answer.
    """
    owner, _ = dns.name.from_wire(name, 0)
    query = dns.message.make_query(
        owner,
        dns.rdatatype.RdataType.make(rtype),
        flags=dns.flags.RD,
        use_edns=0,
        payload=_MAX_TCP_MESSAGE,
    )
    reply = core.probe(query.to_wire(), client)
    if reply is None:
        return {"rcode": "NONE", "records": [], "referral": False, "authority": []}
    answer = dns.message.from_wire(reply)
    delegated = any(rrset.rdtype == dns.rdatatype.NS for rrset in answer.authority)
    return {
        "rcode": dns.rcode.to_text(answer.rcode()),
        "records": _lines(answer.answer),
        "referral": delegated and not answer.answer,
        "authority": _lines(answer.authority),
    }


def _lines(section: Iterable[dns.rrset.RRset]) -> list[str]:
    return [line for rrset in section for line in rrset.to_text().split("\n")]
