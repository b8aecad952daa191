"""Makes foreign text printable: shortened, and without control characters."""

from hashlib import sha256
from typing import Final

MAX_SHOWN: Final = 300
"""The most characters of a text that others wrote, where it is shown."""
DIGEST_DIGITS: Final = 16
"""Of the SHA-256 that stands for what is cut, hexadecimal."""


def shortened(text: str) -> str:
    """A text that others wrote, for people: of one with many characters its start and its end."""
    if len(text) <= MAX_SHOWN:
        return text
    return _cut(text, f"… ({len(text)} characters) …")


def named(text: str) -> str:
    """As ``shortened``, for what is known by it: two texts never become one."""
    if len(text) <= MAX_SHOWN:
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_DIGITS]
    return _cut(text, f"… ({len(text)} characters, SHA-256 {digest}…) …")


def _cut(text: str, between: str) -> str:
    end = MAX_SHOWN // 3
    return text[: MAX_SHOWN - len(between) - end] + between + text[-end:]
