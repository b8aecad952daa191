r"""Names with non-ASCII characters, which IDNA 2008 encodes (RFC 5891, UTS 46 non-transitional)."""

import re
from typing import Final

import idna

from musterd.display import excerpt

_LABELS: Final = re.compile(r"((?:[^\\.\u3002\uff0e\uff61]|\\.)*)([.\u3002\uff0e\uff61]?)", re.DOTALL)
"""A label and the separator after it (RFC 3490 section 3.1)."""


def ascii_name(text: str) -> str:
    r"""Return the ASCII form of a name in text form. ASCII labels and their escapes stay.

    Raises ValueError.
    """
    if text.isascii():
        return text
    return "".join(
        _ascii_label(label) + ("." if separator else "") for label, separator in _LABELS.findall(text)
    )


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    shown = excerpt(label)
    if "\\" in label:
        raise ValueError(
            f'"{shown}" mixes an escape with non-ASCII characters; write it as xn--...'
        )
    try:
        mapped = idna.uts46_remap(label, std3_rules=False, transitional=False)
        return idna.alabel(mapped).decode()
    except UnicodeError as error:
        raise ValueError(f'"{shown}" can\'t be encoded by IDNA 2008: {error}') from None
