"""The error for an address that can't be listened on, with what to do about it."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT

from musterd.errors import ListenError


def listen_error(reason: str, code: int, address: str, section: str) -> ListenError:
    """Return the error for an address in ``listen`` of a section.

    reason: what the system said, with the address; code: errno.
    """
    return ListenError(f"{reason}; {_remedy(code, address, section)}")


def _remedy(code: int, address: str, section: str) -> str:
    key = f"[{section}] listen"
    none = "" if section == "dns" else ', or to "" for none'
    if code == EACCES and address.rpartition(":")[2] in map(str, range(1, 1024)):
        return (
            "a port below 1024 needs the capability CAP_NET_BIND_SERVICE, which the systemd unit "
            f"gives; set {key} to a port above 1023{none}"
        )
    if code == EADDRINUSE and _is_own(address):
        return (
            f"musterd itself listens on it; set {key} to an address that no other section has{none}"
            "; if two sections swap their addresses, restart musterd"
        )
    if code == EADDRINUSE:
        return f"another process uses it; set {key} to another address or port{none}"
    if code in {EADDRNOTAVAIL, EAFNOSUPPORT}:
        off = ", or IPv6 is off" if address.startswith("[") else ""
        return f"this machine does not have the address{off}; set {key} to another address{none}"
    return f"set {key} to another address{none}"


def _is_own(address: str) -> bool:
    """Return whether this process has a socket that keeps an address from being used."""
    host, _, port = address.rpartition(":")
    hosts = {host.removeprefix("[").removesuffix("]"), "0.0.0.0", "::"}  # noqa: S104
    every = not hosts - {"0.0.0.0", "::"}  # noqa: S104
    return any(str(found[1]) == port and (every or found[0] in hosts) for found in _own_addresses())


def _own_addresses() -> Iterator[tuple[str, int]]:
    """Yield the addresses on which this process listens for connections."""
    for number in map(int, os.listdir("/proc/self/fd")):
        # A descriptor of another kind, or one that was closed meanwhile, raises OSError.
        with suppress(OSError):
            sock = socket.socket(fileno=number)
            try:
                listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                if listens and sock.family in {socket.AF_INET, socket.AF_INET6}:
                    yield sock.getsockname()[:2]
            finally:
                # The descriptor belongs to its owner.
                sock.detach()
