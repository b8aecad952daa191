"""The settings: one TOML file, overridden by the environment; typed, checked, watched.

``load`` reads the file, ``example`` writes one, ``watch.Watcher`` follows its changes.
"""

from musterd.settings.example import example
from musterd.settings.load import load
from musterd.settings.model import (
    REGISTRY,
    Api,
    Dns,
    Dnstap,
    EtcdLogin,
    EtcdSettings,
    Log,
    Metrics,
    QueryLog,
    RegistrySettings,
    Settings,
    Soa,
    Sources,
    SourceSettings,
    State,
    StoreSettings,
    ZoneFileSettings,
    ZoneSettings,
)

__all__ = [
    "REGISTRY",
    "Api",
    "Dns",
    "Dnstap",
    "EtcdLogin",
    "EtcdSettings",
    "Log",
    "Metrics",
    "QueryLog",
    "RegistrySettings",
    "Settings",
    "Soa",
    "SourceSettings",
    "Sources",
    "State",
    "StoreSettings",
    "ZoneFileSettings",
    "ZoneSettings",
    "example",
    "load",
]
