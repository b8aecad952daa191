"""Limits for clients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from musterd.api.problems import ProblemResponse

MAX_BUCKETS: Final = 10_000
"""Maximum tokens whose rate is tracked; beyond that all start again."""


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """Limits of the API that are not in the settings."""

    bodies: int = 67_108_864
    """Bytes of all bodies held at once."""
    import_times: int = 64
    """Factor by which the body of an import may be larger."""
    imports: int = 2
    """Concurrent imports; others wait before their body is read."""
    watchers: int = 500
    """Open watches."""
    keepalive: float = 15.0
    """Seconds without events after which a watch sends a comment."""


class Rate:
    """Limits the requests a second of each token; the burst size is the same."""

    def __init__(self, limit: Callable[[], int], clock: Callable[[], float]) -> None:
        """Create the limiter.

        limit: returns the requests a second, 0 for no limit; clock: returns monotonic seconds.
        """
        self._limit = limit
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, token: str) -> None:
        """Count a request of a token, by its id. Raises ProblemResponse if there are too many."""
        limit = self._limit()
        if not limit:
            return
        now = self._clock()
        left, since = self._buckets.get(token, (float(limit), now))
        left = min(left + (now - since) * limit, float(limit))
        if left < 1:
            self._buckets[token] = left, now
            raise ProblemResponse(
                429,
                f"more than {limit} requests a second ([api] rate): try again later",
                "rate",
                {"Retry-After": "1"},
            )
        if len(self._buckets) >= MAX_BUCKETS and token not in self._buckets:
            self._buckets.clear()
        self._buckets[token] = left - 1, now
