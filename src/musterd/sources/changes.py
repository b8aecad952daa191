"""The changes that a source reports to the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from musterd.rr.rrset import Record


@dataclass(frozen=True, slots=True)
class Begin:
    """A full list follows, up to ``Synced``; keys that are not in it are deleted."""


class Put(NamedTuple):
    """A key gives these records, and nothing else.

    key: the source's own, as text; revision: of the key, counted by the source; time: of its
    last change, seconds since 1970.
    """

    key: str
    revision: int
    time: float
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class PutMany:
    """Records whose keys are their own owner and type: the bulk form of ``Put``.

    rows: (owner, type, packed RRset) each. They come from the core and are not checked again:
    a check would double the time of loading.
    """

    revision: int
    time: float
    rows: Sequence[tuple[bytes, int, bytes]]


@dataclass(frozen=True, slots=True)
class Delete:
    """A key was deleted."""

    key: str
    revision: int


class WithheldRecord(NamedTuple):
    """A record that a source has but does not give, and the reason."""

    rtype: int
    weight: int
    rdata: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """The records that a source has at an owner name but does not give, for ``explain``.

    It replaces the last report of the owner name; without records it clears it. ``Begin`` clears
    all reports.
    """

    owner: bytes
    records: tuple[WithheldRecord, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that are answered together, or nearly so if there are many.

    Their records are not checked, as in ``PutMany``. whole: they belong to a full list, in which
    no other key gives records at their owner names.
    """

    changes: Sequence[Put | Delete | Withheld]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Synced:
    """The full list is complete; every later change is reported."""

    revision: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The source can't be read, for a reason; its records stay until it is synced again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a source is invalid and was dropped: its location, and the reason.

    owner: the folded owner name that lacks records therefore; empty if it is not known.
    """

    where: str
    reason: str
    owner: bytes = b""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The ``Fault`` that was reported at a location has been resolved."""

    where: str


Change = Begin | Put | PutMany | Batch | Delete | Withheld | Synced | Lost | Fault | Resolved
