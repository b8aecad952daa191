"""Where the registry keeps what: ``/musterd/v1/records/ZONE/OWNER/TYPE/ID``, and its neighbours."""

import re
from typing import Final, NamedTuple

from musterd.display import excerpt
from musterd.registry.errors import Invalid

ROOT: Final = b"/musterd/v1/"
RECORDS: Final = ROOT + b"records/"
DELETED: Final = ROOT + b"deleted"
"""Who did the last deletion: written in each deletion's transaction, as the deleted key itself
can't say it, so that the log of the store has it."""

ID: Final = r"[A-Za-z0-9_.:-]{1,64}"
_ID: Final = re.compile(ID)
_PARTS: Final = 4


class RecordKey(NamedTuple):
    """The key of one record: names as in ``names``, the type as in ``rdata``."""

    zone: str
    owner: str
    rtype: str
    id: str

    @property
    def path(self) -> str:
        """Its parts, joined by "/"."""
        return "/".join(self)

    @property
    def octets(self) -> bytes:
        """As the store has it."""
        return RECORDS + "/".join(self).encode()


def prefix(*parts: str) -> bytes:
    """What the keys of all records of a zone, an owner in it, a type of that, begin with."""
    return RECORDS + "".join(f"{part}/" for part in parts).encode()


def parse(key: bytes) -> RecordKey:
    """The parts of a key of the store. Raises ValueError where it is no record's."""
    parts = key[len(RECORDS) :].decode().split("/")
    if len(parts) != _PARTS:
        raise ValueError(f"{key!r} is no key of a record: expected {RECORDS!r} ZONE/OWNER/TYPE/ID")
    return RecordKey._make(parts)


def check_id(text: str) -> str:
    """The id of a record, if it can be one. Raises Invalid."""
    if not _ID.fullmatch(text) or text in (".", ".."):
        raise Invalid(f'"{excerpt(text)}" is no id: expected 1 to 64 of A-Z a-z 0-9 _ . : -')
    return text
