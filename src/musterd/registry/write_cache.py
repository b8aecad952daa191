"""What was written here last: guesses of what is there, which a transaction has to confirm."""

from typing import Final

from musterd.kv import Entry

MOST: Final = 10_000
"""Entries that are kept; the oldest go first."""
VALUE_MOST: Final = 1024
"""Octets of the largest value that is kept."""


class Recent:
    """The entries of the last writes, by key. Others may have changed them since."""

    def __init__(self) -> None:
        """None."""
        self._entries: dict[bytes, Entry] = {}

    def get(self, key: bytes) -> Entry | None:
        """As it was last written here, if that is known."""
        return self._entries.get(key)

    def keep(self, entry: Entry) -> None:
        """Note what was written."""
        self.drop(entry.key)
        if len(entry.value) > VALUE_MOST:
            return
        if len(self._entries) >= MOST:
            del self._entries[next(iter(self._entries))]
        self._entries[entry.key] = entry

    def drop(self, key: bytes) -> None:
        """Forget an entry, if it is there."""
        self._entries.pop(key, None)
