"""The dnstap of a server: whole queries and responses for a reader at a unix socket."""

import socket
from importlib.metadata import version

from musterd._core import Feed
from musterd.server.feed import FeedService, Selection
from musterd.server.service import Prepared
from musterd.settings import Settings


class DnstapService(FeedService):
    """Sends the queries that ``[dnstap]`` selects. The core does so in a thread of its own."""

    noun = "dnstap"

    async def prepare(self, new: Settings) -> Prepared:
        """Create the new feed, which connects to the reader; keep it if nothing changes."""
        old = self._settings
        if old and (old.dnstap, old.dns.server_id) == (new.dnstap, new.dns.server_id):
            return Prepared()
        return await super().prepare(new)

    def open(self, settings: Settings) -> Feed | None:
        """Create a feed that connects by itself. Raises OSError or ValueError."""
        section = settings.dnstap
        if section.socket is None:
            return None
        identity = settings.dns.server_id or socket.gethostname()
        return Feed.dnstap(
            self._core, str(section.socket), section.queries, identity,
            f"musterd {version('musterd')}", *Selection.of(section),
        )  # fmt: skip
