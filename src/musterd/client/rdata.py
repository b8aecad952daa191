"""The data of records as people type it."""

import ipaddress
import re

STRING_OCTETS = 255
"""The most octets of a character-string (RFC 1035 section 3.3)."""

_UNIT = re.compile(r"\\[0-9]{3}|\\.|.", re.DOTALL)
_TEXTS = frozenset({"TXT", "SPF"})


def typed(rtype: str, argument: str) -> str:
    """One argument as the text of one record's data.

    The shell has taken the quotes of ``"v=spf1 -all"``, so a TXT without any is one text, cut into
    strings where it is too long for one; all other types stay as they are.
    """
    if rtype not in _TEXTS or '"' in argument:
        return argument
    strings, octets = [""], 0
    for unit in _UNIT.findall(argument):
        size = 1 if unit.startswith("\\") else len(unit.encode("utf-8", "surrogateescape"))
        if octets + size > STRING_OCTETS:
            strings.append("")
            octets = 0
        strings[-1] += unit
        octets += size
    return " ".join(f'"{text}"' for text in strings)


def same(rtype: str, one: str, other: str) -> bool:
    """Whether two texts are plainly the same data: addresses by value, others by words."""
    if rtype in {"A", "AAAA"}:
        try:
            return ipaddress.ip_address(one) == ipaddress.ip_address(other)
        except ValueError:
            return False
    if rtype in _TEXTS:
        return one == other
    return _words(one) == _words(other)


def _words(text: str) -> list[str]:
    return [word.rstrip(".") for word in text.lower().split()]
