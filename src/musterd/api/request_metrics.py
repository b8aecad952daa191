"""Metrics of the requests to the API, with labels of few values.

Imported with the server, so it imports nothing of the API itself.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from musterd.histogram import Histogram

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets in seconds."""
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER: Final = "other"
"""Label of all other methods, and of paths without a route."""


class RequestMetrics:
    """Number and duration of the requests since the start."""

    def __init__(self) -> None:
        """Create metrics without requests."""
        self.counts: Counter[tuple[str, str, int]] = Counter()
        """Requests by method, route and status."""
        self.durations: dict[tuple[str, str], Histogram] = {}
        """Durations by method and route."""

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        if method not in _METHODS:
            method = OTHER
        self.counts[method, route, status] += 1
        histogram = self.durations.get((method, route))
        if histogram is None:
            histogram = self.durations[method, route] = Histogram.empty(BOUNDS)
        histogram.observe(seconds)


class RouteTemplates:
    """The paths of the routes, such as ``/v1/records/{zone}``."""

    def __init__(self, templates: Iterable[str]) -> None:
        """Create a list of templates."""
        self._by_length: dict[int, list[tuple[str, list[str]]]] = {}
        for template in dict.fromkeys(templates):
            parts = template.split("/")
            self._by_length.setdefault(len(parts), []).append((template, parts))
        self._longest = max(self._by_length)

    def find(self, path: str) -> str:
        """Return the template of a path, ``other`` for none."""
        parts = path.split("/", self._longest)
        for template, expected in self._by_length.get(len(parts), ()):
            for part, literal in zip(parts, expected, strict=True):
                if part != literal and not (part and literal[:1] == "{"):
                    break
            else:
                return template
        return OTHER
