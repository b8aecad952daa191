"""IDs of events: the revision, then the place within its transaction.

One number is SQLite's own key of a row, so the log needs no index.
"""

from typing import Final

_PLACE_BITS: Final = 24


def event_id(revision: int, place: int = 0) -> int:
    """Return the ID of an event, by default the lowest of a revision."""
    return revision << _PLACE_BITS | place


def split(id_: int) -> tuple[int, int]:
    """Return the revision and place of an event."""
    return id_ >> _PLACE_BITS, id_ & ((1 << _PLACE_BITS) - 1)
