"""Every error that musterd raises on purpose.

::

    MusterdError          what a user can act on; shown without a traceback
    ├── SettingsError     the configuration is wrong: one problem for each fault in it
    ├── UsageError        the command line asks for what can't be done
    ├── ListenError       an address can't be listened on
    ├── StateError        the state directory, or a file in it, can't be used
    └── SourceError       a source of records can't be read
        └── ZoneFileError a zone file can't be read
"""


class MusterdError(Exception):
    """Something that a user can act on.

    problems: one line each, saying what is wrong, where, and what to do.
    """

    problems: tuple[str, ...]

    def __init__(self, *problems: str) -> None:
        """Keep the problems; at least one is expected."""
        super().__init__("\n".join(problems))
        self.problems = problems


class SettingsError(MusterdError):
    """The configuration is wrong; carries every fault found in it."""


class UsageError(MusterdError):
    """The command line asks for what can't be done; the process exits with 2."""


class ListenError(MusterdError):
    """An address can't be listened on."""


class StateError(MusterdError):
    """The state directory, or a file in it, can't be used."""


class SourceError(MusterdError):
    """A source of records can't be read."""


class ZoneFileError(SourceError):
    """A zone file can't be read."""
