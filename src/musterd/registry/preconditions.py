"""Preconditions of writes: If-Match and If-None-Match (RFC 9110 section 13.1)."""

import re
from dataclasses import dataclass
from typing import Final

from musterd.display import excerpt
from musterd.registry.errors import Invalid, Mismatch

ANY: Final = frozenset({"*"})
_ETAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$)')
_EMPTY: Final = re.compile(r"[ \t,]*")
"""Elements of a list that are ignored (RFC 9110 section 5.6.1)."""


@dataclass(frozen=True, slots=True)
class Preconditions:
    """Tags that must match, and tags that must not; ANY matches everything that exists."""

    match: frozenset[str] | None = None
    none: frozenset[str] | None = None

    def __bool__(self) -> bool:
        """Return whether there are any preconditions."""
        return self.match is not None or self.none is not None

    def check_untagged(self, what: str) -> None:
        """Raise Mismatch unless an existing resource without entity tags meets them."""
        if self.match is not None and self.match != ANY:
            raise Mismatch(f"{what} has no entity tag, so If-Match can only be *", 0)
        if self.none == ANY:
            raise Mismatch(f"{what} exists, but If-None-Match: * expects that it does not", 0)

    def unchanged_untagged(self, what: str) -> bool:
        """Return whether the client has a resource without tags. Raises Mismatch."""
        Preconditions(self.match).check_untagged(what)
        return self.none == ANY

    def unchanged(self, what: str, tags: tuple[str, ...]) -> bool:
        """Return whether the client has the current version. Raises Mismatch for If-Match."""
        Preconditions(self.match).check(what, tags)
        return self.none is not None and self._meets(self.none, tags)

    def check(self, what: str, tags: tuple[str, ...]) -> None:
        """Raise Mismatch unless the current tags (none if nothing exists) meet them."""
        if self.match is not None and not self._meets(self.match, tags):
            raise _differs(what, tags, self.match, "")
        if self.none is not None and self._meets(self.none, tags):
            raise _differs(what, tags, self.none, "not ")

    @staticmethod
    def _meets(wanted: frozenset[str], tags: tuple[str, ...]) -> bool:
        return bool(tags) and (wanted == ANY or not wanted.isdisjoint(tags))


def _differs(what: str, tags: tuple[str, ...], wanted: frozenset[str], negation: str) -> Mismatch:
    """Return the mismatch with the tag of the form that the client used, the first by default."""
    state, current = "does not exist", "0"
    if tags:
        is_revision = wanted != ANY and not any("-" in tag for tag in wanted)
        current = tags[-1] if is_revision else tags[0]
        state = f'the current revision is "{current}"'
    revisions = ", ".join(f'"{tag}"' for tag in sorted(wanted)) or "no valid entity tag"
    given = f"that it does {negation}exist" if wanted == ANY else negation + revisions
    text = f"{what}: {state}, expected {given}: read it again"
    return Mismatch(text, int(current) if current.isdigit() else current)


NOTHING: Final = Preconditions()


def parse(if_match: str | None, if_none_match: str | None) -> Preconditions:
    """Parse the values of the headers. Raises Invalid."""
    if if_match is None and if_none_match is None:
        return NOTHING
    return Preconditions(
        _tags("If-Match", if_match, weak=False), _tags("If-None-Match", if_none_match, weak=True)
    )


def _tags(name: str, value: str | None, *, weak: bool) -> frozenset[str] | None:
    """Return the tags in a header. weak: weak ones match too (RFC 9110 section 8.8.3.2)."""
    if value is None:
        return None
    if value.strip() == "*":
        return ANY
    tags: set[str] = set()
    at = _skip(value, 0)
    while at < len(value):
        found = _ETAG.match(value, at)
        if found is None:
            raise Invalid(
                f'{name}: "{excerpt(value)}" is not a list of entity tags: expected "12" or *'
            )
        if weak or not found[1]:
            tags.add(found[2])
        at = _skip(value, found.end())
    return frozenset(tags)


def _skip(value: str, at: int) -> int:
    found = _EMPTY.match(value, at)
    return at if found is None else found.end()
