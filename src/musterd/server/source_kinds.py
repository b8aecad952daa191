"""Creates each kind of source from its settings.

A new kind of source is a factory and a line of ``KINDS`` here, its settings, and its module in
``musterd.sources``.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog

from musterd._core import read_zone
from musterd.catalog.zone import deepest
from musterd.errors import SettingsError
from musterd.etcd import EtcdOptions
from musterd.registry.names import parse_zone
from musterd.rr.names import fold, name_from_text
from musterd.server.source_spec import SourceSpec
from musterd.server.state import ServerState
from musterd.settings import EtcdSettings, RegistrySettings, SourceSettings, ZoneFileSettings
from musterd.sources import Source
from musterd.sources.etcd import EtcdSource
from musterd.sources.registry import RegistrySource
from musterd.sources.zonefile import ZoneFileSource

Factory = Callable[[Any, int, ServerState], Source]
"""Creates a source from its settings and the TTL of its records without one, in seconds."""

log = structlog.get_logger()


def _registry(settings: RegistrySettings, _: int, state: ServerState) -> Source:
    if state.store is None or state.applied is None:
        raise RuntimeError("the registry is a source only if it has a store")
    ttls = {parse_zone(name): ttl for name, ttl in settings.ttls.items()}
    return RegistrySource(state.store, state.applied, lambda name: deepest(ttls, name) or 0)


def _zone_file(settings: ZoneFileSettings, ttl: int, state: ServerState) -> Source:
    origin = fold(name_from_text(settings.zone))
    return ZoneFileSource(settings.name, str(settings.path), origin, ttl, read_zone, state.files)


def _etcd(settings: EtcdSettings, ttl: int, _: ServerState) -> Source:
    if warning := settings.plain_password_warning(settings.endpoints, "use https://"):
        log.warning(warning, source=settings.name)
    return EtcdSource(
        name=settings.name,
        options=EtcdOptions.of(settings.endpoints, settings),
        layout=settings.layout,
        prefix=settings.prefix.rstrip("/"),
        zones=tuple(fold(name_from_text(zone)) for zone in settings.zones),
        ttl=ttl,
        subtree=settings.subtree,
    )


KINDS: Final[dict[type[SourceSettings], Factory]] = {
    RegistrySettings: _registry,
    ZoneFileSettings: _zone_file,
    EtcdSettings: _etcd,
}
"""Type of the settings of a source -> its factory."""


def check_kind(spec: SourceSpec) -> None:
    """Raise SettingsError if there is no such kind of source."""
    if type(spec.settings) not in KINDS:
        raise SettingsError(f"source {spec.settings.name}: unknown kind")


def create(spec: SourceSpec, state: ServerState) -> Source:
    """Create a source, which has no effect before its changes are read."""
    return KINDS[type(spec.settings)](spec.settings, spec.ttl, state)
