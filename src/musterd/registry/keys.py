"""Keys of the registry: ``/musterd/v1/records/ZONE/OWNER/TYPE/ID`` and others."""

import re
from typing import Final, NamedTuple

from musterd.display import excerpt
from musterd.registry.errors import Invalid

ROOT: Final = b"/musterd/v1/"
RECORDS: Final = ROOT + b"records/"
DELETED: Final = ROOT + b"deleted"
"""Key of the author of the last deletion. Each deleting transaction writes it, so that the change
log of the store has the author."""

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
        """The parts, joined by "/"."""
        return "/".join(self)

    @property
    def rrset(self) -> str:
        """The owner, type and zone, as text for people."""
        return f"{self.owner} {self.rtype} in zone {self.zone}"

    @property
    def raw(self) -> bytes:
        """The key in the store."""
        return RECORDS + "/".join(self).encode()


def prefix(*parts: str) -> bytes:
    """Return the common key prefix of a zone, an owner name or a type."""
    return RECORDS + "/".join((*parts, "")).encode()


def parse(key: bytes) -> RecordKey:
    """Parse a key of the store. Raises ValueError if it is not a record key."""
    return record_path(key[len(RECORDS) :].decode())


def type_in(key: bytes) -> str:
    """Return the type in a key of the store."""
    return key[len(RECORDS) :].split(b"/")[2].decode("ascii", "backslashreplace")


def record_path(text: str) -> RecordKey:
    """Parse ``RecordKey.path``. Raises ValueError."""
    parts = text.split("/")
    if len(parts) != _PARTS:
        raise ValueError(f'"{excerpt(text)}" is not a record: expected ZONE/OWNER/TYPE/ID')
    return RecordKey(*parts)


def check_id(text: str) -> str:
    """Return a record id if it is valid. Raises Invalid."""
    if not _ID.fullmatch(text) or text in (".", ".."):
        raise Invalid(
            f'"{excerpt(text)}" is not a valid id: expected 1 to 64 of A-Z a-z 0-9 _ . : -'
        )
    return text
