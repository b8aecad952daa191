"""The changes that a source reports to the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from musterd.rr.rrset import Record


@dataclass(frozen=True, slots=True)
class Begin:
    """A full list follows, up to ``Synced``; keys unseen in it are gone."""


class Put(NamedTuple):
    """All that one key gives now.

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

    rows: (owner, type, packed RRset) each. They are trusted to be well formed, as the core makes
    them: to check each would double the time of loading.
    """

    revision: int
    time: float
    rows: Sequence[tuple[bytes, int, bytes]]


@dataclass(frozen=True, slots=True)
class Delete:
    """A key gives nothing any more."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of keys that are told at once, and are in answers at once or nearly so.

    What they put is trusted to be well formed, as the rows of ``PutMany`` are. whole: they are
    part of a list, in which no other key gives records at the owner names of these.
    """

    changes: Sequence[Put | Delete]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Synced:
    """The list is complete, and from now on every change is told."""

    revision: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The source can't be read, for a reason; what is known stays, until it is synced again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing of a source that was left out: where it is, and what is wrong with it."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a ``Fault`` told is so no more, where it was."""

    where: str


class Withheld(NamedTuple):
    """A record that a source has of a name and doesn't give, and why."""

    rtype: int
    weight: int
    rdata: bytes
    reason: str


Change = Begin | Put | PutMany | Batch | Delete | Synced | Lost | Fault | Resolved
