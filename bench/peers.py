"""The measured servers: configuration for one CPU, and command.

All get the same zone file, one worker, no rate limit, no query log, and the shortest answers that
their options allow. Every table prints the mean size of the answers, which still differs.
"""

import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench.nameservers import BIND, KNOT, NSD, NameServer
from bench.native import coredns, program
from bench.zone import ZONE

MUSTERD = str(Path(sys.executable).with_name("musterd"))
"""The command of the environment that runs the benchmarks."""


class Peer(ABC):
    """A server program; a subclass writes its configuration and returns its command."""

    name: ClassVar[str]
    package: ClassVar[str]
    version_command: ClassVar[Sequence[str]] = ()

    @property
    def label(self) -> str:
        """Name in tables."""
        return self.name

    @property
    def environment(self) -> dict[str, str]:
        """Variables of its environment."""
        return {}

    def missing(self) -> str:
        """Return why it can't be measured here; empty if it can."""
        if shutil.which(self.version_command[0]):
            return ""
        return f"{self.version_command[0]} is missing: install the package {self.package}"

    def version(self) -> str:
        """Return its version."""
        done = subprocess.run(
            self.version_command, capture_output=True, text=True, check=False, timeout=20
        )
        found = re.search(r"\d+\.\d[\w.]*", done.stdout + done.stderr)
        return found[0] if found else "unknown"

    @abstractmethod
    def prepare(self, home: Path, zone: Path, port: int) -> list[str]:
        """Write its configuration into ``home``; return the command that runs it in foreground."""


@dataclass(frozen=True)
class Floor(Peer):
    """``echo.c``: receives and sends, and does nothing else. ``size``: bytes of its replies."""

    name: ClassVar[str] = "floor"
    package: ClassVar[str] = "gcc"
    size: int = 90

    def missing(self) -> str:
        """Check for the compiler; the program is compiled on first use."""
        return "" if shutil.which("cc") else "cc is missing: install the package gcc"

    def version(self) -> str:
        """Return the size of its replies."""
        return f"{self.size} bytes"

    def prepare(self, home: Path, zone: Path, port: int) -> list[str]:
        """Return the command; there is no configuration."""
        return [program("echo"), str(port), str(self.size)]


@dataclass(frozen=True)
class Musterd(Peer):
    """musterd; the fields are its settings. ``metrics``: port on 127.0.0.1, 0 for none."""

    name: ClassVar[str] = "musterd"
    package: ClassVar[str] = "musterd"
    version_command: ClassVar[Sequence[str]] = ()
    variant: str = ""
    workers: int = 1
    policy: str = "all"
    cookies: bool = True
    rate_limit: int = 0
    metrics: int = 0

    @property
    def label(self) -> str:
        """The name and the variant."""
        return f"{self.name} {self.variant}".strip()

    def missing(self) -> str:
        """Return how to install it if it is missing."""
        return "" if Path(MUSTERD).exists() else "musterd is missing: run make setup"

    def version(self) -> str:
        """Return the version of the installed package."""
        command = [MUSTERD, "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        found = re.search(r"\d+\.\d[\w.]*", done.stdout)
        return found[0] if found else "unknown"

    def prepare(self, home: Path, zone: Path, port: int) -> list[str]:
        """Write the settings, without snapshots so that every start loads the zone."""
        config = home / "musterd.toml"
        metrics = f"127.0.0.1:{self.metrics}" if self.metrics else ""
        config.write_text(
            f'[dns]\nlisten = ["127.0.0.1:{port}"]\nworkers = {self.workers}\n'
            f"cookies = {str(self.cookies).lower()}\nrate_limit = {self.rate_limit}\n"
            f'[metrics]\nlisten = "{metrics}"\n[state]\ndir = ""\n[log]\nlevel = "warning"\n'
            f'[[zones]]\nname = "{ZONE}"\npolicy = "{self.policy}"\nsources = ["bench"]\n'
            f'[[sources.zonefile]]\nname = "bench"\nzone = "{ZONE}"\npath = "{zone}"\n'
        )
        return [MUSTERD, "serve", "-c", str(config)]


class _Packaged(Peer):
    """A name server of ``bench.nameservers``, with the options that make it fast."""

    server: ClassVar[NameServer]
    options: ClassVar[Mapping[str, str | int]]

    def __init_subclass__(cls) -> None:
        """Take name, package and version command from the server."""
        cls.name, cls.package = cls.server.name, cls.server.package
        cls.version_command = (cls.server.program, cls.server.version_option)

    def prepare(self, home: Path, zone: Path, port: int) -> list[str]:
        """Write the configuration."""
        return self.server.command(home, port, [(ZONE, zone)], self.options)


class Nsd(_Packaged):
    """NSD with one server process."""

    server = NSD
    options: ClassVar[Mapping[str, str | int]] = {
        "minimal-responses": "yes",
        "tcp-count": 1000,
        "tcp-query-count": 0,
        "tcp-timeout": 30,
        "verbosity": 0,
    }


class Knot(_Packaged):
    """Knot DNS with one UDP and one TCP worker."""

    server = KNOT
    options: ClassVar[Mapping[str, str | int]] = {
        "tcp-max-clients": 1000,
        "tcp-idle-timeout": 30,
        "automatic-acl": "off",
    }


class Bind(_Packaged):
    """BIND 9 as an authoritative server with one thread."""

    server = BIND
    options: ClassVar[Mapping[str, str | int]] = {
        "minimal-responses": "yes",
        "allow-transfer": "{ none; }",
        "tcp-clients": 1000,
        "querylog": "no",
    }


class Gdnsd(Peer):
    """gdnsd, one UDP and one TCP thread."""

    name = "gdnsd"
    package = "gdnsd"
    version_command = ("gdnsd", "-h")

    def prepare(self, home: Path, zone: Path, port: int) -> list[str]:
        """Write the configuration; gdnsd finds a zone by the name of its file."""
        (home / "zones").mkdir()
        (home / "zones" / ZONE).symlink_to(zone)
        (home / "config").write_text(
            f"options => {{\n  listen => 127.0.0.1:{port}\n  udp_threads = 1\n  tcp_threads = 1\n"
            f"  tcp_clients_per_thread = 1000\n  run_dir = {home}/run\n  state_dir = {home}/state\n"
            "}\n"
        )
        return ["gdnsd", "-c", str(home), "start"]


class CoreDns(Peer):
    """CoreDNS with its ``file`` plugin alone, on one thread of the Go scheduler."""

    name = "coredns"
    package = "go"

    @property
    def environment(self) -> dict[str, str]:
        """Limit the Go scheduler to one thread."""
        return {"GOMAXPROCS": "1"}

    def missing(self) -> str:
        """Build it on first use."""
        return "" if coredns() else "CoreDNS can't be built: install Go"

    def version(self) -> str:
        """Return the version of the binary."""
        command = [str(coredns()), "-version"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        found = re.search(r"\d+\.\d[\w.]*", done.stdout)
        return found[0] if found else "unknown"

    def prepare(self, home: Path, zone: Path, port: int) -> list[str]:
        """Write one server block."""
        (home / "Corefile").write_text(
            f"{ZONE}:{port} {{\n  bind 127.0.0.1\n  file {zone} {{\n    reload 0\n  }}\n}}\n"
        )
        return [str(coredns()), "-quiet", "-conf", str(home / "Corefile")]


def everyone(size: int) -> list[Peer]:
    """Return the floor with replies of ``size`` bytes, musterd, and its peers."""
    return [Floor(size), Musterd(), Nsd(), Knot(), Gdnsd(), Bind(), CoreDns()]
