"""Tracks unreadable keys and truncated names."""

from musterd.display import printable_key, shorten
from musterd.rr.names import name_to_text
from musterd.sources.changes import Fault, Resolved
from musterd.sources.etcd.keys import name_of


class FaultLog:
    """The present faults of a source, and the faults that were not reported yet."""

    def __init__(self) -> None:
        """Create an empty log."""
        self.keys: dict[str, int] = {}
        """Unreadable keys in printable form -> their revisions."""
        self.names: dict[bytes, str] = {}
        """Path of a truncated name -> the reason."""
        self.unreported: list[Fault | Resolved] = []

    def key(self, raw: bytes, revision: int, reason: str, owner: bytes = b"") -> bool:
        """Note that a key of an owner name is unreadable. Return whether it was not before."""
        where = printable_key(raw)
        known = where in self.keys
        self.keys[where] = revision
        self.unreported.append(Fault(where, shorten(reason), owner))
        return not known

    def resolve_key(self, where: str) -> bool:
        """Note that a key was deleted or is readable. Return whether it was unreadable."""
        if self.keys.pop(where, None) is None:
            return False
        self.unreported.append(Resolved(where))
        return True

    def name(self, path: bytes, reason: str) -> None:
        """Note why a name is truncated; an empty reason if it is not."""
        if reason == self.names.get(path, ""):
            return
        where = name_to_text(name_of(path))
        if reason:
            self.names[path] = reason
            self.unreported.append(Fault(where, reason, name_of(path)))
        else:
            del self.names[path]
            self.unreported.append(Resolved(where))

    def take(self) -> list[Fault | Resolved]:
        """Return the reports that were not taken yet, once."""
        unreported, self.unreported = self.unreported, []
        return unreported
