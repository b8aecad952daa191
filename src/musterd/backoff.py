"""Exponential backoff between retries, with an upper bound and jitter."""

import random
from collections.abc import Callable
from dataclasses import dataclass

Uniform = Callable[[float, float], float]
"""Returns a random number between two bounds, as `random.uniform`."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Bounds of the delays between retries, in seconds."""

    first: float
    maximum: float

    def start(self, uniform: Uniform = random.uniform) -> "Delays":
        """Return a new sequence of delays."""
        return Delays(self, uniform)


class Delays:
    """Delays of one run of retries: each bound is twice the one before."""

    def __init__(self, backoff: Backoff, uniform: Uniform) -> None:
        """Start at the first bound."""
        self._backoff = backoff
        self._uniform = uniform
        self.bound = backoff.first
        """Longest delay that `next` can return now, in seconds."""

    def next(self) -> float:
        """Return the next delay, between half of the bound and the bound."""
        bound = self.bound
        self.bound = min(2 * bound, self._backoff.maximum)
        return self._uniform(bound / 2, bound)

    def reset(self) -> None:
        """Start at the first bound again, after a success."""
        self.bound = self._backoff.first
