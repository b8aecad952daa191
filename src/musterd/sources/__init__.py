"""Sources of records: one module or package for each kind."""

from collections.abc import AsyncGenerator
from typing import Protocol

from musterd.sources.changes import Change


class Source(Protocol):
    """A source reports, for each key of its own, all records that the key gives.

    A source knows nothing of zones except the names in its settings, and nothing of DNS messages.
    """

    @property
    def name(self) -> str:
        """Name in the settings, unique among all sources."""

    def changes(self) -> AsyncGenerator[Change]:
        """Report the present records (``Begin`` … ``Synced``), then each change; never end.

        If the source can't be read, it reports ``Lost`` and keeps trying. An invalid key is
        reported as a ``Fault``, and as ``Resolved`` once it is valid. The next change is requested
        when the last one is answered, so a source must not queue changes without a limit.
        """
