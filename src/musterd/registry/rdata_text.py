r"""Checks of rdata in presentation form, before a parser reads it.

A zone file may drop part of a line: a comment, a parenthesis, the backslash of an escape. Data of a
request has one line and one meaning, so a text in which anything would be dropped is rejected.
"""

import re
from typing import Final

from musterd.display import excerpt
from musterd.rr.names import ESCAPE
from musterd.rr.types import HTTPS, SPF, SVCB, TXT

MAX_STRING_BYTES: Final = 255
"""Maximum bytes of a character-string (RFC 1035 section 3.3)."""

_TEXTS: Final = frozenset({TXT, SPF})
"""Types whose unquoted data is one string."""
_QUOTED: Final = rf'"(?:[^"\\]|{ESCAPE})*+"'
_PLAIN: Final = rf'(?:[^\x00-\x20\x7f"();\\]|{ESCAPE})++'
_SPACE: Final = "[ \t]"


def _words(word: str) -> re.Pattern[str]:
    return re.compile(rf"{_SPACE}*+(?:(?:{word})(?:{_SPACE}++|$))*+")


_STRINGS: Final = _words(_QUOTED)
_WORDS: Final = _words(f"{_QUOTED}|{_PLAIN}")
_PARAMS: Final = _words(f"{_QUOTED}|{_PLAIN}(?:(?<==){_QUOTED})?")
"""Words of which one may be ``key="value"`` (RFC 9460 section 2.1)."""
_ESCAPES: Final = re.compile(rf"({ESCAPE})|\\.?", re.DOTALL)
_GENERIC: Final = re.compile(rf"{_SPACE}*+\\#{_SPACE}")
"""Start of data of any type (RFC 3597 section 5)."""
_UNQUOTED: Final = re.compile(rf'{ESCAPE}|[^"\\]', re.DOTALL)
_SEMICOLON: Final = re.compile(rf"(?:{ESCAPE}|[^;\\])*+(;.*)", re.DOTALL)


def checked(rtype: int, text: str) -> str:
    """Return rdata in a form that every parser reads in the same way.

    A TXT text without quotes becomes one text in quotes, in several strings if it is long. Raises
    ValueError with the reason.
    """
    for found in _ESCAPES.finditer(text):
        if not found[1]:
            raise ValueError(
                f"{excerpt(found[0])} is not an escape: write \\\\ for a backslash, "
                "\\DDD for a byte"
            )
    if rtype in _TEXTS and not _GENERIC.match(text):
        if '"' not in _ESCAPES.sub("", text):
            return _one_text(text)
        pattern = _STRINGS
    else:
        pattern = _PARAMS if rtype in (SVCB, HTTPS) else _WORDS
    read = pattern.match(text)
    end = read.end() if read else 0
    if end < len(text):
        raise ValueError(_reason(text[end:], pattern))
    return text


def _one_text(text: str) -> str:
    if text != text.strip(" \t"):
        raise ValueError("it begins or ends with a space: put the text in quotes")
    if found := _SEMICOLON.match(text):
        raise ValueError(f"{_comment(found[1])}: {_in_quotes(text)}")
    strings, length = [""], 0
    for unit in _UNQUOTED.findall(text):
        size = 1 if unit.startswith("\\") else len(unit.encode("utf-8", "surrogateescape"))
        if length + size > MAX_STRING_BYTES:
            strings.append("")
            length = 0
        strings[-1] += unit
        length += size
    return " ".join(f'"{string}"' for string in strings)


def _in_quotes(text: str) -> str:
    return f'write "{excerpt(text)}", with the quotes'


def _comment(text: str) -> str:
    return f"{excerpt(text)} is outside quotes, where a ; begins a comment"


def _reason(rest: str, pattern: re.Pattern[str]) -> str:
    """Return the reason why a text can't continue in this way."""
    plain = re.match(_PLAIN, rest)
    end = plain.end() if plain else 0
    character = rest[end : end + 1]
    if character == '"':
        if end:
            why = 'has a quote inside a word: write \\" for a quote in a text'
        else:
            closed = re.match(_QUOTED, rest)
            why = "needs a space after its closing quote" if closed else "has no closing quote"
        return f"{excerpt(rest)} {why}"
    if pattern is _STRINGS:
        return f"{excerpt(rest)} is outside quotes: put all of the text in quotes"
    if character == ";":
        return f"{_comment(rest[end:])}: put the value in quotes, or write \\;"
    if character in "()":
        return f"{character} is outside quotes: leave it out, or write \\{character}"
    return f"it has the character {excerpt(character)}: write it as \\{ord(character):03}"
