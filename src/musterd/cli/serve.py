"""``musterd serve``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from musterd.cli.extra import server_side
from musterd.errors import UsageError


def serve(*, config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None) -> None:
    """Run the server in the foreground until SIGTERM or SIGINT.

    Args:
        config: The settings file, in TOML.
    """
    if config is None:
        raise UsageError(
            "musterd serve needs a settings file: -c FILE",
            "to create one: musterd config example > musterd.toml",
        )
    with server_side("musterd serve"):
        import uvloop

        from musterd.server.server import serve as run

    uvloop.run(run(config))
