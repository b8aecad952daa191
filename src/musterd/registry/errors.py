"""Errors of the registry.

::

    MusterdError
    └── RegistryError    no part of the request was applied
        ├── Invalid      an invalid record, name or type
        ├── TooLarge     too many records for one transaction
        ├── NotRegistered the record or lease does not exist
        ├── Clash        existing records rule it out
        └── Mismatch     it is not at the expected revision
"""
# ruff: noqa: N818 - a clash or a mismatch is an outcome that callers handle, no fault.

from musterd.errors import MusterdError


class RegistryError(MusterdError):
    """The registry can't apply a request; no part of it was applied."""


class Invalid(RegistryError, ValueError):
    """A record, a name or a type is invalid."""


class TooLarge(RegistryError):
    """A transaction would exceed a limit of the store."""


class NotRegistered(RegistryError):
    """The record or lease does not exist."""


class Clash(RegistryError):
    """Existing records rule out the request."""


class Mismatch(RegistryError):
    """A precondition of the request failed.

    current: the revision, or the entity tag of an RRset; 0 if nothing exists.
    """

    def __init__(self, problem: str, current: int | str) -> None:
        """Create the error."""
        super().__init__(problem)
        self.current = current
