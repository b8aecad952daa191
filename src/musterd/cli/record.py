"""``musterd record``: the records of the registry."""

from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from musterd.cli.options import (
    OPTIONS,
    SEVERAL_FIELDS,
    Flag,
    Labels,
    NameArg,
    OutputOptions,
    TypeArg,
    labels_of,
    seconds_of,
    type_of,
)
from musterd.cli.record_output import (
    ALL,
    MAIN,
    data_of,
    print_changes,
    print_deleted,
    print_lines,
    print_table,
    title,
)
from musterd.errors import MusterdError, UsageError

if TYPE_CHECKING:
    from musterd.client.api import ApiClient, RRsetPath
    from musterd.client.values import RecordInfo, RecordInput

InZone = Annotated[
    str | None,
    Parameter(help="The zone of the name; default: the most specific declared zone."),
]

app = App(name="record", help="Register records; show, list and delete them.")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class RecordDetails:
    """Fields that all records of a call share; the zone sets the default of each."""

    ttl: str | None = None
    """TTL in seconds, or for example 5m."""
    weight: int | None = None
    """Weight of each record, for policies that choose by weight."""
    policy: str | None = None
    """Policy of this name: all, one, rotate, sticky or subset:K."""
    ptr: bool | None = None
    """Create PTR records from its addresses; default: as set for the source, or the zone."""
    description: str | None = None
    """A note for people."""
    label: Labels = None

    def record(self, data: str) -> "RecordInput":
        """Return a record with these details. Raises UsageError."""
        record: RecordInput = {"data": data}
        if self.ttl is not None:
            record["ttl"] = seconds_of("--ttl", self.ttl)
        if self.weight is not None:
            record["weight"] = self.weight
        if self.policy is not None:
            record["policy"] = self.policy
        if self.ptr is not None:
            record["ptr"] = self.ptr
        if self.description is not None:
            record["description"] = self.description
        if self.label:
            record["labels"] = labels_of(self.label)
        return record


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options for writing records."""

    lease: str | None = None
    """Attach a new lease of this time, for example 60s or 15m; the records expire with it."""
    add: Annotated[bool, Flag] = False
    """Add to the existing records instead of replacing them."""
    if_revision: int | None = None
    """Only write if the newest of the records still has this revision."""
    zone: InZone = None

    def check(self) -> None:
        """Raise UsageError if the options contradict each other."""
        if self.add and self.if_revision is not None:
            raise UsageError("--if-revision checks all records of a type: omit it, or omit --add")
        self.seconds()

    def seconds(self) -> int | None:
        """Return the time of the lease in seconds, if there is one. Raises UsageError."""
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
        Parameter(
            help='Data of each record: 10.0.0.1, "10 mail.lab.internal."; -- before a leading -.'
        ),
    ],
    details: RecordDetails = NO_DETAILS,
    how: WriteOptions = REPLACING,
    options: OutputOptions = OPTIONS,
) -> None:
    """Register records; they replace all registered records of this name and type."""
    asked = type_of(rtype)
    if not data:
        raise UsageError(
            f"{name}: no data given; to delete it: musterd record delete {name} {asked}"
        )
    if asked in SEVERAL_FIELDS and len(data) > 1 and not any(" " in text for text in data):
        raise UsageError(f'{asked} data is one argument: put it in quotes: "{" ".join(data)}"')
    how.check()
    records = [details.record(text) for text in data]
    with options.client() as client:
        rrset = (*client.locate(name, how.zone), asked)
        lease = _granted(client, rrset, how)
        if lease is not None:
            for record in records:
                record["lease"] = lease
        written = _write(client, rrset, records, how)
        if options.json:
            print_lines(written)
            return
        print(f"{title(rrset)}: {'added' if how.add else 'set'} {', '.join(data_of(written))}")
        if lease is not None:
            print(f"lease: {how.seconds()} s; before it expires: musterd lease renew {lease}")
        print(_dig_command(client, rrset))


def _granted(client: "ApiClient", rrset: "RRsetPath", how: WriteOptions) -> str | None:
    from musterd.client.problems import ApiError

    seconds = how.seconds()
    if seconds is None:
        return None
    try:
        return client.grant(rrset[0], seconds)["id"]
    except ApiError as error:
        # The TTL of a lease is the time in this option, which may have had a unit.
        lines = [
            f'--lease: got "{how.lease}",{line.partition(",")[2]} (seconds)'
            if line.startswith("--ttl: got ")
            else line
            for line in error.problems
        ]
        raise ApiError(error.status, *lines, members=error.members) from None


def _write(
    client: "ApiClient", rrset: "RRsetPath", records: "list[RecordInput]", how: WriteOptions
) -> "list[RecordInfo]":
    """Write records; on failure revoke the lease that was granted for them."""
    try:
        if how.add:
            return [client.add(rrset, record) for record in records]
        return client.replace(rrset, records, how.if_revision)
    except MusterdError:
        if lease := records[0].get("lease"):
            with suppress(MusterdError):
                client.revoke_lease(lease)
        raise


def _dig_command(client: "ApiClient", rrset: "RRsetPath") -> str:
    """Return the dig command for an RRset; without an address if the token may not see it."""
    import shlex

    from musterd.client.endpoint import reachable
    from musterd.client.names import absolute
    from musterd.client.problems import ApiError

    zone, owner, rtype = rrset
    question = f"{shlex.quote(absolute(owner, zone))} {rtype}"
    try:
        listeners = client.status()["listeners"]
    except ApiError:
        listeners = []
    if not listeners:
        return f"dig {question}"
    host, port = reachable(client.endpoint, listeners[0])
    return f"dig @{host} {'' if port == '53' else f'-p {port} '}{question}"


@app.command
def show(
    name: NameArg, rtype: TypeArg | None = None, /, *, options: OutputOptions = OPTIONS
) -> None:
    """Show the registered records of a name; exit with 1 if there are none."""
    asked = None if rtype is None else type_of(rtype)
    with options.client() as client:
        parts = client.locate(name)
        records = list(client.records(*parts, *([asked] if asked else [])))
    if not records:
        raise MusterdError(
            f"{name}: no{f' {asked}' if asked else ''} record is registered",
            f"musterd explain {name} shows the records of other sources",
        )
    if options.json:
        print_lines(records)
    else:
        print_table(records, ALL)


@app.command(name="list")
def list_(
    zone: Annotated[str | None, Parameter(help="Only records of this zone.")] = None,
    /,
    *,
    rtype: Annotated[
        str | None, Parameter(name="--type", help="Only records of this type.")
    ] = None,
    label: Labels = None,
    registrant: Annotated[
        str | None, Parameter(help="Only records registered by this token.")
    ] = None,
    options: OutputOptions = OPTIONS,
) -> None:
    """List registered records."""
    from musterd.client.names import zone_part

    query: dict[str, str | list[str] | None] = {"registrant": registrant}
    query["type"] = None if rtype is None else type_of(rtype)
    query["label"] = [f"{key}={value}" for key, value in labels_of(label).items()] or None
    with options.client() as client:
        records = client.records(*([] if zone is None else [zone_part(zone)]), **query)
        if options.json:
            print_lines(records)
        else:
            print_table(records, MAIN)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class DeleteTarget:
    """Selection of the record to delete, and its expected revision."""

    id: str | None = None
    """Only the record with this id, as printed by record show."""
    if_revision: int | None = None
    """Only delete if the records still have this revision."""
    zone: InZone = None


ALL_RECORDS = DeleteTarget()


@app.command
def delete(
    name: NameArg,
    rtype: TypeArg,
    data: Annotated[str | None, Parameter(help="Only the record with this data.")] = None,
    /,
    *,
    target: DeleteTarget = ALL_RECORDS,
    options: OutputOptions = OPTIONS,
) -> None:
    """Delete one record, or all records of a name and type."""
    if data is not None and target.id is not None:
        raise UsageError("DATA and --id both select the record: omit one of them")
    rtype = type_of(rtype)
    with options.client() as client:
        rrset = (*client.locate(name, target.zone), rtype)
        if data is None:
            _delete(client, rrset, target)
            print_deleted(rrset, [target.id] if target.id else None, as_json=options.json)
            return
        records = _with_data(client, rrset, data)
        revision = target.if_revision
        for record in sorted(records, key=itemgetter("revision"), reverse=True):
            client.delete(rrset, record["id"], record["revision"] if revision is None else revision)
            revision = None
        if options.json:
            print_deleted(rrset, [record["id"] for record in records], as_json=True)
        else:
            print(f"{title(rrset)}: deleted {', '.join(dict.fromkeys(data_of(records)))}")


def _delete(client: "ApiClient", rrset: "RRsetPath", target: DeleteTarget) -> None:
    """Delete one record or all; one by one if they are too many for one transaction."""
    from musterd.client.problems import TOO_MUCH, ApiError

    try:
        client.delete(rrset, target.id or "", target.if_revision)
    except ApiError as error:
        # Several transactions can't guarantee that nothing changed in between.
        if error.members.get("type") != TOO_MUCH or target.if_revision is not None:
            raise
        for record in list(client.records(*rrset)):
            try:
                client.delete(rrset, record["id"])
            except ApiError as gone:
                # Its lease expired, or another client deleted it.
                if gone.status != HTTPStatus.NOT_FOUND:
                    raise


def _with_data(client: "ApiClient", rrset: "RRsetPath", data: str) -> "list[RecordInfo]":
    """Return all records with equal data: deleting one would leave the data in the answers.

    Raises MusterdError that lists the records.
    """
    if records := list(client.records(*rrset, data=data)):
        return records
    there = "; ".join(f"{each['data']} (--id {each['id']})" for each in client.records(*rrset))
    raise MusterdError(f"{title(rrset)}: no record with data {data}; there is {there or 'none'}")


@app.command
def history(
    name: NameArg,
    rtype: TypeArg | None = None,
    /,
    *,
    limit: Annotated[int, Parameter(help="Maximum number of changes to show.")] = 100,
    options: OutputOptions = OPTIONS,
) -> None:
    """Show the changes of a name, newest first: when, by whom, and what.

    Exit with 1 if none is known.
    """
    from musterd.cli import output

    asked = None if rtype is None else type_of(rtype)
    if limit < 1:
        raise UsageError(f"--limit: got {limit}, expected 1 or more")
    with options.client() as client:
        zone, owner = client.locate(name)
        changes = client.history(limit, zone=zone, owner=owner, type=asked)
        shown = output.as_lines(changes) if options.json else print_changes(changes)
    if not shown:
        raise MusterdError(f"{name}: no changes{f' of {asked}' if asked else ''} are known")
