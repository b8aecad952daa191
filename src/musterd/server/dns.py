"""The DNS listeners of a server, and the options of its core."""

import re
from collections.abc import Sequence
from functools import partial

from musterd._core import Core
from musterd.errors import ListenError, SettingsError
from musterd.server.listen_error import listen_error
from musterd.server.service import BasicService, Prepared
from musterd.server.state import ServerState
from musterd.settings import Dns, Settings


class DnsService(BasicService):
    """Listens for DNS queries. The workers of the core answer them."""

    def __init__(self, state: ServerState) -> None:
        """Create the service; nothing is opened yet."""
        super().__init__()
        self._state = state
        self._dns: Dns | None = None

    async def prepare(self, new: Settings) -> Prepared:
        """Check the options and open new addresses. Raises SettingsError, ListenError."""
        dns, old = new.dns, self._dns
        if old is None:
            self._use(dns)
            return Prepared()
        _configure(Core(), dns)
        # The old addresses stay open until the commit.
        self._listen((*old.listen, *dns.listen), dns.workers)
        return Prepared(partial(self._commit, dns), partial(self._undo, old))

    async def _commit(self, dns: Dns) -> None:
        self._use(dns)

    def _undo(self, old: Dns) -> None:
        self._listen(old.listen, old.workers)

    def _use(self, dns: Dns) -> None:
        _configure(self._state.core, dns)
        self._state.listening = self._listen(dns.listen, dns.workers)
        self._dns = dns

    def _listen(self, addresses: Sequence[str], workers: int) -> list[str]:
        try:
            return self._state.core.listen(list(dict.fromkeys(addresses)), workers)
        except OSError as error:
            raise _listen_error(str(error)) from error

    def stop(self) -> None:
        """Stop answering."""
        self._state.core.close()
        self._state.listening = ()
        super().stop()

    async def close(self) -> None:
        """Close all listeners."""
        self._state.core.close()


def _listen_error(message: str) -> ListenError:
    """Return the error for a message of the core, which begins with the address."""
    found = re.search(r"\(os error (\d+)\)", message)
    address = message.partition(": ")[0]
    return listen_error(message, int(found[1]) if found else 0, address, "dns")


def _configure(core: Core, dns: Dns) -> None:
    options = dns.model_dump(exclude={"listen", "workers", "cookie_secrets"})
    secrets = [secret.get_secret_value() for secret in dns.cookie_secrets]
    try:
        core.configure(cookie_secrets=secrets, **options)
    except ValueError as error:
        raise SettingsError(f"[dns] {error}") from error
