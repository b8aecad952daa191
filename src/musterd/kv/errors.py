"""Errors that a store raises.

::

    MusterdError
    └── StoreError
        ├── StoreUnavailable  it can't be read or written now; retry later
        │   ├── StoreBusy     too many requests at once
        │   ├── StoreFull     its disk is full
        │   ├── StoreLocked   another process uses it
        │   ├── StoreDenied   authentication failed, or access to the key is denied
        │   ├── StoreLost     a watch lost contact, and continues when it is back
        │   └── StoreUncertain  no answer: a write may have happened or not
        ├── StoreCorrupt      the file is damaged, or not a store
        ├── StoreNewer        the file was written by a newer musterd
        ├── StoreLimit        a request is too large, or contradicts itself
        ├── Conflict          a key is not at the expected revision
        ├── Compacted         the requested revisions are no longer kept
        └── LeaseNotFound     a lease has expired, or never existed
"""
# ruff: noqa: N818 - callers handle a conflict or a compacted revision as an outcome.

from musterd.display import printable
from musterd.errors import MusterdError
from musterd.kv.values import Entry


class StoreError(MusterdError):
    """A request failed, and nothing was changed unless the subclass says otherwise."""


class StoreUnavailable(StoreError):
    """The store can't be read or written now."""


class StoreBusy(StoreUnavailable):
    """Too many requests at once; retry a little later."""


class StoreFull(StoreUnavailable):
    """The disk is full; nothing was written. Writes work again once there is space."""


class StoreLocked(StoreUnavailable):
    """Another process uses the store."""


class StoreDenied(StoreUnavailable):
    """Authentication failed, or access to the keys is denied; nothing was done."""


class StoreLost(StoreUnavailable):
    """A watch lost contact with the store for some seconds; it continues if read again."""


class StoreUncertain(StoreUnavailable):
    """A write got no answer: it happened completely or not at all. Read to find out."""


class StoreCorrupt(StoreError):
    """The file is damaged, or is not a store."""


class StoreNewer(StoreError):
    """The file was written by a newer musterd; it was not changed."""


class StoreLimit(StoreError):
    """A request is larger than the store accepts, or contradicts itself."""


class Conflict(StoreError):
    """A key is not at the expected revision; nothing was done.

    expected: the revision, 0 for absent; entry: the present entry, None if absent.
    """

    def __init__(self, key: bytes, expected: int, entry: Entry | None) -> None:
        """Create the error from the expected revision and the present entry."""
        wanted = f"at revision {expected}" if expected else "absent"
        found = f"at revision {entry.mod_revision}" if entry else "absent"
        super().__init__(
            f"{printable(key)}: expected it {wanted}, but it is {found}: read it again"
        )
        self.key = key
        self.expected = expected
        self.entry = entry


class Compacted(StoreError):
    """Requested revisions are no longer known: list the keys, and watch from there on.

    revision: the oldest revision that a watch can start from.
    """

    def __init__(self, asked: int, revision: int) -> None:
        """Create the error from the requested and the oldest known revision."""
        super().__init__(
            f"revision {asked} is not known, changes are kept from {revision} on: list again"
        )
        self.revision = revision


class LeaseNotFound(StoreError):
    """A lease has expired or never existed; the keys attached to it are gone.

    lease: its ID.
    """

    def __init__(self, lease: int) -> None:
        """Create the error for a lease ID."""
        super().__init__(f"lease {lease:016x} has expired or never existed: grant a new one")
        self.lease = lease
