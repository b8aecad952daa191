"""Separate networks for servers and etcd, whose links a test can cut.

Each host is a network namespace with two interfaces: clients, including the test, use the front
one; the back one leads to etcd. The bridges that join them are in a namespace too, so the machine's
own network changes only by one interface to the front.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.needs import CI

FRONT: Final = "198.18"
BACK: Final = "198.19"
"""Networks in the range for benchmarks (RFC 2544 appendix C.2.2)."""
_PREFIX: Final = "mclu"
_SELF: Final = 254


class Wires:
    """The networks, named after this process; those of dead processes are removed too."""

    def __init__(self) -> None:
        pid = os.getpid()
        self._name = f"{_PREFIX}{pid}"
        self._net = pid % 256
        self._hosts: dict[str, int] = {}

    def open(self) -> None:
        """Create the bridges. Raises CalledProcessError without the permission."""
        bridges = f"{self._name}-w"
        _ip("netns", "add", bridges)
        for bridge in ("front", "back"):
            _ip("-n", bridges, "link", "add", bridge, "type", "bridge")
            _ip("-n", bridges, "link", "set", bridge, "up")
        end = ("peer", "name", "self", "netns", bridges)
        _ip("link", "add", self._name, "type", "veth", *end)
        _ip("-n", bridges, "link", "set", "self", "master", "front", "up")
        _ip("addr", "add", f"{FRONT}.{self._net}.{_SELF}/24", "dev", self._name)
        _ip("link", "set", self._name, "up")

    def close(self) -> None:
        """Remove the networks, also those of killed runs."""
        for name in sorted(path.name for path in Path("/run/netns").glob(f"{_PREFIX}*")):
            pid = name.removeprefix(_PREFIX).partition("-")[0]
            if name.startswith(f"{self._name}-") or not Path(f"/proc/{pid}").exists():
                with suppress(subprocess.CalledProcessError):
                    _ip("netns", "del", name)
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._name)

    def host(self, name: str) -> "Host":
        """Add a host."""
        number = self._hosts[name] = len(self._hosts) + 1
        space, bridges = f"{self._name}-{name}", f"{self._name}-w"
        _ip("netns", "add", space)
        _ip("-n", space, "link", "set", "lo", "up")
        made = Host(name, space, f"{FRONT}.{self._net}.{number}", f"{BACK}.{self._net}.{number}")
        for side, address in (("front", made.front), ("back", made.back)):
            end = f"{side[0]}-{name}"
            _ip("-n", bridges, "link", "add", end, "type", "veth", "peer", side, "netns", space)
            _ip("-n", bridges, "link", "set", end, "master", side, "up")
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", side)
            _ip("-n", space, "link", "set", side, "up")
        return made

    def cut(self, host: "Host") -> None:
        """Cut the back link of a host silently."""
        _ip("-n", f"{self._name}-w", "link", "set", f"b-{host.name}", "down")

    def mend(self, host: "Host") -> None:
        """Restore the back link of a host."""
        _ip("-n", f"{self._name}-w", "link", "set", f"b-{host.name}", "up")


class Host:
    """A host; front, back: its addresses."""

    def __init__(self, name: str, space: str, front: str, back: str) -> None:
        self.name = name
        self.front = front
        self.back = back
        self.before = ("ip", "netns", "exec", space)
        """Command prefix that runs a program on the host."""


@contextmanager
def wires() -> Iterator[Wires]:
    """Create networks for the block; skip the test if that isn't possible."""
    made = Wires()
    made.close()
    try:
        try:
            made.open()
        except (OSError, subprocess.CalledProcessError) as error:
            reason = f"no network namespaces, which root with CAP_NET_ADMIN can make: {error}"
            if CI:
                pytest.fail(reason)
            pytest.skip(reason)
        yield made
    finally:
        made.close()


def _ip(*line: str) -> None:
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    subprocess.run(["ip", *line], check=True, capture_output=True, text=True, env={"PATH": path})
