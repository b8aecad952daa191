"""Why the registry can't do what was asked.

::

    MusterdError
    └── RegistryError    nothing of the request was done
        ├── Invalid      a record that can't be, or a name, or a type
        ├── TooLarge     more records than the store changes in one step
        ├── NotRegistered what was asked for is not there
        ├── Clash        what is there stands against it
        └── Mismatch     it is not at the revision that was expected
"""
# ruff: noqa: N818 - a clash or a mismatch is an outcome that callers handle, no fault.

from musterd.errors import MusterdError


class RegistryError(MusterdError):
    """The registry can't do what was asked; nothing of it was done."""


class Invalid(RegistryError, ValueError):
    """A record, a name or a type is not right."""


class TooLarge(RegistryError):
    """More records are to be changed in one step than the store takes."""


class NotRegistered(RegistryError):
    """What was asked for is not there."""


class Clash(RegistryError):
    """What is there already stands against what was asked."""


class Mismatch(RegistryError):
    """What is there is not what the request expected.

    revision: that of what is there, 0 for nothing.
    """

    def __init__(self, problem: str, revision: int) -> None:
        """Keep the revision."""
        super().__init__(problem)
        self.revision = revision
