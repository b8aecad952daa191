"""Times, durations and counts as text."""

from datetime import datetime

_SPANS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def moment(seconds: float | None) -> str:
    """Return a time (seconds since 1970) in local time; empty for None."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """Return a duration in its two largest units, for example ``3d 4h``."""
    rest, parts = max(0, round(seconds)), []
    for unit, size in _SPANS:
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
            rest %= size
    return " ".join(parts[:2]) or "0s"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, for example ``1 record`` or ``2 records``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
