"""``musterd config``: configuration files."""

import os
import sys
from pathlib import Path
from shlex import quote
from typing import Final

from cyclopts import App

from musterd.cli.extra import server_side
from musterd.cli.options import AsJson
from musterd.cli.serve import DEFAULT_FILE, HERE, STATE, find_file
from musterd.errors import MusterdError
from musterd.file_state import is_named_pipe

app = App(name="config", help="Check a configuration file, or create one.")

_STATE_LINES: Final = f"""\
[state]
dir = "{STATE}"          # registered records, and the first token

"""
_ZONE_LINES: Final = """\
[[zones]]
name = "example.internal"
# file = "example.zone"        # a zone file beside this file
"""


@app.command
def init(file: Path = HERE, /, *, as_json: AsJson = False) -> None:
    """Create a configuration file with one zone, which musterd serve can run.

    Args:
        file: The file; it must not exist.
        as_json: Print JSON.
    """
    from musterd.cli import output

    # A server of the system keeps its state in the default directory.
    text = _ZONE_LINES if file.absolute() == DEFAULT_FILE else _STATE_LINES + _ZONE_LINES
    try:
        with file.open("x") as created:
            created.write(text)
    except FileExistsError:
        raise MusterdError(f"{file}: exists already; nothing was changed") from None
    except OSError as error:
        parent = file.absolute().parent
        remedy = "" if parent.exists() else f"; create its directory: mkdir -p {quote(str(parent))}"
        raise MusterdError(f"{file}: can't be created: {error.strerror}{remedy}") from error
    if as_json:
        output.as_object({"file": str(file), "zones": ["example.internal"]})
    else:
        print(f"{file}: created, with the zone example.internal\nmusterd serve -c {file}")


@app.command
def check(file: Path | None = None, /, *, as_json: AsJson = False) -> None:
    """Check a configuration file; exit with 1 if it has problems.

    It also checks the MUSTERD_* environment variables, and whether the zone files, certificates
    and keys can be read, and the logs and the state directory written. It changes nothing.

    Args:
        file: The configuration file, in TOML; default: /etc/musterd/musterd.toml.
        as_json: Print JSON.
    """
    from musterd.cli import output
    from musterd.client.text import count

    with server_side("musterd config check"):
        from musterd.server.certificate import Certificate
        from musterd.settings import load
        from musterd.settings.files import waits
        from musterd.settings.load import NO_FILE

    if file is None:
        file = find_file(os.environ, "musterd config check")
    if file is not None and is_named_pipe(str(file)):
        raise MusterdError(f"{file}: is a named pipe, which would wait for a writer; name a file")
    settings = load(file, os.environ, with_files=True)
    file = file or NO_FILE
    warnings = [*settings.warnings, *waits(settings)]
    if settings.api.tls_cert and settings.api.tls_key:
        warnings += Certificate(settings.api.tls_cert, settings.api.tls_key).problems
    zones, sources = len(settings.zones), len(settings.sources.each())
    if as_json:
        output.as_object(
            {"file": str(file), "zones": zones, "sources": sources, "warnings": warnings}
        )
        return
    for warning in warnings:
        print(f"{file}: warning: {warning}", file=sys.stderr)
    print(f"{file}: ok, {count(zones, 'zone')}, {count(sources, 'source')}")


@app.command(name="example")
def write_example() -> None:
    """Print a configuration file with every key, its default and its description."""
    with server_side("musterd config example"):
        from musterd.settings import example

    print(example(), end="")
