"""``musterd serve``."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from musterd.cli.extra import server_side
from musterd.errors import SettingsError, UsageError

DEFAULT_FILE: Final = Path("/etc/musterd/musterd.toml")
"""Configuration file that is used if it exists and no other is named."""
HERE: Final = Path("musterd.toml")
"""Configuration file that ``musterd config init`` creates."""
STATE: Final = Path("musterd-state")
"""State directory of a server without a configuration file, in the current directory."""
ZONES: Final = "MUSTERD_ZONES"
STATE_DIR: Final = "MUSTERD_STATE__DIR"


def serve(
    *,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    zone: Annotated[list[str] | None, Parameter(negative=())] = None,
) -> None:
    """Run the server in the foreground until SIGTERM or SIGINT.

    Args:
        config: The configuration file, in TOML; default: /etc/musterd/musterd.toml.
        zone: NAME or NAME=FILE: serve this zone, without a configuration file; may be repeated.
            The state is kept in ./musterd-state.
    """
    environ: Mapping[str, str] = os.environ
    if zone:
        if config is not None:
            raise UsageError("--zone and --config can't be combined: declare the zone in the file")
        environ = _with_zones(zone, environ)
    elif config is None:
        config = find_file(environ, "musterd serve -c")
    with server_side("musterd serve"):
        import uvloop

        from musterd.server.server import serve as run
    try:
        uvloop.run(run(config, environ))
    except SettingsError as error:
        if not zone:
            raise
        raise UsageError(*(p.replace(f"{ZONES}: ", "--zone: ") for p in error.problems)) from None


def find_file(environ: Mapping[str, str], command: str) -> Path | None:
    """Return the default configuration file, or None if the environment declares the zones.

    command: takes another file. Raises UsageError if there is neither.
    """
    if DEFAULT_FILE.exists():
        return DEFAULT_FILE
    if environ.get(ZONES):
        return None
    other = HERE if HERE.exists() else "FILE"
    raise UsageError(
        f"no configuration file: {DEFAULT_FILE} does not exist; "
        f"name another one: {command} {other}",
        "to create one: musterd config init; to try musterd without one: "
        "musterd serve --zone example.internal",
    )


def _with_zones(zones: list[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that declares zones, which are given as NAME or NAME=FILE."""
    if environ.get(ZONES):
        raise UsageError(f"--zone and {ZONES} can't be combined")
    tables = []
    for text in zones:
        name, given, file = text.partition("=")
        if given and not (name and file):
            raise UsageError(f'--zone: got "{text}", expected NAME or NAME=FILE')
        tables.append({"name": name, **({"file": file} if file else {})})
    return {STATE_DIR: str(STATE), **environ, ZONES: json.dumps(tables)}
