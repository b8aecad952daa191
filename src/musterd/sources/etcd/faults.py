"""What is left out: keys that can't be read, and what a name does not answer with."""

from musterd.display import printable_key, shorten
from musterd.rr.names import name_to_text
from musterd.sources.changes import Fault, Resolved
from musterd.sources.etcd.keys import name_of


def shown(raw: bytes) -> str:
    """A key for people; no other is shown so."""
    return printable_key(raw)


class Wrong:
    """What is wrong now, and what of that is still to be told."""

    def __init__(self) -> None:
        """Nothing."""
        self.keys: dict[str, int] = {}
        """Keys that can't be read, as they are shown, and their revisions."""
        self.names: dict[bytes, str] = {}
        """Path of a name -> what of it is left out."""
        self.news: list[Fault | Resolved] = []
        """What is to be told."""

    def key(self, raw: bytes, revision: int, reason: str) -> bool:
        """Note that a key can't be read; whether it could, or was not there."""
        where = shown(raw)
        known = where in self.keys
        self.keys[where] = revision
        self.news.append(Fault(where, shorten(reason)))
        return not known

    def mend(self, where: str) -> bool:
        """Note that a key is gone or right; whether it couldn't be read."""
        if self.keys.pop(where, None) is None:
            return False
        self.news.append(Resolved(where))
        return True

    def name(self, path: bytes, wrong: str) -> None:
        """Note what of a name is left out, nothing for an empty text."""
        if wrong == self.names.get(path, ""):
            return
        where = name_to_text(name_of(path))
        if wrong:
            self.names[path] = wrong
            self.news.append(Fault(where, wrong))
        else:
            del self.names[path]
            self.news.append(Resolved(where))

    def told(self) -> list[Fault | Resolved]:
        """What is to be told, once."""
        news, self.news = self.news, []
        return news
