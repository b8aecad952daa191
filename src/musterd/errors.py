"""All errors that musterd raises deliberately.

::

    MusterdError          an error that a user can fix; shown without a traceback
    ├── SettingsError     the settings are invalid; has one problem for each error in them
    ├── UsageError        the command line is invalid
    ├── ListenError       an address cannot be listened on
    ├── StateError        the state directory, or a file in it, cannot be used
    └── SourceError       a source of records cannot be read
        └── ZoneFileError a zone file cannot be read
"""


class MusterdError(Exception):
    """An error that a user can fix.

    problems: one line each, with the location, the cause and the remedy.
    """

    problems: tuple[str, ...]

    def __init__(self, *problems: str) -> None:
        """Create an error with at least one problem."""
        super().__init__("\n".join(problems))
        self.problems = problems


class SettingsError(MusterdError):
    """The settings are invalid. Has a problem for each error in them."""


class UsageError(MusterdError):
    """The command line is invalid. The process exits with 2."""


class ListenError(MusterdError):
    """An address cannot be listened on."""


class StateError(MusterdError):
    """The state directory, or a file in it, cannot be used."""


class SourceError(MusterdError):
    """A source of records cannot be read."""


class ZoneFileError(SourceError):
    """A zone file cannot be read."""
