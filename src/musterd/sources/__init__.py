"""Where records come from: one module, or folder, for each kind of source."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

from musterd.sources.changes import Change, Withheld


class Source(Protocol):
    """What reports, for each key of its own, all that the key gives.

    A source knows nothing of zones beyond the names it was told, and nothing of DNS messages.
    """

    @property
    def name(self) -> str:
        """As in the settings; unique among all sources."""

    def changes(self) -> AsyncGenerator[Change]:
        """Give what is there (``Begin`` … ``Synced``), then each change; never end.

        What can't be read is a ``Lost``, after which the source goes on trying; what is wrong
        with one key is a ``Fault``, and ``Mended`` when it is so no more. The next change is asked
        for when the last is in answers, so a source must not pile up what it hears meanwhile.
        """


@runtime_checkable
class LeavesOut(Protocol):
    """A source that doesn't give all the records that it has."""

    def left_out(self, owner: bytes) -> Sequence[Withheld]:
        """What it has of a folded owner name and doesn't give now."""
