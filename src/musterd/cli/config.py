"""``musterd config``: settings files."""

import os
from pathlib import Path

from cyclopts import App

from musterd.cli.extra import server_side

app = App(name="config", help="Check a settings file, or print an example.")


@app.command
def check(file: Path, /) -> None:
    """Check a settings file; exit with 1 if it has problems.

    The MUSTERD_* variables of the environment are checked with it.

    Args:
        file: The settings file, in TOML.
    """
    from musterd.client.text import count

    with server_side("musterd config check"):
        from musterd.settings import load

    settings = load(file, os.environ)
    zones, sources = len(settings.zones), len(settings.sources.each())
    print(f"{file}: ok, {count(zones, 'zone')}, {count(sources, 'source')}")


@app.command(name="example")
def write_example() -> None:
    """Print a settings file with every key, its default and its description."""
    with server_side("musterd config example"):
        from musterd.settings import example

    print(example(), end="")
