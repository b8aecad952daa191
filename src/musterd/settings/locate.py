"""Finds the line of each key and array item of a TOML text, which ``tomllib`` does not report."""

import re
import tomllib
from bisect import bisect_left

Loc = tuple[str | int, ...]
"""Location of a value: keys of tables and indices of arrays."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_SPACE = re.compile(r"[ \t]*")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?""""{0,2}'
    r"|'''.*?''''{0,2}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


class Locator:
    """The lines of a TOML text that ``tomllib`` has accepted."""

    def __init__(self, text: str) -> None:
        """Scan the text once."""
        self._text = text
        self._at = 0
        self._ends = [m.start() for m in re.finditer("\n", text)]
        self._lines: dict[Loc, int] = {}
        self._sizes: dict[Loc, int] = {}
        self._document()

    def line(self, loc: Loc) -> int:
        """Return the line of a value, or else of the innermost table around it, or else 1."""
        while loc and loc not in self._lines:
            loc = loc[:-1]
        return self._lines.get(loc, 1)

    def _document(self) -> None:
        table: Loc = ()
        self._skip()
        last = -1
        while last < self._at < len(self._text):
            last = self._at
            if self._take("[["):
                table = self._array_header()
            elif self._take("["):
                table = self._header()
            else:
                self._pair(table)
            self._skip()

    def _header(self) -> Loc:
        line = self._line_of(self._at)
        names = self._key()
        self._take("]")
        for size in range(1, len(names) + 1):
            self._lines.setdefault(self._resolve(names[:size]), line)
        return self._resolve(names)

    def _array_header(self) -> Loc:
        line = self._line_of(self._at)
        names = self._key()
        self._take("]]")
        array = (*self._resolve(names[:-1]), *names[-1:])
        index = self._sizes.get(array, 0)
        self._sizes[array] = index + 1
        for size in range(1, len(array) + 1):
            self._lines.setdefault(array[:size], line)
        self._lines[(*array, index)] = line
        return (*array, index)

    def _resolve(self, names: Loc) -> Loc:
        """Convert the names of a header to a location, using the last table of each array."""
        loc: Loc = ()
        for name in names:
            loc = (*loc, name)
            if loc in self._sizes:
                loc = (*loc, self._sizes[loc] - 1)
        return loc

    def _pair(self, table: Loc) -> None:
        line = self._line_of(self._at)
        names = self._key()
        for size in range(1, len(names) + 1):
            self._lines.setdefault((*table, *names[:size]), line)
        self._skip()
        self._take("=")
        self._skip()
        self._value((*table, *names))

    def _value(self, loc: Loc) -> None:
        self._lines.setdefault(loc, self._line_of(self._at))
        if self._take("["):
            self._items(loc)
        elif self._take("{"):
            self._inline(loc)
        elif self._match(_STRING) is None:
            self._match(_SCALAR)

    def _items(self, loc: Loc) -> None:
        index = 0
        self._skip()
        last = -1
        while last < self._at and not self._take("]"):
            last = self._at
            self._value((*loc, index))
            index += 1
            self._skip()
            self._take(",")
            self._skip()

    def _inline(self, loc: Loc) -> None:
        self._skip()
        last = -1
        while last < self._at and not self._take("}"):
            last = self._at
            self._pair(loc)
            self._skip()
            self._take(",")
            self._skip()

    def _key(self) -> Loc:
        names: list[str | int] = []
        self._match(_SPACE)
        while (found := self._match(_KEY)) is not None:
            # tomllib decodes the escapes of a quoted key.
            names.append(next(iter(tomllib.loads(f"{found} = 0"))) if found[0] in "\"'" else found)
            if self._match(_DOT) is None:
                break
        self._match(_SPACE)
        return tuple(names)

    def _skip(self) -> None:
        self._match(_BLANK)

    def _take(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found.group()

    def _line_of(self, at: int) -> int:
        return bisect_left(self._ends, at) + 1
