"""``musterd explain``."""

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from musterd.cli.options import OPTIONS, NameArg, TypeArg, type_of

if TYPE_CHECKING:
    from musterd.client.values import CandidateInfo, ExplanationInfo


def explain(
    name: NameArg,
    rtype: TypeArg | None = None,
    /,
    *,
    client: Annotated[
        str | None, Parameter(help="Address of who asks; default: this host.")
    ] = None,
    options: OutputOptions = OPTIONS,
) -> None:
    """Say why a name is answered as it is."""
    from musterd.cli import output
    from musterd.client.names import path_name, wire_name

    with options.client() as api:
        asked = None if rtype is None else type_of(rtype)
        found = api.explain(path_name(wire_name(name)), asked, client)
    if options.json:
        output.as_object(found)
    else:
        _print(found)


def _print(found: "ExplanationInfo") -> None:
    from musterd.cli import output
    from musterd.client.text import printable

    output.facts(
        {
            "name": found["name"],
            "type": found["type"],
            "zone": f"{found['zone']}, {found['state']}",
            "policy": found["policy"],
            "client": found["client"],
        }
    )
    answered = [one for one in found["records"] if not one["hidden"] and not one["refused"]]
    silent = [one for one in found["records"] if one["hidden"] or one["refused"]]
    _print_records("known, and answered:", answered)
    _print_records("known, but not answered:", silent)
    if not found["records"]:
        print("\nno source has a record of it")
    print(f"\nthe answer: {found['answer']['rcode']}")
    for line in found["answer"]["records"]:
        print(f"  {printable(line)}")


_COLUMNS = ("type", "data", "ttl", "weight", "source", "key", "revision", "age", "why not")
_SPARE = frozenset({"weight", "revision", "age"})


def _print_records(title: str, records: "list[CandidateInfo]") -> None:
    from musterd.cli import output

    if records:
        print(f"\n{title}")
        output.table(_COLUMNS, map(_row, records), indent="  ", spare=_SPARE)


def _row(one: "CandidateInfo") -> tuple[str, ...]:
    from musterd.client.text import span

    numbers = (str(one["ttl"]), str(one["weight"]), one["source"], one["key"], str(one["revision"]))
    age = span(time.time() - one["time"])
    return one["type"], one["data"], *numbers, age, one["refused"] or one["hidden"]
