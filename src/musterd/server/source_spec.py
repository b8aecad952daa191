"""The sources that the settings ask for."""

import hashlib
import json
from dataclasses import dataclass

from musterd.settings import RegistrySettings, Settings, SourceSettings


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A source that is listed by a zone. ttl: seconds, for records without a TTL."""

    settings: SourceSettings
    ttl: int

    @property
    def digest(self) -> str:
        """Hash of the settings that determine where the records come from."""
        fields = self.settings.model_dump(
            mode="json", exclude={"policy", "ttl", "wildcard_queries"}
        )
        text = json.dumps([type(self.settings).__name__, fields], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def has_snapshot(self) -> bool:
        """True unless the source is a registry on this disk, which needs no snapshot."""
        return not isinstance(self.settings, RegistrySettings) or bool(self.settings.place)

    @property
    def identity(self) -> tuple[str, int, object]:
        """All settings that affect the records. If they change, the source is restarted."""
        # The digest does not cover secrets.
        return self.digest, self.ttl, getattr(self.settings, "password", None)


def source_specs(settings: Settings) -> dict[str, SourceSpec]:
    """Return the sources that at least one zone lists, by name."""
    specs: dict[str, SourceSpec] = {}
    for zone in settings.zones:
        for source in settings.sources_of(zone):
            ttl = zone.ttl if source.ttl is None else source.ttl
            specs.setdefault(source.name, SourceSpec(source, ttl))
    return specs
