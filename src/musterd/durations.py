"""Durations as people write them, such as ``90s`` or ``1h30m``."""

import re
from typing import Final

EXAMPLES: Final = "90s, 15m, 1h30m or 30d"
"""Examples for error messages."""
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART: Final = r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(ms|[smhdw])"
_PARTS: Final = re.compile(f"(?:{_PART})+")
_NUMBER: Final = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,9})?")


def parse_duration(text: str) -> float:
    """Return the seconds of a duration; a number without a unit is in seconds.

    The units are ``ms``, ``s``, ``m``, ``h``, ``d`` and ``w``. Raises ValueError.
    """
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _PARTS.fullmatch(text):
        raise ValueError(f"expected a duration such as {EXAMPLES}")
    # Rounded, as 0.1 + 0.2 of two parts is not 0.3.
    return round(sum(float(n) * _UNITS[unit] for n, unit in re.findall(_PART, text)), 9)


def parse_seconds(text: str) -> int:
    """Return the seconds of a duration in whole seconds. Raises ValueError."""
    seconds = parse_duration(text)
    if seconds != int(seconds):
        raise ValueError(f"expected whole seconds, such as {EXAMPLES}")
    return int(seconds)
