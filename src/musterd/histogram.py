"""Durations counted by bucket, as Prometheus has them."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Self


class Histogram:
    """Counts durations in seconds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float], counts: Sequence[int], total: float) -> None:
        """Create a histogram.

        bounds: upper bounds of the buckets, ascending; counts: of each bucket, and of a last one
        without a bound; total: the sum of the durations.
        """
        self.bounds = bounds
        self.counts = list(counts)
        self.total = total

    @classmethod
    def empty(cls, bounds: Sequence[float]) -> Self:
        """Create a histogram without durations."""
        return cls(bounds, [0] * (len(bounds) + 1), 0.0)

    def observe(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds
