"""Store in one SQLite file, for one process."""

from musterd.store.embedded.options import EmbeddedOptions
from musterd.store.embedded.store import Embedded

__all__ = ["Embedded", "EmbeddedOptions"]
