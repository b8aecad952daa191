"""Limits of the names of a source in etcd."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class NameLimits:
    """Limits of what a name is built from, and of the work that is done without a pause."""

    max_records: int = 1000
    """Maximum records of an RRset, and services of a name."""
    max_followed: int = 1000
    """Maximum services that a name gets through its aliases, in total."""
    max_small: int = 100
    """Names built from more services than this are resolved in the background."""
    max_at_once: int = 2500
    """Services that are read at once; further names are resolved in the background."""
    step: int = 250
    """Services that are read without a pause: half a millisecond of work."""
    follow_step: int = 50
    """Aliases that are followed without a pause: a millisecond or two if names have many labels."""


LIMITS: Final = NameLimits()
