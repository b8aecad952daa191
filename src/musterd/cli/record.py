"""``musterd record``: the records of the registry."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from musterd.cli.options import (
    OPTIONS,
    SERVER_OPTIONS,
    Flag,
    Labels,
    NameArg,
    TypeArg,
    labels_of,
    seconds_of,
    type_of,
)
from musterd.errors import MusterdError, UsageError

if TYPE_CHECKING:
    from musterd.client.api import ApiClient
    from musterd.client.values import ChangeInfo, RecordInfo, RecordInput

InZone = Annotated[
    str | None,
    Parameter(help="The zone that the name is in; default: the longest declared, for readers."),
]

app = App(name="record", help="Register records; show, list and delete them.")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class RecordDetails:
    """What all records of one call have in common; what is left out is for the zone to say."""

    ttl: int | None = None
    """Seconds."""
    weight: int | None = None
    """Of each record, for policies that choose by weight."""
    policy: str | None = None
    """Of this name: all, one, rotate, sticky or subset:K."""
    description: str | None = None
    """For people."""
    label: Labels = None

    def record(self, rtype: str, data: str, lease: str | None) -> "RecordInput":
        """A record with these details. Raises UsageError."""
        from musterd.client.rdata import typed

        record: RecordInput = {"data": typed(rtype, data)}
        if self.ttl is not None:
            record["ttl"] = self.ttl
        if self.weight is not None:
            record["weight"] = self.weight
        if self.policy is not None:
            record["policy"] = self.policy
        if self.description is not None:
            record["description"] = self.description
        if self.label:
            record["labels"] = labels_of(self.label)
        if lease is not None:
            record["lease"] = lease
        return record


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How records are written."""

    lease: str | None = None
    """Delete the records unless a new lease of this time, as 60s or 15m, is renewed."""
    add: Annotated[bool, Flag] = False
    """Add to what is there instead of replacing it."""
    if_revision: int | None = None
    """Only if the newest of the records still has this revision."""
    zone: InZone = None

    def check(self) -> None:
        """Raises UsageError where options don't go together."""
        if self.add and self.if_revision is not None:
            raise UsageError("--if-revision is of all records of a type: leave it out, or --add")
        self.seconds()

    def seconds(self) -> int | None:
        """The time of the lease, if there is to be one. Raises UsageError."""
        return None if self.lease is None else seconds_of("--lease", self.lease)


NO_DETAILS = RecordDetails()
REPLACING = WriteOptions()


@app.command(name="set")
def set_(
    name: NameArg,
    rtype: TypeArg,
    /,
    *data: Annotated[
        str,
        Parameter(help='Of each record: 10.0.0.1, "10 mail.muster.local."; "--" before a "-".'),
    ],
    details: RecordDetails = NO_DETAILS,
    way: WriteOptions = REPLACING,
    options: OutputOptions = OPTIONS,
) -> None:
    """Register records: they become all that the registry has of this name and type."""
    if not data:
        raise UsageError(f"{name}: has no data; musterd record delete {name} {rtype} deletes it")
    way.check()
    with options.client() as client:
        rrset = (*_place(client, name, way.zone), type_of(rtype))
        lease = _granted(client, rrset, way.seconds())
        written = _write(client, rrset, [details.record(rrset[2], one, lease) for one in data], way)
        if options.json:
            _lines(written)
            return
        print(f"{_titled(rrset)}: {'added' if way.add else 'set'} {', '.join(_data(written))}")
        if lease is not None:
            print(f"lease of {way.seconds()} s; before it ends: musterd lease renew {lease}")
        print(_question(client, rrset))


def _place(client: "ApiClient", name: str, zone: str | None) -> tuple[str, str]:
    """The zone and the owner of a name that is written to. Raises MusterdError."""
    from musterd.client.problems import ApiError

    try:
        return client.locate(name, zone)
    except ApiError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        # Who may only write can't look which zones there are.
        raise MusterdError(
            *error.problems, f"or say which zone {name} is in: --zone ZONE"
        ) from None


def _granted(client: "ApiClient", rrset: "RRsetPath", seconds: int | None) -> str | None:
    return None if seconds is None else client.grant(rrset[0], seconds)["id"]


def _write(
    client: "ApiClient", rrset: "RRsetPath", records: "list[RecordInput]", way: WriteOptions
) -> "list[RecordInfo]":
    """Write records; what fails takes the lease that was granted for it along."""
    try:
        if way.add:
            return [client.add(rrset, record) for record in records]
        return client.replace(rrset, records, way.if_revision)
    except MusterdError:
        if lease := records[0].get("lease"):
            with suppress(MusterdError):
                client.revoke_lease(lease)
        raise


def _question(client: "ApiClient", rrset: "RRsetPath") -> str:
    """The command that asks for what was set; without the address that the token can't see."""
    import shlex

    from musterd.client.endpoint import reachable
    from musterd.client.names import absolute
    from musterd.client.problems import ApiError

    zone, owner, rtype = rrset
    asked = f"{shlex.quote(absolute(owner, zone))} {rtype}"
    try:
        listeners = client.status()["listeners"]
    except ApiError:
        listeners = []
    if not listeners:
        return f"dig {asked}"
    host, port = reachable(client.place, listeners[0])
    return f"dig @{host} {'' if port == '53' else f'-p {port} '}{asked}"


@app.command
def show(
    name: NameArg, rtype: TypeArg | None = None, /, *, options: OutputOptions = OPTIONS
) -> int:
    """Show all that is registered of a name; exit with 1 if there is nothing."""
    asked = None if rtype is None else type_of(rtype)
    with options.client() as client:
        parts = client.locate(name)
        records = list(client.records(*parts, *([asked] if asked else [])))
    if options.json:
        _lines(records)
    elif records:
        _print_table(records, _ALL)
    else:
        raise MusterdError(
            f"{name}: nothing is registered{f' of type {asked}' if asked else ''}",
            f"musterd explain {name} shows what other sources give",
        )
    return 0 if records else 1


@app.command(name="list")
def list_(
    zone: Annotated[str | None, Parameter(help="Of this zone alone.")] = None,
    /,
    *,
    rtype: Annotated[str | None, Parameter(name="--type", help="Of this type alone.")] = None,
    label: Labels = None,
    registrant: Annotated[str | None, Parameter(help="Registered by this token alone.")] = None,
    options: OutputOptions = OPTIONS,
) -> None:
    """List registered records, as they come."""
    from musterd.client.names import zone_part

    query: dict[str, str | list[str] | None] = {"registrant": registrant}
    query["type"] = None if rtype is None else type_of(rtype)
    query["label"] = [f"{key}={value}" for key, value in labels_of(label).items()] or None
    with options.client() as client:
        records = client.records(*([] if zone is None else [zone_part(zone)]), **query)
        if options.json:
            _lines(records)
        else:
            _print_table(records, _MAIN)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class DeleteTarget:
    """Which record, in which state."""

    id: str | None = None
    """The record with this id alone, as record show prints it."""
    if_revision: int | None = None
    """Only if what is deleted still has this revision."""
    zone: InZone = None


ALL = DeleteTarget()


@app.command
def delete(
    name: NameArg,
    rtype: TypeArg,
    data: Annotated[str | None, Parameter(help="The record with this data alone.")] = None,
    /,
    *,
    which: DeleteTarget = ALL,
    reach: ServerOptions = SERVER_OPTIONS,
) -> None:
    """Delete one record, or all of a name and type: in one step, if the store can."""
    if data is not None and which.id is not None:
        raise UsageError("DATA and --id both name the record: leave one out")
    with reach.client() as client:
        rrset = (*_place(client, name, which.zone), type_of(rtype))
        if data is None:
            _delete(client, rrset, which)
            print(f"{_titled(rrset)}: deleted{f' {which.id}' if which.id else ''}")
            return
        record = _with_data(list(client.records(*rrset)), rrset, data)
        revision = record["revision"] if which.if_revision is None else which.if_revision
        client.delete(rrset, record["id"], revision)
        print(f"{_titled(rrset)}: deleted {', '.join(_data([record]))}")


def _delete(client: "ApiClient", rrset: "RRsetPath", which: DeleteTarget) -> None:
    """Delete one record, or all; one by one where these are too many for one step."""
    from musterd.client.problems import TOO_MUCH, ApiError

    try:
        client.delete(rrset, which.id or "", which.if_revision)
    except ApiError as error:
        # Nobody can say of many steps that nothing was changed before them.
        if error.members.get("type") != TOO_MUCH or which.if_revision is not None:
            raise
        for record in list(client.records(*rrset)):
            try:
                client.delete(rrset, record["id"])
            except ApiError as gone:
                # Its lease ended, or somebody else deleted it.
                if gone.status != HTTPStatus.NOT_FOUND:
                    raise


def _with_data(records: "list[RecordInfo]", rrset: "RRsetPath", data: str) -> "RecordInfo":
    """The record that has the data. Raises MusterdError saying which there are."""
    from musterd.client.rdata import same, typed

    for record in records:
        if same(rrset[2], record["data"], typed(rrset[2], data)):
            return record
    there = "; ".join(f"{record['data']} (--id {record['id']})" for record in records)
    raise MusterdError(f"{_titled(rrset)}: has no record {data}; it has {there or 'none'}")


@app.command
def history(
    name: NameArg,
    rtype: TypeArg | None = None,
    /,
    *,
    limit: Annotated[int, Parameter(help="The most changes to show.")] = 100,
    options: OutputOptions = OPTIONS,
) -> None:
    """Show who changed what of a name and when, the newest first."""
    from musterd.cli import output
    from musterd.client.text import moment

    with options.client() as client:
        zone, owner = client.locate(name)
        asked = None if rtype is None else type_of(rtype)
        changes = client.history(limit, zone=zone, owner=owner, type=asked)
        if options.json:
            output.as_lines(changes)
            return
        rows = (
            (moment(one["time"]), str(one["revision"]), one["who"], one["action"], *_changed(one))
            for one in changes
        )
        if not output.table(("time", "revision", "who", "action", "type", "data", "changed"), rows):
            print(f"{name}: no change of it is known", file=sys.stderr)


_KEPT = ("data", "ttl", "weight", "policy", "description", "labels", "lease")


def _changed(change: "ChangeInfo") -> tuple[str, str, str]:
    """Type, data, and what else is not as it was."""
    before, after = change["before"], change["record"]
    record = after or before
    if record is None:
        return "", "", ""
    changes = []
    if before and after:
        for key in _KEPT:
            was, now = _cell(before, key), _cell(after, key)
            if was != now:
                changes.append(f"{key} {was or 'none'} to {now or 'none'}")
    return record["type"], record["data"], ", ".join(changes)


def _data(records: "Iterable[RecordInfo]") -> Iterator[str]:
    from musterd.client.text import printable

    return (printable(record["data"]) for record in records)


def _titled(rrset: "RRsetPath") -> str:
    from musterd.client.names import absolute

    return f"{absolute(rrset[1], rrset[0])} {rrset[2]}"


def _lines(records: "Iterable[RecordInfo]") -> None:
    from musterd.cli import output

    output.as_lines(records)


_MAIN = ("name", "type", "data", "ttl", "weight", "policy", "registrant", "labels", "lease")
_ALL = ("type", "data", "ttl", "weight", "policy", "id", "registrant", "labels", "lease",
        "description", "revision", "modified")  # fmt: skip


def _print_table(records: "Iterable[RecordInfo]", columns: tuple[str, ...]) -> None:
    from musterd.cli import output

    output.table(columns, ([_cell(record, key) for key in columns] for record in records))


def _cell(record: "RecordInfo", key: str) -> str:
    from musterd.client.names import absolute
    from musterd.client.text import moment

    match key:
        case "name":
            return absolute(record["owner"], record["zone"])
        case "labels":
            return " ".join(f"{name}={value}" for name, value in record["labels"].items())
        case "modified":
            return moment(record["modified"])
        case _:
            value = record.get(key)
            return "" if value is None else str(value)
