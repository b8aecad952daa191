"""How much one client may ask: requests a second, and octets of a body."""

from collections.abc import Callable
from typing import Final

from musterd.api.problems import ProblemResponse

MAX_BUCKETS: Final = 10_000
"""Tokens whose rate is remembered; beyond that all begin anew."""
MAX_BODIES: Final = 67_108_864
"""Octets of all bodies that are held at once."""
IMPORT_TIMES: Final = 64
"""How much larger than others the body of an import may be."""


class Rate:
    """Requests a second of each token; as many may come at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds that never fall."""
        self.limit = 0
        """Requests a second, 0 for any number."""
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
                f"the token asks more than {self.limit} times a second ([api] rate): ask later",
                "rate",
                {"Retry-After": "1"},
            )
        if len(self._buckets) >= MAX_BUCKETS and token not in self._buckets:
            self._buckets.clear()
        self._buckets[token] = left - 1, now


class Bodies:
    """The octets of all bodies that are held now."""

    def __init__(self) -> None:
        """None."""
        self.held = 0

    def hold(self, octets: int) -> None:
        """Count octets that came. Raises ProblemResponse where there are too many at once."""
        if self.held + octets > MAX_BODIES:
            raise ProblemResponse(
                503, "too many large requests at once: ask later", "busy", {"Retry-After": "1"}
            )
        self.held += octets

    def release(self, octets: int) -> None:
        """Count octets that are let go of."""
        self.held -= octets


def too_large(most: int) -> ProblemResponse:
    """The problem of a body that is too large."""
    return ProblemResponse(
        413, f"the body is larger than {most} octets ([api] max_body): send less", "too-large"
    )
