"""The error for an address that can't be listened on, with what to do about it."""

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
    if code == EADDRINUSE:
        return f"another process uses it; set {key} to another address or port{none}"
    if code in {EADDRNOTAVAIL, EAFNOSUPPORT}:
        off = ", or IPv6 is off" if address.startswith("[") else ""
        return f"this machine does not have the address{off}; set {key} to another address{none}"
    return f"set {key} to another address{none}"
