"""Preconditions of writes: If-Match and If-None-Match (RFC 9110 section 13.1)."""

import re
from dataclasses import dataclass
from typing import Final

from musterd.display import excerpt
from musterd.registry.errors import Invalid, Mismatch

ANY: Final = frozenset({"*"})
_ETAG: Final = re.compile(r'\s*(W/)?"([\x21\x23-\x7e]*)"\s*(?:,|$)')


@dataclass(frozen=True, slots=True)
class Preconditions:
    """Tags that must match, and tags that must not; ANY matches everything that exists."""

    match: frozenset[str] | None = None
    none: frozenset[str] | None = None

    def __bool__(self) -> bool:
        """Return whether there are any preconditions."""
        return self.match is not None or self.none is not None

    def check(self, what: str, tags: tuple[str, ...], revision: int) -> None:
        """Raise Mismatch unless the current tags (none if nothing exists) are as required."""
        if self.match is not None and not self._meets(self.match, tags):
            raise Mismatch(_differs(what, tags, self.match, ""), revision)
        if self.none is not None and self._meets(self.none, tags):
            raise Mismatch(_differs(what, tags, self.none, "not "), revision)

    @staticmethod
    def _meets(wanted: frozenset[str], tags: tuple[str, ...]) -> bool:
        return bool(tags) and (wanted == ANY or not wanted.isdisjoint(tags))


def _differs(what: str, tags: tuple[str, ...], wanted: frozenset[str], negation: str) -> str:
    """Describe the mismatch with tags of the form that the client used."""
    state = "does not exist"
    if tags:
        strict = any("-" in tag for tag in wanted)
        state = f'is at "{tags[0] if strict else tags[-1]}"'
    revisions = ", ".join(f'"{tag}"' for tag in sorted(wanted)) or "no valid entity tag"
    given = "to exist" if wanted == ANY else f"at {revisions}"
    return f"{what}: {state}, expected {negation}{given}: read it again"


NOTHING: Final = Preconditions()


def parse(if_match: str | None, if_none_match: str | None) -> Preconditions:
    """Parse the values of the headers. Raises Invalid."""
    if if_match is None and if_none_match is None:
        return NOTHING
    return Preconditions(_tags("If-Match", if_match), _tags("If-None-Match", if_none_match))


def _tags(name: str, value: str | None) -> frozenset[str] | None:
    if value is None:
        return None
    if value.strip() == "*":
        return ANY
    tags: set[str] = set()
    at = 0
    while at < len(value):
        found = _ETAG.match(value, at)
        if found is None:
            raise Invalid(
                f'{name}: "{excerpt(value)}" is not a list of entity tags: expected "12" or *'
            )
        # A weak tag never matches in If-Match; we give none, so none is ever right.
        if not found[1]:
            tags.add(found[2])
        at = found.end()
    return frozenset(tags)
