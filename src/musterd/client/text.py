"""What is safe and easy to read on a terminal."""

from datetime import datetime

_SPANS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def printable(text: str) -> str:
    r"""A text in one line, its control characters as escapes: a terminal must not obey them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def moment(seconds: float | None) -> str:
    """A time (since 1970) in the zone of the reader; empty for none."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """A length of time in its two greatest units, as ``3d 4h``."""
    rest, parts = max(0, round(seconds)), []
    for unit, size in _SPANS:
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
            rest %= size
    return " ".join(parts[:2]) or "0s"


def count(number: int, noun: str) -> str:
    """A number of things, as ``1 record`` or ``2 records``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
