"""Limits for clients: request rate and body size."""

from collections.abc import Callable
from typing import Final

from musterd.api.problems import ProblemResponse

MAX_BUCKETS: Final = 10_000
"""Maximum tokens whose rate is tracked; beyond that all start again."""
MAX_BODIES: Final = 67_108_864
"""Maximum bytes of all bodies held at once."""
IMPORT_TIMES: Final = 64
"""Factor by which the body of an import may be larger."""


class Rate:
    """Limits the requests a second of each token; the burst size is the same."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Create the limiter. ``clock`` returns monotonic seconds."""
        self.limit = 0
        """Requests a second; 0 means unlimited."""
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, token: str) -> None:
        """Count a request of a token, by its id. Raises ProblemResponse if there are too many."""
        if not self.limit:
            return
        now = self._clock()
        left, since = self._buckets.get(token, (float(self.limit), now))
        left = min(left + (now - since) * self.limit, float(self.limit))
        if left < 1:
            self._buckets[token] = left, now
            raise ProblemResponse(
                429,
                f"more than {self.limit} requests a second ([api] rate): try again later",
                "rate",
                {"Retry-After": "1"},
            )
        if len(self._buckets) >= MAX_BUCKETS and token not in self._buckets:
            self._buckets.clear()
        self._buckets[token] = left - 1, now


class Bodies:
    """Counts the bytes of all bodies held now."""

    def __init__(self) -> None:
        """Create an empty counter."""
        self.held = 0

    def hold(self, octets: int) -> None:
        """Add received bytes. Raises ProblemResponse if there are too many at once."""
        if self.held + octets > MAX_BODIES:
            raise ProblemResponse(
                503,
                "too many large requests at once: try again later",
                "busy",
                {"Retry-After": "1"},
            )
        self.held += octets

    def release(self, octets: int) -> None:
        """Subtract freed bytes."""
        self.held -= octets


def too_large(most: int) -> ProblemResponse:
    """Return the problem for a body that is too large."""
    return ProblemResponse(
        413, f"the body is larger than {most} bytes ([api] max_body): send less", "too-large"
    )
