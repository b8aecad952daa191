"""Output of records: as a table, as JSON, and in messages."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from musterd.client.api import RRsetPath
    from musterd.client.values import ChangeInfo, RecordInfo

MAIN: Final = ("name", "type", "data", "ttl", "weight", "policy", "registrant", "labels", "lease")
"""Columns of a list of records."""
ALL: Final = ("type", "data", "ttl", "weight", "policy", "ptr", "id", "registrant", "labels",
              "lease", "description", "revision", "modified")  # fmt: skip
"""Columns of the records of one name."""
SPARE: Final = ("modified", "revision", "ptr", "policy", "weight", "description", "labels",
                "lease", "registrant", "ttl")  # fmt: skip
"""Columns that a narrow terminal has no room for, the least important first."""
_FIELDS: Final = ("data", "ttl", "weight", "policy", "ptr", "description", "labels", "lease")
"""Fields whose changes are shown."""


def print_table(records: "Iterable[RecordInfo]", columns: tuple[str, ...]) -> None:
    """Print records as a table."""
    from musterd.cli import output

    rows = ([_cell(record, key) for key in columns] for record in records)
    output.table(columns, rows, spare=SPARE, text=("data", "labels", "description"))


def print_changes(changes: "Iterable[ChangeInfo]") -> int:
    """Print changes as a table. Return their number."""
    from musterd.cli import output
    from musterd.client.text import moment

    rows = (
        (
            moment(change["time"]),
            str(change["revision"]),
            change["who"],
            change["action"],
            *_changed_fields(change),
        )
        for change in changes
    )
    columns = ("time", "revision", "who", "action", "type", "data", "changed")
    spare, text = ("revision", "type", "who"), ("data", "changed")
    return output.table(columns, rows, spare=spare, text=text)


def _changed_fields(change: "ChangeInfo") -> tuple[str, str, str]:
    """Return the type, the data, and the fields that changed."""
    before, after = change["before"], change["record"]
    record = after or before
    if record is None:
        return "", "", ""
    changes = []
    if before and after:
        for key in _FIELDS:
            was, now = _cell(before, key), _cell(after, key)
            if was != now:
                changes.append(f"{key} {was or 'none'} to {now or 'none'}")
    return record["type"], record["data"], ", ".join(changes)


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


def data_of(records: "Iterable[RecordInfo]") -> Iterator[str]:
    """Yield the data of records, printable."""
    from musterd.display import printable

    return (printable(record["data"]) for record in records)


def title(rrset: "RRsetPath") -> str:
    """Return the name and type of an RRset."""
    from musterd.client.names import absolute

    return f"{absolute(rrset[1], rrset[0])} {rrset[2]}"


def print_deleted(rrset: "RRsetPath", ids: list[str] | None, *, as_json: bool) -> None:
    """Print which records of an RRset were deleted; None for all of them."""
    from musterd.cli import output

    if as_json:
        zone, owner, rtype = rrset
        output.as_object({"zone": zone, "owner": owner, "type": rtype, "ids": ids})
    else:
        print(f"{title(rrset)}: deleted {', '.join(ids or ())}".rstrip())


def print_lines(records: "Iterable[RecordInfo]") -> None:
    """Print records as JSON, one a line."""
    from musterd.cli import output

    output.as_lines(records)
