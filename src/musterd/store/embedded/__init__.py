"""Store in one SQLite file, for one process."""

from musterd.store.embedded.options import EmbeddedOptions
from musterd.store.embedded.store import EmbeddedStore

__all__ = ["EmbeddedOptions", "EmbeddedStore"]
