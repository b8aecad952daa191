"""Leases of the API, each owned by the token that created it.

The owner is kept under the key ``leases/ID``, which is attached to the lease of the store.
"""

import re
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from musterd.display import excerpt
from musterd.kv import LeaseNotFound, Store
from musterd.registry.errors import Clash, Invalid, NotRegistered
from musterd.registry.keys import RECORDS, ROOT
from musterd.registry.record import lease_text

LEASES: Final = ROOT + b"leases/"
MAX_TTL: Final = 31_536_000
"""Maximum TTL of a lease, seconds."""
ID: Final = "[0-9a-f]{16}"
_ID: Final = re.compile(ID)


class Granted(NamedTuple):
    """A lease. ttl: as granted; remaining: until it ends, seconds; keys: paths of its records."""

    id: str
    ttl: int
    remaining: float
    keys: tuple[str, ...] | None = None


class LeaseService:
    """The leases of a store. An owner is the id of a token."""

    def __init__(self, store: Store) -> None:
        """Create the service over a store."""
        self._store = store

    async def grant(self, ttl: int, owner: str) -> Granted:
        """Grant a lease. Raises StoreError."""
        lease = await self._store.lease_grant(ttl)
        value = to_json({"ttl": ttl, "owner": owner})
        await self._store.put(_key(lease.id), value, lease=lease.id)
        return Granted(lease_text(lease.id), lease.ttl, lease.remaining)

    async def use(self, text: str, owner: str | None) -> tuple[int, int]:
        """Return the number and the TTL of a lease for an owner (None: any).

        Raises LeaseNotFound; raises Clash if it has another owner.
        """
        number = int(text, 16) if _ID.fullmatch(text) else 0
        found = await self._store.get(_key(number)) if number else None
        if found is None:
            raise LeaseNotFound(number)
        value: dict[str, Any] = from_json(found.value)
        if owner is not None and value.get("owner") != owner:
            raise Clash(f"the lease {text} was granted to another token: grant one of its own")
        return number, int(value["ttl"])

    async def renew(self, text: str, owner: str | None) -> Granted:
        """Renew a lease. Raises NotRegistered, Clash."""
        number, _ = await self._known(text, owner)
        try:
            lease = await self._store.lease_keepalive(number)
        except LeaseNotFound as error:
            raise NotRegistered(str(error)) from None
        return Granted(text, lease.ttl, lease.remaining)

    async def show(self, text: str) -> Granted:
        """Return a lease and the keys attached to it. Raises NotRegistered."""
        number, _ = await self._known(text, None)
        try:
            lease = await self._store.lease_info(number)
        except LeaseNotFound as error:
            raise NotRegistered(str(error)) from None
        keys = [key[len(RECORDS) :].decode() for key in lease.keys if key.startswith(RECORDS)]
        return Granted(text, lease.ttl, lease.remaining, tuple(keys))

    async def revoke(self, text: str, owner: str | None) -> int:
        """Revoke a lease and return the revision. Raises NotRegistered, Clash."""
        number, _ = await self._known(text, owner)
        try:
            return await self._store.lease_revoke(number)
        except LeaseNotFound as error:
            raise NotRegistered(str(error)) from None

    async def _known(self, text: str, owner: str | None) -> tuple[int, int]:
        if not _ID.fullmatch(text):
            raise Invalid(f'"{excerpt(text)}" is not a lease id: expected 16 hexadecimal digits')
        try:
            return await self.use(text, owner)
        except LeaseNotFound as error:
            raise NotRegistered(str(error)) from None


def _key(lease: int) -> bytes:
    return LEASES + lease_text(lease).encode()
