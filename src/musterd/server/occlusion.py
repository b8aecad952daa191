"""Searches changed zones for RRsets that are never answered, and reports them."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from musterd._core import Core
from musterd.catalog import Catalog
from musterd.catalog.occlusion import MAX_OCCLUDED, Occluded, report_occluded

Found = list[tuple[bytes, tuple[int, list[Occluded]]]]
"""Apex -> number of occluded RRsets, and the first of them."""


@dataclass(frozen=True, slots=True)
class OcclusionTiming:
    """Timing of the searches."""

    period: float = 1.0
    """Minimum seconds between two searches."""
    share: float = 0.02
    """Maximum part of the time that is spent searching: a search reads all names of a zone."""


TIMING: Final = OcclusionTiming()


class OcclusionCheck:
    """Searches the zones that have changed, in a thread."""

    def __init__(self, core: Core, catalog: Catalog, timing: OcclusionTiming = TIMING) -> None:
        """Create a check of the zones of a catalog, which the core answers."""
        self._core = core
        self._catalog = catalog
        self._timing = timing

    async def run(self) -> None:
        """Search until cancelled."""
        while True:
            begun = perf_counter()
            await self.check()
            spent = perf_counter() - begun
            await asyncio.sleep(max(self._timing.period, spent / self._timing.share))

    async def check(self) -> None:
        """Search the zones that have changed since the last call."""
        changed = self._catalog.take_changed()
        if not changed:
            return
        for apex, (total, found) in await asyncio.to_thread(self._search, changed):
            zone = self._catalog.zones.get(apex)
            if zone is not None:
                report_occluded(zone, total, found)

    def _search(self, apexes: Iterable[bytes]) -> Found:
        return [(apex, self._core.occluded(apex, MAX_OCCLUDED)) for apex in apexes]
