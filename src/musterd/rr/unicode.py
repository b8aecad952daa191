"""Names with non-ASCII characters, which IDNA 2008 encodes (RFC 5891, UTS 46 non-transitional)."""

import re
from typing import Final

import idna

from musterd.display import excerpt

_DOTS: Final = ".\u3002\uff0e\uff61"
"""Separators of labels (RFC 3490 section 3.1)."""
_LABEL: Final = re.compile(rf"((?:[^\\{_DOTS}]|\\.?)*)([{_DOTS}]?)", re.DOTALL)


def ascii_name(text: str) -> str:
    """Return the ASCII form of a name in text form. ASCII labels and their escapes stay.

    Raises ValueError.
    """
    if text.isascii():
        return text
    labels = _LABEL.findall(text)
    return "".join(_ascii_label(label) + ("." if dot else "") for label, dot in labels)


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
