"""Warnings about files and directories that users other than their owner can access."""

import stat
from pathlib import Path
from typing import Final

import structlog

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

log = structlog.get_logger()


def warn_unless_private(path: Path, what: str) -> None:
    """Log a warning if other users can access a path. what: for example ``token file``."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if mode & _OTHERS:
        allowed = stat.S_IMODE(mode) & ~_OTHERS
        log.warning(
            f"other users can access the {what}: run chmod {allowed:o}",
            path=str(path),
            mode=f"{stat.S_IMODE(mode):o}",
        )
