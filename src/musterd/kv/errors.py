"""Every error that a store raises.

::

    MusterdError
    └── StoreError
        ├── StoreUnavailable  it can't be read or written now; the same request may work later
        │   ├── StoreBusy     more is asked of it at once than it takes
        │   ├── StoreFull     its disk is full
        │   ├── StoreLocked   another process has it
        │   ├── StoreDenied   it doesn't let us in, or not to this key
        │   ├── StoreLost     a watch hears nothing of it, and goes on when it does again
        │   └── StoreUncertain  no answer came: a write may have happened or not
        ├── StoreCorrupt      what is on disk is damaged, or no store
        ├── StoreNewer        what is on disk was written by a newer musterd
        ├── StoreLimit        a request is larger than a store takes, or contradicts itself
        ├── Conflict          a key is not at the revision that was expected
        ├── Compacted         the past that was asked for is gone
        └── LeaseNotFound     a lease has ended, or never was
"""
# ruff: noqa: N818 - a conflict or a compacted past is an outcome that callers handle, no fault.

from musterd.errors import MusterdError
from musterd.kv.values import Entry, shown


class StoreError(MusterdError):
    """A store can't do what was asked; nothing of it was done, unless the error says more."""


class StoreUnavailable(StoreError):
    """The store can't be read or written now."""


class StoreBusy(StoreUnavailable):
    """More is asked of the store at once than it takes; ask again a little later."""


class StoreFull(StoreUnavailable):
    """The disk is full; nothing was written, and writes work again when there is room."""


class StoreLocked(StoreUnavailable):
    """Another process has the store."""


class StoreDenied(StoreUnavailable):
    """The store doesn't let us in, or not to what was asked for; nothing was done."""


class StoreLost(StoreUnavailable):
    """Nothing was heard of the store for some seconds; a watch that says so goes on: ask again."""


class StoreUncertain(StoreUnavailable):
    """No answer came to a write: it may have happened or not, but never by half. Read to know."""


class StoreCorrupt(StoreError):
    """What is on disk is damaged, or is no store."""


class StoreNewer(StoreError):
    """What is on disk was written by a newer musterd; it was left as it is."""


class StoreLimit(StoreError):
    """A request is larger than the store takes, or contradicts itself."""


class Conflict(StoreError):
    """A key is not at the revision that was expected; nothing was done.

    key: which; expected: the revision, 0 for none; entry: what is there, None if nothing.
    """

    def __init__(self, key: bytes, expected: int, entry: Entry | None) -> None:
        """Say what was expected and what was found."""
        wanted = f"at revision {expected}" if expected else "absent"
        found = f"at revision {entry.mod_revision}" if entry else "absent"
        super().__init__(f"{shown(key)}: expected it {wanted}, but it is {found}: read it again")
        self.key = key
        self.expected = expected
        self.entry = entry


class Compacted(StoreError):
    """Revisions that were asked for are not known: list what is there, and watch from there on.

    revision: the oldest from which a watch can start now.
    """

    def __init__(self, asked: int, revision: int) -> None:
        """Say what was asked, and what there is."""
        super().__init__(
            f"revision {asked} is not known, changes are kept from {revision} on: list again"
        )
        self.revision = revision


class LeaseNotFound(StoreError):
    """A lease has ended, or never was; what hung on it is gone.

    lease: its ID.
    """

    def __init__(self, lease: int) -> None:
        """Name the lease."""
        super().__init__(f"lease {lease:016x} has ended or never was: grant a new one")
        self.lease = lease
