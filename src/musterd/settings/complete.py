"""Expands the short forms of raw settings."""

import re
from typing import Any, Final

from musterd.settings.locate import Loc

MAX_SOURCE_NAME: Final = 63
"""Characters of the name of a source."""
ROOT_SOURCE: Final = "root"
"""Name of the source of the root zone, whose own name has no letter."""


def complete(raw: dict[str, Any]) -> dict[Loc, Loc]:
    """Add a source for each ``file`` of a zone, and a name to each source without one.

    Values of a wrong type are skipped; validation reports them. Return the location of ``file``
    for each source that was added.
    """
    added = _add_zone_files(raw)
    for source in _tables(raw, "zonefile"):
        if isinstance(zone := source.get("zone"), str):
            source.setdefault("name", source_name(zone))
    for source in _tables(raw, "etcd"):
        if isinstance(layout := source.get("layout", "skydns"), str):
            source.setdefault("name", layout)
    return added


def source_name(zone: str) -> str:
    """Return the default name of the source of a zone's file: the name of the zone."""
    name = re.sub("[^A-Za-z0-9._-]", "-", zone.removesuffix(".").lower()).lstrip("._-")
    return name[:MAX_SOURCE_NAME] or ROOT_SOURCE


def _add_zone_files(raw: dict[str, Any]) -> dict[Loc, Loc]:
    added: dict[Loc, Loc] = {}
    zones, sources = raw.get("zones"), raw.setdefault("sources", {})
    files = sources.setdefault("zonefile", []) if isinstance(sources, dict) else None
    if not isinstance(zones, list) or not isinstance(files, list):
        return added
    for index, zone in enumerate(zones):
        if not isinstance(zone, dict):
            continue
        name, file = zone.get("name"), zone.get("file")
        if isinstance(name, str) and isinstance(file, str) and file:
            added["sources", "zonefile", len(files)] = ("zones", index, "file")
            files.append({"zone": name, "path": file})
    return added


def _tables(raw: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    sources = raw.get("sources")
    found = sources.get(kind) if isinstance(sources, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
