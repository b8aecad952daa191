"""Makes text that others wrote safe to show: in one line, escaped and shortened."""

from typing import Final

MAX_SHOWN: Final = 300
"""Maximum characters of a shortened text."""
MAX_EXCERPT: Final = 100
"""Usual limit of ``excerpt``: a value quoted in an error message."""
DIGEST_DIGITS: Final = 16
"""Hexadecimal digits of the SHA-256 that identifies a shortened text."""


def printable(text: str | bytes) -> str:
    r"""Return a text in one line, with escapes for what a terminal might obey.

    Bytes are decoded as UTF-8; invalid ones become ``\xNN``.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def excerpt(text: str | bytes, limit: int = MAX_EXCERPT) -> str:
    """Return the start of a text, printable and with ``…`` if it was cut."""
    line = printable(text)
    return line if len(line) <= limit else f"{line[:limit]}…"


def printable_key(key: bytes) -> str:
    r"""Return a key as printable text that no other key has; ``\`` is doubled."""
    return shorten_unique(printable(key.replace(b"\\", rb"\\")))


def shorten(text: str) -> str:
    """Cut the middle of a long text."""
    if len(text) <= MAX_SHOWN:
        return text
    return _cut(text, f"… ({len(text)} characters) …")


def shorten_unique(text: str) -> str:
    """Cut the middle of a long text so that different texts stay different."""
    if len(text) <= MAX_SHOWN:
        return text
    # The command line needs no hashes, and importing them takes some milliseconds.
    from hashlib import sha256  # noqa: PLC0415

    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_DIGITS]
    return _cut(text, f"… ({len(text)} characters, SHA-256 {digest}…) …")


def _cut(text: str, between: str) -> str:
    end = MAX_SHOWN // 3
    return text[: MAX_SHOWN - len(between) - end] + between + text[-end:]
