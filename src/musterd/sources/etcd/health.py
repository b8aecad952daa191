"""Addresses whose status is down, and the keys that have them (Hades, ContainerDNS).

A scanner writes ``{"status": "UP"}`` or ``"DOWN"`` to a key that ends in the address. Only "DOWN"
counts: an address without a status is up.
"""

from collections.abc import Iterator

from musterd.sources.etcd.keys import Layout
from musterd.sources.etcd.service import NAME, address_of, is_down, unpack
from musterd.sources.etcd.sorted_blocks import SortedBlocks


class Statuses:
    """The addresses that are down, and the heads of the keys with each address."""

    def __init__(self, layout: Layout, prefix: str) -> None:
        """Create an empty set for the layout of the keys below a prefix."""
        self.down: dict[bytes, bytes] = {}
        """Address (4 or 16 bytes) -> the key of its status."""
        self._prefix = f"{prefix}/{layout.status}/".encode() if layout.status else b""
        self._holders = SortedBlocks()

    def owns(self, raw: bytes) -> bool:
        """Return whether a key is a status."""
        return bool(self._prefix) and raw.startswith(self._prefix)

    def read(self, raw: bytes, value: bytes) -> tuple[bytes, bool]:
        """Parse a status; return its address and whether it is down. Raises ValueError."""
        address = self.address(raw)
        if address is None:
            raise ValueError("its last part is not an IP address")
        return address, is_down(value)

    def address(self, raw: bytes) -> bytes | None:
        """Return the address in the key of a status."""
        return address_of(raw[len(self._prefix) :].decode("ascii", "replace"))

    def set(self, raw: bytes, address: bytes, *, down: bool) -> bool:
        """Set the state of an address. Return whether it changed."""
        if (address in self.down) == down:
            return False
        if down:
            self.down[address] = raw
        else:
            del self.down[address]
        return True

    def heads(self, address: bytes) -> Iterator[bytes]:
        """Return the heads of the keys with an address."""
        low = _holder(address)
        return (item[len(low) :] for item in self._holders.each(low, low + b"\x7f"))

    def hold(self, head: bytes, old: bytes | None, new: bytes | None) -> None:
        """Note that the item of a key was replaced; None for no item."""
        if not self._prefix:
            return
        before, after = _address(head, old), _address(head, new)
        if before != after:
            if before:
                self._holders.pop(_holder(before) + head)
            if after:
                self._holders.put(_holder(after) + head, _holder(after) + head)


def _holder(address: bytes) -> bytes:
    return bytes((len(address),)) + address


def _address(head: bytes, item: bytes | None) -> bytes:
    service = None if item is None else unpack(b"", item, len(head))
    return b"" if service is None or service.kind == NAME else service.host
