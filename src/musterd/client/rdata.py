"""Record data as typed on a command line."""

import ipaddress
import re

MAX_STRING_BYTES = 255
"""Maximum bytes of a character-string (RFC 1035 section 3.3)."""

_UNIT = re.compile(r"\\[0-9]{3}|\\.|.", re.DOTALL)
_TEXTS = frozenset({"TXT", "SPF"})


def typed(rtype: str, argument: str) -> str:
    """Return an argument as the data of one record.

    The shell removes the quotes of ``"v=spf1 -all"``, so an unquoted TXT argument is one text,
    split into several strings if it is too long. Data of other types is unchanged.
    """
    if rtype not in _TEXTS or '"' in argument:
        return argument
    strings, length = [""], 0
    for unit in _UNIT.findall(argument):
        size = 1 if unit.startswith("\\") else len(unit.encode("utf-8", "surrogateescape"))
        if length + size > MAX_STRING_BYTES:
            strings.append("")
            length = 0
        strings[-1] += unit
        length += size
    return " ".join(f'"{text}"' for text in strings)


def same(rtype: str, data: str, other: str) -> bool:
    """Return whether two texts are the same data; addresses are compared by value."""
    if rtype in {"A", "AAAA"}:
        try:
            return ipaddress.ip_address(data) == ipaddress.ip_address(other)
        except ValueError:
            return False
    if rtype in _TEXTS:
        return data == other
    return _words(data) == _words(other)


def _words(text: str) -> list[str]:
    return [word.rstrip(".") for word in text.lower().split()]
