"""NSD, Knot and BIND on loopback: configuration files and commands, for benchmarks and tests.

Each runs in the foreground with one worker, without rate limits, recursion, notifications or DNSSEC
validation, and keeps its files in one directory. Everything else depends on the given options.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Zones = Sequence[tuple[str, Path]]
"""Origin and master file of each zone."""
Options = Mapping[str, str | int]
"""Options of the server, in the syntax of its configuration file."""


@dataclass(frozen=True)
class NameServer:
    """A name server that can be started."""

    name: str
    program: str
    package: str
    """Debian package that contains the program."""
    version_option: str
    configure: Callable[[Path, int, Zones, Options], list[str]]
    """Write the configuration into a directory; return the arguments of the program."""

    @property
    def path(self) -> str | None:
        """Path of the program, None if it is not installed."""
        return shutil.which(self.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

    def command(self, home: Path, port: int, zones: Zones, options: Options) -> list[str]:
        """Write the configuration into ``home``; return the command that serves the zones."""
        return [self.path or self.program, *self.configure(home, port, zones, options)]


def _nsd(home: Path, port: int, zones: Zones, options: Options) -> list[str]:
    config = home / "nsd.conf"
    config.write_text(
        f"server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n"
        '  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n  username: ""\n  database: ""\n'
        f'  zonesdir: "{home}"\n  pidfile: "{home}/nsd.pid"\n  xfrdfile: "{home}/xfrd.state"\n'
        f'  xfrdir: "{home}"\n  zonelistfile: "{home}/zone.list"\n'
        f'  cookie-secret-file: "{home}/cookies"\n{_lines(options)}'
        "remote-control:\n  control-enable: no\n"
        + "".join(f'zone:\n  name: "{name}"\n  zonefile: "{file}"\n' for name, file in zones)
    )
    return ["-d", "-c", str(config)]


def _knot(home: Path, port: int, zones: Zones, options: Options) -> list[str]:
    config = home / "knot.conf"
    config.write_text(
        f'server:\n  listen: 127.0.0.1@{port}\n  rundir: "{home}"\n  udp-workers: 1\n'
        f"  tcp-workers: 1\n  background-workers: 1\n{_lines(options)}"
        f'log:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: "{home}"\n'
        f'control:\n  listen: "{home}/knot.sock"\n'
        "template:\n  - id: default\n    zonefile-sync: -1\n    zonefile-load: whole\n"
        "    journal-content: none\n    semantic-checks: off\nzone:\n"
        + "".join(f'  - domain: "{name}"\n    file: "{file}"\n' for name, file in zones)
    )
    return ["-c", str(config)]


def _bind(home: Path, port: int, zones: Zones, options: Options) -> list[str]:
    config = home / "named.conf"
    config.write_text(
        f'options {{\n  directory "{home}";\n  managed-keys-directory "{home}";\n'
        "  pid-file none;\n  session-keyfile none;\n  listen-on-v6 { none; };\n"
        f"  listen-on port {port} {{ 127.0.0.1; }};\n"
        "  recursion no;\n  dnssec-validation no;\n  notify no;\n  empty-zones-enable no;\n"
        + "".join(f"  {name} {value};\n" for name, value in options.items())
        + '};\ncontrols { };\nlogging { category default { "null"; }; };\n'
        + "".join(f'zone "{name}" {{ type primary; file "{file}"; }};\n' for name, file in zones)
    )
    return ["-f", "-n", "1", "-c", str(config)]


def _lines(options: Options) -> str:
    return "".join(f"  {name}: {value}\n" for name, value in options.items())


NSD = NameServer("nsd", "nsd", "nsd", "-v", _nsd)
KNOT = NameServer("knot", "knotd", "knot", "--version", _knot)
BIND = NameServer("bind", "named", "bind9", "-v", _bind)
