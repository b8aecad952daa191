"""The configuration: one TOML file, overlaid by the environment; typed, checked, watched.

``load`` reads it, ``example`` writes one, ``watch.Watcher`` follows its changes.
"""

from musterd.settings.example import example
from musterd.settings.load import load
from musterd.settings.model import (
    REGISTRY,
    Api,
    Dns,
    EtcdLogin,
    EtcdSource,
    Log,
    Metrics,
    RegistrySource,
    Settings,
    Soa,
    Source,
    Sources,
    State,
    Store,
    Zone,
    ZoneFileSource,
)

__all__ = [
    "REGISTRY",
    "Api",
    "Dns",
    "EtcdLogin",
    "EtcdSource",
    "Log",
    "Metrics",
    "RegistrySource",
    "Settings",
    "Soa",
    "Source",
    "Sources",
    "State",
    "Store",
    "Zone",
    "ZoneFileSource",
    "example",
    "load",
]
