"""Cache of the last writes: guesses that a transaction has to confirm."""

from typing import Final

from musterd.kv import Entry

MAX_ENTRIES: Final = 10_000
"""Maximum entries; the oldest are dropped first."""
MAX_VALUE: Final = 1024
"""Maximum bytes of a cached value."""


class WriteCache:
    """The entries of the last writes by key. Others may have changed them since."""

    def __init__(self) -> None:
        """Create an empty cache."""
        self._entries: dict[bytes, Entry] = {}

    def get(self, key: bytes) -> Entry | None:
        """Return the entry as last written here, if cached."""
        return self._entries.get(key)

    def keep(self, entry: Entry) -> None:
        """Add a written entry."""
        self._entries.pop(entry.key, None)
        if len(entry.value) > MAX_VALUE:
            return
        if len(self._entries) >= MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._entries[entry.key] = entry

    def drop(self, key: bytes) -> None:
        """Remove an entry, if cached."""
        self._entries.pop(key, None)
