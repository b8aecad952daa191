"""``musterd explain``."""

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from musterd.cli.options import OPTIONS, NameArg, OutputOptions, type_of

if TYPE_CHECKING:
    from musterd.client.values import CandidateInfo, ExplanationInfo


def explain(
    name: NameArg,
    rtype: Annotated[
        str | None,
        Parameter(
            name="TYPE",
            help="Record type; default: the only type at the name, or A if there are "
            "several or none.",
        ),
    ] = None,
    /,
    *,
    client: Annotated[
        str | None, Parameter(help="Address of the client that asks; default: this host.")
    ] = None,
    options: OutputOptions = OPTIONS,
) -> None:
    """Explain the answer for a name: its sources, its policy, and what one client gets."""
    from musterd.cli import output
    from musterd.client.names import path_name, wire_name

    with options.client() as api:
        asked_type = None if rtype is None else type_of(rtype)
        found = api.explain(path_name(wire_name(name)), asked_type, client)
    if options.json:
        output.as_object(found)
    else:
        _print(found)


def _print(found: "ExplanationInfo") -> None:
    from musterd.cli import output
    from musterd.display import printable

    output.facts(
        {
            "name": found["name"],
            "type": found["type"],
            "zone": f"{found['zone']}, {found['state']}",
            "policy": found["policy"],
            "client": found["client"],
            **({"matches": ", ".join(found["matching"])} if found["matching"] else {}),
        }
    )
    records = found["records"]
    _print_records("answered:", [r for r in records if not r["hidden"] and not r["refused"]])
    _print_records("not answered:", [r for r in records if r["hidden"] or r["refused"]])
    if not records:
        print("\nno source has records at this name that can be used")
    if found["left_out"]:
        print("\nleft out:")
        rows = ((each["source"], each["where"], each["reason"]) for each in found["left_out"])
        columns, text = ("source", "where", "reason"), ("reason",)
        output.table(columns, rows, indent="  ", spare=("source",), text=text)
    answer = found["answer"]
    print(f"\nanswer: {answer['rcode']}{', a referral to' if answer['referral'] else ''}")
    for line in answer["authority" if answer["referral"] else "records"]:
        print(f"  {printable(line)}")


_COLUMNS = ("type", "data", "ttl", "weight", "source", "key", "revision", "age", "reason")
_SPARE = ("revision", "weight", "age", "ttl", "key", "source")


def _print_records(title: str, records: "list[CandidateInfo]") -> None:
    from musterd.cli import output

    if records:
        print(f"\n{title}")
        output.table(
            _COLUMNS, map(_row, records), indent="  ", spare=_SPARE, text=("data", "reason")
        )


def _row(record: "CandidateInfo") -> tuple[str, ...]:
    from musterd.client.text import span

    data = record["type"], record["data"], str(record["ttl"]), str(record["weight"])
    origin = record["source"], record["key"], str(record["revision"])
    age = span(time.time() - record["time"])
    return *data, *origin, age, record["refused"] or record["hidden"]
