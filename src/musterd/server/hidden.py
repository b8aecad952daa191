"""Searches changed zones for RRsets that are never answered, and reports them."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from musterd._core import Core
from musterd.catalog import Catalog
from musterd.catalog.hidden import MAX_HIDDEN, report_hidden

Found = list[tuple[bytes, tuple[int, list[tuple[bytes, int]]]]]
"""Apex -> number of hidden RRsets, and owner and type of the first ones."""


@dataclass(frozen=True, slots=True)
class SearchTiming:
    """Timing of the searches."""

    period: float = 1.0
    """Minimum seconds between two searches."""
    share: float = 0.02
    """Maximum part of the time that is spent searching: a search reads all names of a zone."""


TIMING: Final = SearchTiming()


class HiddenSearch:
    """Searches the zones that have changed, in a thread."""

    def __init__(self, core: Core, catalog: Catalog, timing: SearchTiming = TIMING) -> None:
        """Create a search of the zones of a catalog, which the core answers."""
        self._core = core
        self._catalog = catalog
        self._timing = timing

    async def run(self) -> None:
        """Search until cancelled."""
        while True:
            begun = perf_counter()
            await self.search()
            spent = perf_counter() - begun
            await asyncio.sleep(max(self._timing.period, spent / self._timing.share))

    async def search(self) -> None:
        """Search the zones that have changed since the last call."""
        changed = self._catalog.take_changed()
        if not changed:
            return
        zones = self._catalog.zones
        asked = [(apex, zones[apex].has_deeper) for apex in changed if apex in zones]
        for apex, (total, found) in await asyncio.to_thread(self._find, asked):
            zone = self._catalog.zones.get(apex)
            if zone is not None:
                report_hidden(zone, total, found, self._catalog.zones)

    def _find(self, asked: Iterable[tuple[bytes, bool]]) -> Found:
        return [(apex, self._core.occluded(apex, MAX_HIDDEN, deeper)) for apex, deeper in asked]
