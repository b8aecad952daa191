"""What was written here last: guesses of what is there, which a transaction has to confirm."""

from typing import Final

from musterd.kv import Entry

MAX_ENTRIES: Final = 10_000
"""Entries that are kept; the oldest go first."""
MAX_VALUE: Final = 1024
"""Octets of the largest value that is kept."""


class WriteCache:
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
        if len(entry.value) > MAX_VALUE:
            return
        if len(self._entries) >= MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._entries[entry.key] = entry

    def drop(self, key: bytes) -> None:
        """Forget an entry, if it is there."""
        self._entries.pop(key, None)
