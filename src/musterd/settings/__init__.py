"""The configuration: one TOML file, overlaid by the environment; typed, checked, watched.

``load`` reads it, ``example`` writes one, ``watch.Watcher`` follows its changes.
"""

from musterd.settings.example import example
from musterd.settings.load import load
from musterd.settings.model import (
    Dns,
    Log,
    Metrics,
    Settings,
    Soa,
    Source,
    Sources,
    State,
    Zone,
    ZoneFileSource,
)

__all__ = [
    "Dns",
    "Log",
    "Metrics",
    "Settings",
    "Soa",
    "Source",
    "Sources",
    "State",
    "Zone",
    "ZoneFileSource",
    "example",
    "load",
]
